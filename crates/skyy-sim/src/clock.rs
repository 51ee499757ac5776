//! The time of a simulated system: real, faster than real, or moved by hand.
//!
//! Tests that must not wait use the manual clock: sleeping on it jumps ahead instead of waiting.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Simulated time since the Unix epoch. Clones share one time.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Real { speed: f64, started: Instant, offset: Duration },
    Manual(Arc<Mutex<Duration>>),
}

impl Clock {
    /// Wall-clock time from now on, running `speed` times as fast. A speed that is not a positive number counts as 1.
    pub fn real(speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        let offset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Inner::Real { speed, started: Instant::now(), offset })
    }

    /// A clock that stands still until it is advanced or somebody sleeps on it.
    pub fn manual() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Inner::Manual(Arc::new(Mutex::new(now))))
    }

    /// Simulated time since the Unix epoch.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Inner::Real { speed, started, offset } => *offset + started.elapsed().mul_f64(*speed),
            Inner::Manual(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Simulated time in whole seconds, as PHP's `time()` gives it.
    pub fn unix(&self) -> u64 {
        self.now().as_secs()
    }

    /// Moves a manual clock ahead; on a real one it does nothing.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(now) = &self.0 {
            *now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// Waits for `span` of simulated time.
    pub async fn sleep(&self, span: Duration) {
        match &self.0 {
            Inner::Real { speed, .. } => tokio::time::sleep(span.div_f64(*speed)).await,
            Inner::Manual(_) => self.advance(span),
        }
    }

    /// Waits until simulated time has reached `moment`.
    pub async fn sleep_until(&self, moment: Duration) {
        // A timer may fire a little early against the scaled clock.
        while let Some(rest) = moment.checked_sub(self.now()).filter(|rest| !rest.is_zero()) {
            self.sleep(rest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_on_a_manual_clock_jumps() {
        let clock = Clock::manual();
        let before = clock.now();
        clock.sleep(Duration::from_mins(5)).await;
        clock.sleep_until(before + Duration::from_secs(100)).await;
        assert_eq!(clock.now().checked_sub(before).unwrap(), Duration::from_mins(5));
    }

    #[tokio::test]
    async fn a_fast_clock_reaches_its_moment() {
        let clock = Clock::real(1000.0);
        let moment = clock.now() + Duration::from_secs(3);
        clock.sleep_until(moment).await;
        assert!(clock.now() >= moment);
    }
}
