//! Faults on command: what a client must survive, put between it and a product.
//!
//! A fault is decided before the product sees the request; only a lost answer lets it through first. It must not know
//! any product, so an error answer carries the body it was given.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::matching::{Match, Tally};

/// One fault: what goes wrong, for which requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The requests meant.
    #[serde(flatten)]
    pub on: Match,
    /// What happens to them.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How likely a hit comes to pass, from 0 to 1; drawn from the server's seed.
    #[serde(default = "certain")]
    pub chance: f64,
}

const fn certain() -> f64 {
    1.0
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection is closed; the product never sees the request.
    Refuse,
    /// The product sees the request after this long.
    Delay {
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The product executes the request, then the connection is closed without an answer.
    AnswerLost,
    /// An error answer; the product never sees the request.
    Status {
        /// The HTTP status, such as 401, 403, 429, 500 or 503.
        status: u16,
        /// Seconds for the `Retry-After` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// The answer's JSON; a plain note that the fault was ordered when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
    },
    /// Status 200 with JSON that ends in the middle.
    BrokenJson,
    /// Status 200 with a login page.
    HtmlPage,
    /// The request is read and never answered; the connection stays open.
    Hang,
}

impl Fault {
    /// A fault that happens surely.
    pub const fn new(on: Match, kind: FaultKind) -> Self {
        Self { on, kind, chance: 1.0 }
    }

    /// Closes the connection for the requests meant.
    pub const fn refuse(on: Match) -> Self {
        Self::new(on, FaultKind::Refuse)
    }

    /// Holds the requests up.
    pub fn delay(on: Match, by: Duration) -> Self {
        Self::new(on, FaultKind::Delay { ms: u64::try_from(by.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Lets the product execute the requests and loses the answers.
    pub const fn answer_lost(on: Match) -> Self {
        Self::new(on, FaultKind::AnswerLost)
    }

    /// Answers with an error status.
    pub const fn status(on: Match, status: u16, retry_after: Option<u64>) -> Self {
        Self::new(on, FaultKind::Status { status, retry_after, body: None })
    }
}

/// A fault in force, with its number and how often it was hit.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveFault {
    /// The number to remove it by.
    pub id: u64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// How often it fitted and was hit.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What the faults in force make of one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How long the request is held up first.
    pub(crate) delay: Duration,
    /// What happens then, if anything.
    pub(crate) then: Option<FaultKind>,
}

/// The faults in force at one endpoint. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    dice: u64,
    active: Vec<ActiveFault>,
}

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner { dice: seed, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force and gives its number.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        inner.active.push(ActiveFault { id, fault, tally: Tally::default() });
        id
    }

    /// Takes one fault back; `false` when there is none of that number.
    pub fn remove(&self, id: u64) -> bool {
        let mut inner = self.lock();
        let before = inner.active.len();
        inner.active.retain(|active| active.id != id);
        inner.active.len() < before
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.lock().active.clear();
    }

    /// All faults with their tallies, spent ones included.
    pub fn list(&self) -> Vec<ActiveFault> {
        self.lock().active.clone()
    }

    /// Notes a request with every fault that fits. Delays add up; of the rest the first one hit decides.
    pub(crate) fn judge(&self, method: &str, path: &str) -> Verdict {
        let mut inner = self.lock();
        let Inner { dice, active, .. } = &mut *inner;
        let mut verdict = Verdict::default();
        for ActiveFault { fault, tally, .. } in active {
            if !fault.on.fits(method, path) || !tally.note(&fault.on) {
                continue;
            }
            if fault.chance < 1.0 && draw(dice) >= fault.chance {
                continue;
            }
            match &fault.kind {
                FaultKind::Delay { ms } => verdict.delay += Duration::from_millis(*ms),
                kind => verdict.then = verdict.then.or_else(|| Some(kind.clone())),
            }
        }
        verdict
    }
}

/// A number in [0, 1) by splitmix64: the same seed gives the same run.
#[allow(clippy::cast_precision_loss)] // 53 bits fit
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_documented_json() {
        let fault: Fault = serde_json::from_value(
            json!({"method": "POST", "path": "/api/*", "kind": "status", "status": 503, "retry_after": 3}),
        )
        .unwrap();
        assert_eq!(fault, Fault::status(Match::next("POST", "/api/*"), 503, Some(3)));
        let fault: Fault = serde_json::from_value(json!({"kind": "answer-lost", "count": null})).unwrap();
        assert_eq!(fault, Fault::answer_lost(Match::every("*", "*")));
    }

    #[test]
    fn delays_add_up_and_the_first_other_decides() {
        let faults = Faults::default();
        faults.add(Fault::delay(Match::every("*", "*"), Duration::from_millis(5)));
        faults.add(Fault::delay(Match::every("GET", "*"), Duration::from_millis(7)));
        faults.add(Fault::refuse(Match::next("GET", "*")));
        faults.add(Fault::answer_lost(Match::every("GET", "*")));
        let verdict = faults.judge("GET", "/x");
        assert_eq!((verdict.delay.as_millis(), verdict.then), (12, Some(FaultKind::Refuse)));
        assert_eq!(faults.judge("GET", "/x").then, Some(FaultKind::AnswerLost));
        assert!(faults.judge("POST", "/x").then.is_none());
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let run = |seed| {
            let faults = Faults::seeded(seed);
            faults.add(Fault { chance: 0.5, ..Fault::refuse(Match::every("*", "*")) });
            (0..64).map(|_| faults.judge("GET", "/").then.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!(run(7).contains(&true) && run(7).contains(&false));
    }
}
