//! Conditions as Flux and kstatus read them, and the closed list of reasons.
//!
//! `Ready` is always there; `Reconciling`, `Stalled` and `Paused` are there only when true. Pure: the clock is a parameter.

use std::fmt;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};

/// What the spec asks is so, now.
pub const READY: &str = "Ready";
/// Work or waiting goes on; present only when true.
pub const RECONCILING: &str = "Reconciling";
/// A person must act; present only when true.
pub const STALLED: &str = "Stalled";
/// The pause annotation is set; present only when true.
pub const PAUSED: &str = "Paused";
/// The firewall's running configuration has the row.
pub const PROGRAMMED: &str = "Programmed";
/// The endpoint answers and takes our credentials.
pub const REACHABLE: &str = "Reachable";
/// The node is a member of the cluster that its object names.
pub const JOINED: &str = "Joined";
/// Every guest has a node.
pub const SCHEDULED: &str = "Scheduled";
/// Every guest exists as the spec asks.
pub const PROVISIONED: &str = "Provisioned";
/// Every guest runs.
pub const RUNNING: &str = "Running";

/// Conditions that stand only while true.
const ABNORMAL: [&str; 3] = [RECONCILING, STALLED, PAUSED];

/// Why a condition has its value: a stable, closed list, part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// What is outside matches the spec.
    InSync,
    /// Work has been started and is followed to its end.
    Progressing,
    /// The outside thing is being removed.
    Deleting,
    /// The annotation `skyy.helloskyy.io/plan-only` holds the work back; `status.plan` says what it would be.
    PlanOnly,
    /// The annotation `skyy.helloskyy.io/paused` is set.
    PausedByUser,
    /// An object that this one names does not exist yet.
    DependencyMissing,
    /// An object that this one names is not Ready.
    DependencyNotReady,
    /// The Secret that holds the credentials is missing or lacks the key.
    SecretMissing,
    /// The endpoint refused the credentials.
    LoginRefused,
    /// The credentials lack a privilege.
    PrivilegeMissing,
    /// The endpoint's certificate is not the pinned one.
    CertificateMismatch,
    /// The endpoint cannot be reached or fails for a reason that time heals.
    EndpointUnavailable,
    /// The endpoint answered something that is not its API.
    EndpointNotUnderstood,
    /// The endpoint refused what the spec asks.
    Refused,
    /// The spec cannot be carried out as it stands.
    Invalid,
    /// Another object asks for the same thing.
    Conflict,
    /// The thing outside belongs to somebody else.
    NotOwned,
    /// The namespace may not use what it names.
    NamespaceNotAllowed,
    /// No host can take the guest.
    NoHostFits,
    /// The address pool has no free address.
    PoolExhausted,
    /// Not all guests run yet.
    GuestsNotReady,
    /// The change would interrupt a running guest and the policy forbids it.
    DisruptionNotAllowed,
    /// More deletions at once than the limit allows; a person must confirm.
    TooManyDeletes,
    /// The change would cut off the operator or a protected address.
    WouldLockOut,
    /// The cluster has no quorum.
    NoQuorum,
    /// The node is not online.
    NodeOffline,
    /// Somebody else's change waits to be applied.
    ForeignChangesStaged,
    /// The policy says that the thing outside stays.
    Retained,
    /// The system outside reports that it is not healthy.
    Unhealthy,
    /// The work took longer than one pass may take.
    TimedOut,
    /// A defect in the operator: please report it.
    Panicked,
    /// The Kubernetes API server refused or failed.
    ApiServerError,
}

impl Reason {
    /// The word as it stands in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Progressing => "Progressing",
            Self::Deleting => "Deleting",
            Self::PlanOnly => "PlanOnly",
            Self::PausedByUser => "PausedByUser",
            Self::DependencyMissing => "DependencyMissing",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::SecretMissing => "SecretMissing",
            Self::LoginRefused => "LoginRefused",
            Self::PrivilegeMissing => "PrivilegeMissing",
            Self::CertificateMismatch => "CertificateMismatch",
            Self::EndpointUnavailable => "EndpointUnavailable",
            Self::EndpointNotUnderstood => "EndpointNotUnderstood",
            Self::Refused => "Refused",
            Self::Invalid => "Invalid",
            Self::Conflict => "Conflict",
            Self::NotOwned => "NotOwned",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::NoHostFits => "NoHostFits",
            Self::PoolExhausted => "PoolExhausted",
            Self::GuestsNotReady => "GuestsNotReady",
            Self::DisruptionNotAllowed => "DisruptionNotAllowed",
            Self::TooManyDeletes => "TooManyDeletes",
            Self::WouldLockOut => "WouldLockOut",
            Self::NoQuorum => "NoQuorum",
            Self::NodeOffline => "NodeOffline",
            Self::ForeignChangesStaged => "ForeignChangesStaged",
            Self::Retained => "Retained",
            Self::Unhealthy => "Unhealthy",
            Self::TimedOut => "TimedOut",
            Self::Panicked => "Panicked",
            Self::ApiServerError => "ApiServerError",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is known of an object, before it becomes a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The condition's type.
    pub condition: &'static str,
    /// `Some(true)`, `Some(false)`, or `None` for Unknown.
    pub holds: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// One sentence for a person.
    pub message: String,
}

impl Fact {
    /// The condition is true.
    pub fn yes(condition: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, holds: Some(true), reason, message: message.into() }
    }
    /// The condition is false.
    pub fn no(condition: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, holds: Some(false), reason, message: message.into() }
    }
    /// Nobody could see.
    pub fn unknown(condition: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, holds: None, reason, message: message.into() }
    }
}

/// The fields of a status that the driver writes for every kind.
#[derive(Debug)]
pub struct Header<'a> {
    /// The generation that the status answers.
    pub observed_generation: &'a mut Option<i64>,
    /// The answered reconcile-now annotation.
    pub last_handled_reconcile_at: &'a mut Option<String>,
    /// What would be done, in plan-only mode.
    pub plan: &'a mut Vec<String>,
    /// The conditions.
    pub conditions: &'a mut Vec<Condition>,
}

/// A status that carries the driver's fields.
pub trait Reported:
    Clone + fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The conditions as they stand.
    fn conditions(&self) -> &[Condition];
    /// The driver's fields, to write.
    fn header(&mut self) -> Header<'_>;
}

/// The conditions that follow from what stood before and what is known now.
///
/// A condition of a kind's own that is not told again keeps its value (its message may be old, its fact is the last
/// one known); an abnormal one that is not told again disappears. The time of transition moves only with the status.
pub fn fold(old: &[Condition], facts: &[Fact], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let whole_second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut new: Vec<Condition> = facts
        .iter()
        .filter(|fact| !(ABNORMAL.contains(&fact.condition) && fact.holds != Some(true)))
        .map(|fact| {
            let status = match fact.holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let before = old.iter().find(|c| c.type_ == fact.condition);
            let since = before
                .filter(|c| c.status == status)
                .map_or_else(|| Time(whole_second), |c| c.last_transition_time.clone());
            Condition {
                type_: fact.condition.to_owned(),
                status: status.to_owned(),
                reason: fact.reason.as_str().to_owned(),
                message: bounded(&fact.message),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect();
    for kept in old {
        let told = facts.iter().any(|fact| fact.condition == kept.type_);
        if !told && !ABNORMAL.contains(&kept.type_.as_str()) {
            new.push(kept.clone());
        }
    }
    new.sort_by(|a, b| order(&a.type_).cmp(&order(&b.type_)).then_with(|| a.type_.cmp(&b.type_)));
    new
}

/// Ready first, then what is abnormal, then the kind's own by name.
fn order(condition: &str) -> u8 {
    match condition {
        READY => 0,
        STALLED => 1,
        RECONCILING => 2,
        PAUSED => 3,
        _ => 4,
    }
}

/// The API server takes 32 KiB; a person reads less.
fn bounded(message: &str) -> String {
    const LIMIT: usize = 2000;
    if message.len() <= LIMIT {
        return message.to_owned();
    }
    let cut = message.floor_char_boundary(LIMIT);
    format!("{}…", &message[..cut])
}

/// Is the object's `Ready` true for this generation?
pub fn is_ready(conditions: &[Condition], generation: Option<i64>) -> bool {
    conditions.iter().any(|c| {
        c.type_ == READY
            && c.status == "True"
            && (generation.is_none() || c.observed_generation == generation)
    })
}

/// The condition of this type, where there is one.
pub fn find<'a>(conditions: &'a [Condition], condition: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_of_transition_moves_only_with_the_status() {
        let first = fold(&[], &[Fact::no(READY, Reason::Progressing, "a")], Some(1), at(10));
        let second = fold(&first, &[Fact::no(READY, Reason::EndpointUnavailable, "b")], Some(2), at(20));
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("EndpointUnavailable", Some(2))
        );
        let third = fold(&second, &[Fact::yes(READY, Reason::InSync, "")], Some(2), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn an_abnormal_condition_disappears_and_a_kinds_own_stays() {
        let facts = [
            Fact::no(READY, Reason::Refused, "x"),
            Fact::yes(STALLED, Reason::Refused, "x"),
            Fact::yes(PROGRAMMED, Reason::InSync, ""),
        ];
        let before = fold(&[], &facts, Some(1), at(1));
        assert_eq!(before.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), [READY, STALLED, PROGRAMMED]);
        let after = fold(&before, &[Fact::yes(READY, Reason::InSync, "")], Some(1), at(2));
        assert_eq!(after.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), [READY, PROGRAMMED]);
    }

    #[test]
    fn the_same_facts_make_the_same_conditions() {
        let facts = [Fact::yes(READY, Reason::InSync, "")];
        let before = fold(&[], &facts, Some(1), at(1));
        assert_eq!(fold(&before, &facts, Some(1), at(99)), before);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let cut = fold(&[], &[Fact::no(READY, Reason::Refused, "ü".repeat(4000))], None, at(1));
        assert!(cut[0].message.len() <= 2003 && cut[0].message.ends_with('…'));
    }
}
