//! Bytes for people. Must not know what they measure.

const STEPS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Bytes there are: rounded down to a tenth, so that what does not fit never looks as if it did.
pub(crate) fn have(bytes: u64) -> String {
    render(bytes, false)
}

/// Bytes needed: rounded up to a tenth.
pub(crate) fn need(bytes: u64) -> String {
    render(bytes, true)
}

fn render(bytes: u64, up: bool) -> String {
    // A terabyte below ten is said in GiB: "1.1 TiB" hides 50 GiB, and that is a guest.
    let Some((size, unit)) = STEPS.iter().find(|(size, unit)| match *unit {
        "TiB" => bytes >= 10 * size,
        _ => bytes >= *size,
    }) else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10;
    let size = u128::from(*size);
    let tenths = if up { tenths.div_ceil(size) } else { tenths / size };
    if tenths % 10 == 0 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::{have, need};

    #[test]
    fn bytes_are_rounded_to_the_side_of_caution() {
        let check = |bytes: u64, down: &str, up: &str| {
            assert_eq!((have(bytes).as_str(), need(bytes).as_str()), (down, up), "{bytes}");
        };
        check(0, "0 B", "0 B");
        check(1023, "1023 B", "1023 B");
        check(32 << 30, "32 GiB", "32 GiB");
        check((32 << 30) - 1, "31.9 GiB", "32 GiB");
        check((32 << 30) + 1, "32 GiB", "32.1 GiB");
        check(512 << 20, "512 MiB", "512 MiB");
        check(1536 << 30, "1536 GiB", "1536 GiB");
        check(12 << 40, "12 TiB", "12 TiB");
        check(u64::MAX, "16777215.9 TiB", "16777216 TiB");
    }
}
