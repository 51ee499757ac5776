//! Moments as Ceph writes them.
//!
//! Knows neither the cluster nor what time it is.

use std::time::Duration;

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `ms` in whole seconds.
pub(super) fn seconds(ms: u64) -> u64 {
    ms / 1000
}

/// `ms` as Ceph prints a moment in tasks and maps: `2026-01-31T12:00:00.123000` (the suffix is the caller's).
pub(super) fn iso(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}000")
}

/// Days since 1970-01-01 as year, month, day (Howard Hinnant's `civil_from_days`, for days after the epoch).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_dates() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000000");
        assert_eq!(iso(1_709_164_800_000), "2024-02-29T00:00:00.000000");
        assert_eq!(iso(1_795_396_905_123), "2026-11-23T01:21:45.123000");
        assert_eq!(iso(4_102_444_799_999), "2099-12-31T23:59:59.999000");
    }
}
