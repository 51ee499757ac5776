//! What the work costs on the real box: the measured milliseconds, between the measured sizes in proportion.

use std::time::Duration;

use super::config::{Config, Kind};

/// A request that reads nothing much.
const BASE_MS: f64 = 13.0;
/// Each object of an answer.
const ROW_MS: f64 = 0.45;
/// A token is checked by a process of its own.
pub(super) const TOKEN: Duration = Duration::from_millis(132);

/// Milliseconds of one create with 10, 100 and 400 objects of its kind.
const fn create_ms(kind: Kind) -> [f64; 3] {
    match kind {
        Kind::Vip => [22.0, 37.0, 85.0],
        Kind::Alias => [13.0, 27.0, 70.0],
        Kind::Rule => [22.0, 81.0, 290.0],
        Kind::StaticMap | Kind::DhcpServer => [27.0, 92.0, 562.0],
        Kind::OneToOne | Kind::PortForward | Kind::Outbound | Kind::Interface => [15.0, 22.0, 40.0],
    }
}

/// Milliseconds of each object of a list written at once: by itself, and per object that its validation looks through.
fn item_ms(kind: Kind, config: &Config) -> (f64, f64) {
    let among = |kind, ms: f64| ms * count(config.len(kind));
    match kind {
        Kind::Alias => (36.0, 0.0),
        Kind::Rule => (20.0, among(Kind::Alias, 0.25)),
        Kind::StaticMap | Kind::DhcpServer => (10.7, among(Kind::Vip, 0.029)),
        _ => (7.5, among(Kind::Alias, 0.1)),
    }
}

/// A create, patch or delete of one object.
pub(super) fn single(kind: Kind, config: &Config) -> Duration {
    let [at_10, at_100, at_400] = create_ms(kind);
    let size = count(config.len(kind));
    let own = if size < 100.0 {
        at_10 + (at_100 - at_10) / 90.0 * (size - 10.0)
    } else {
        at_100 + (at_400 - at_100) / 300.0 * (size - 100.0)
    };
    ms(own + 0.03 * count(config.others(kind)))
}

/// A list of `items` written at once.
pub(super) fn list(kind: Kind, items: usize, config: &Config) -> Duration {
    let (own, among) = item_ms(kind, config);
    // Validation compares each object with all before it: half of the cost at 400 grows with the number.
    let own = own * f64::midpoint(1.0, count(items) / 400.0);
    ms(BASE_MS + count(items) * (own + among))
}

/// A read that answers with this many objects.
pub(super) fn read(objects: usize) -> Duration {
    ms(BASE_MS + ROW_MS * count(objects))
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn ms(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds.max(1.0) / 1000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grows_with_the_table() {
        let config = |rows: usize| {
            let mut config = Config::default();
            let row = json!({}).as_object().unwrap().clone();
            *config.table_mut(Kind::Vip, None) = vec![row.into(); rows];
            config
        };
        let at = |rows| single(Kind::Vip, &config(rows)).as_secs_f64() * 1000.0;
        for (rows, expected) in [(10, 22.0), (100, 37.0), (400, 85.0)] {
            assert!((at(rows) - expected).abs() < 0.01, "{rows}: {}", at(rows));
        }
        assert!(at(508) > at(507));
        let put = list(Kind::Rule, 400, &Config::default()).as_secs_f64();
        assert!((7.0..9.0).contains(&put), "{put}");
    }
}
