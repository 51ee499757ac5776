//! Number conversions that may lose precision, in one place.

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const TIB: u64 = 1 << 40;

/// A share of a whole, for figures that are only shown.
#[expect(clippy::cast_precision_loss, reason = "figures for display")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A size such as `32`, `1.5` (in units of `unit`), never negative.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "disk sizes; the API itself takes fractions"
)]
pub(crate) fn times(count: f64, unit: u64) -> u64 {
    (count.max(0.0) * unit as f64) as u64
}

/// Parses `10G`, `512M`, `1.5T`, `1048576` into bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (i, 'K') => (&text[..i], 1 << 10),
        (i, 'M') => (&text[..i], MIB),
        (i, 'G') => (&text[..i], GIB),
        (i, 'T') => (&text[..i], TIB),
        _ => (text, 1),
    };
    let count: f64 = number.parse().ok()?;
    (count >= 0.0).then(|| times(count, unit))
}

/// Bytes as a configuration shows them: the largest unit that divides evenly.
pub(crate) fn format_size(bytes: u64) -> String {
    for (unit, suffix) in [(TIB, "T"), (GIB, "G"), (MIB, "M"), (1 << 10, "K")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            // Proxmox goes up to T only when the whole is a multiple of it.
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// Bytes as a log shows them: `1.0 GiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    for (unit, suffix) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return format!("{:.1} {suffix}", ratio(bytes, unit));
        }
    }
    format!("{:.1} B", ratio(bytes, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print_as_proxmox_does() {
        for (text, bytes, printed) in [
            ("3G", 3 * GIB, "3G"),
            ("3584M", 3584 * MIB, "3584M"),
            ("4M", 4 * MIB, "4M"),
            ("1.5G", 1536 * MIB, "1536M"),
            ("2T", 2 * TIB, "2T"),
            ("1048576", MIB, "1M"),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(format_size(bytes), printed, "{text}");
        }
        for bad in ["", "G", "x", "-1G"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(human_size(GIB), "1.0 GiB");
        assert_eq!(human_size(0), "0.0 B");
    }
}
