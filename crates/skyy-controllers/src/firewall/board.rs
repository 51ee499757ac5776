//! What the objects ask of one firewall, and what they were answered. Pure bookkeeping; it must not talk to anybody.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use skyy_plan::firewall::{Ask, Owner, Verdict};
use skyy_runtime::Failure;

/// An answer to one ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What becomes of it, or why nobody knows.
    pub verdict: Result<Verdict, Failure>,
}

/// What is known about an ask.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// It has been answered.
    Answered(Box<Answer>),
    /// It has been asked, and not answered yet.
    Asked {
        /// How long ago.
        since: Duration,
    },
    /// It has not been asked.
    Unasked,
}

struct Asked {
    ask: Ask,
    since: Instant,
    answer: Option<Answer>,
    /// The request to look now that was heard last.
    look: Option<String>,
    /// The answer is from before that request.
    stale: bool,
}

/// The asks of one firewall with their answers.
#[derive(Default)]
pub(super) struct Board {
    asks: BTreeMap<Owner, Asked>,
    repairs: BTreeMap<Owner, String>,
    changes: u64,
    withdrawals: u64,
}

impl Board {
    /// Takes an ask. True when it says something new.
    pub(super) fn declare(&mut self, ask: Ask) -> bool {
        if self.asks.get(&ask.owner).is_some_and(|asked| asked.ask == ask) {
            return false;
        }
        self.changes += 1;
        // An ask that was changed or held back must not be carried out as it was.
        let asked = Asked { ask, since: Instant::now(), answer: None, look: None, stale: false };
        if self.asks.insert(asked.ask.owner.clone(), asked).is_some() {
            self.withdrawals += 1;
        }
        true
    }

    /// A person wants this ask answered anew. True when this request was not heard before.
    pub(super) fn look_for(&mut self, owner: &Owner, request: &str) -> bool {
        let Some(asked) = self.asks.get_mut(owner) else { return false };
        if asked.look.as_deref() == Some(request) {
            return false;
        }
        (asked.look, asked.stale, asked.since) = (Some(request.to_owned()), true, Instant::now());
        true
    }

    /// The object asks for nothing any more; what stands on the firewall is left as it is.
    pub(super) fn withdraw(&mut self, owner: &Owner) {
        if self.asks.remove(owner).is_some() {
            self.changes += 1;
            self.withdrawals += 1;
        }
        self.repairs.remove(owner);
    }

    pub(super) fn know(&self, ask: &Ask) -> Known {
        match self.asks.get(&ask.owner) {
            Some(asked) if asked.ask == *ask => match &asked.answer {
                Some(answer) if !asked.stale => Known::Answered(Box::new(answer.clone())),
                _ => Known::Asked { since: asked.since.elapsed() },
            },
            _ => Known::Unasked,
        }
    }

    pub(super) fn asks(&self) -> Vec<Ask> {
        self.asks.values().map(|asked| asked.ask.clone()).collect()
    }

    /// Moves with every ask that comes, changes or goes.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Moves with every ask that changes or goes: a plan made before must not be carried on.
    pub(super) fn withdrawals(&self) -> u64 {
        self.withdrawals
    }

    /// Is there an ask without an answer?
    pub(super) fn anything_unanswered(&self) -> bool {
        self.asks.values().any(|asked| asked.answer.is_none() || asked.stale)
    }

    /// Writes an answer to an ask, if that is still what is asked. True when the object should hear of it.
    pub(super) fn answer(&mut self, ask: &Ask, verdict: Result<Verdict, Failure>) -> bool {
        let Some(asked) = self.asks.get_mut(&ask.owner) else { return false };
        if asked.ask != *ask {
            return false;
        }
        let verdict = verdict.map(|verdict| match verdict {
            // Which steps of which plan is nothing that an object should wake for.
            Verdict::Change { actions, .. } => Verdict::Change { actions, steps: Vec::new() },
            other => other,
        });
        let answer = Some(Answer { verdict });
        // What was put right behind its back is news too, though the answer is the same.
        let news = asked.answer != answer || asked.stale || self.repairs.contains_key(&ask.owner);
        (asked.answer, asked.stale) = (answer, false);
        news
    }

    /// Was this very ask in sync when it was last looked at?
    pub(super) fn was_in_sync(&self, ask: &Ask) -> bool {
        let asked = self.asks.get(&ask.owner).filter(|asked| asked.ask == *ask);
        asked
            .and_then(|asked| asked.answer.as_ref())
            .is_some_and(|answer| answer.verdict == Ok(Verdict::InSync))
    }

    pub(super) fn note_repair(&mut self, owner: Owner, what: String) {
        self.repairs.insert(owner, what);
    }

    pub(super) fn take_repair(&mut self, owner: &Owner) -> Option<String> {
        self.repairs.remove(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyy_plan::firewall::{Desired, Goal, RowKind};

    fn ask(name: &str, held: bool) -> Ask {
        Ask {
            owner: Owner {
                kind: RowKind::VirtualIp,
                namespace: "a".into(),
                name: name.into(),
                uid: "u".into(),
            },
            row: Desired::Nothing(skyy_api::Reason::Invalid, String::new()),
            goal: Goal::Present,
            adopt: false,
            held,
            priority: 0,
        }
    }

    #[test]
    fn an_answer_belongs_to_exactly_what_was_asked() {
        let mut board = Board::default();
        assert_eq!(board.know(&ask("a", false)), Known::Unasked);
        assert!(board.declare(ask("a", false)));
        assert!(!board.declare(ask("a", false)), "the same again is nothing new");
        assert!(board.answer(&ask("a", false), Ok(Verdict::InSync)));
        assert!(!board.answer(&ask("a", false), Ok(Verdict::InSync)), "the same answer wakes nobody");
        assert!(board.was_in_sync(&ask("a", false)));

        board.note_repair(ask("a", false).owner, "put right".into());
        assert!(board.answer(&ask("a", false), Ok(Verdict::InSync)), "what was put right is news");
        assert_eq!(board.take_repair(&ask("a", false).owner).as_deref(), Some("put right"));
        assert!(!board.answer(&ask("a", false), Ok(Verdict::InSync)), "told once");

        let before = board.withdrawals();
        assert!(board.declare(ask("a", true)));
        assert_ne!(board.withdrawals(), before, "a plan made for the old ask must not go on");
        assert!(!board.answer(&ask("a", false), Ok(Verdict::InSync)), "the old ask is answered no more");
        assert!(board.anything_unanswered());
        board.withdraw(&ask("a", true).owner);
        assert_eq!(board.know(&ask("a", true)), Known::Unasked);
    }

    #[test]
    fn a_request_to_look_now_is_answered_by_a_new_look_and_heard_once() {
        let (mut board, ask) = (Board::default(), ask("a", false));
        assert!(!board.look_for(&ask.owner, "now"), "nothing is asked yet");
        board.declare(ask.clone());
        board.answer(&ask, Ok(Verdict::InSync));
        assert!(board.look_for(&ask.owner, "now"));
        assert!(matches!(board.know(&ask), Known::Asked { .. }), "the old answer does not count");
        assert!(board.was_in_sync(&ask), "what is put right now was right before");
        assert!(board.anything_unanswered());
        assert!(!board.look_for(&ask.owner, "now"), "the same request again is none");
        assert!(board.answer(&ask, Ok(Verdict::InSync)), "the same answer is news to who asked for it");
        assert!(matches!(board.know(&ask), Known::Answered(_)));
        assert!(!board.look_for(&ask.owner, "now"));
    }
}
