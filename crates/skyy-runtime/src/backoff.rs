//! When to try again: exponential per object, with jitter, so that many objects do not come back at once.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Counts the failures of each object in a row.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// The first wait, and the longest.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: Mutex::default() }
    }

    /// How long to wait after one more failure of this object.
    pub fn next(&self, uid: &str) -> Duration {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tries.entry(uid.to_owned()).or_default();
        let wait = self.first.saturating_mul(2_u32.saturating_pow(*count)).min(self.most);
        *count = count.saturating_add(1);
        jittered(wait)
    }

    /// How many failures in a row this object has had.
    pub fn tries(&self, uid: &str) -> u32 {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).get(uid).copied().unwrap_or(0)
    }

    /// The object is well, or gone.
    pub fn forget(&self, uid: &str) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// The wait, more or less a fifth.
pub fn jittered(wait: Duration) -> Duration {
    // A new hasher of the standard library is seeded by the system: dice enough for spreading load.
    let dice = RandomState::new().hash_one(0_u8) % 401;
    wait.mul_f64(0.8 + f64::from(u32::try_from(dice).unwrap_or(0)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        let near = |wait: Duration, seconds: f64| {
            assert!(
                (seconds * 0.8..=seconds * 1.2).contains(&wait.as_secs_f64()),
                "{wait:?} is not near {seconds} s"
            );
        };
        for seconds in [1.0, 2.0, 4.0, 8.0] {
            near(backoff.next("a"), seconds);
        }
        for _ in 0..60 {
            backoff.next("a");
        }
        near(backoff.next("a"), 300.0);
        near(backoff.next("b"), 1.0);
        backoff.forget("a");
        near(backoff.next("a"), 1.0);
    }
}
