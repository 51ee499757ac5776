//! `skyyctl status`: what is not Ready, and why, from conditions alone.
//!
//! Judges as Flux and kstatus do. Pure: objects in, rows out; the clock is an argument.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use serde::Serialize;
use serde_json::Value;
use skyy_api::{Reason, condition};

/// How an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum State {
    /// A person must act.
    Stalled,
    /// Not Ready, and somebody is at it.
    NotReady,
    /// Nobody has looked at the last change yet.
    Unseen,
    /// Nobody looks, because a person said so.
    Paused,
    /// All is as the spec asks.
    Ready,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its kind.
    pub kind: String,
    /// Its namespace; none for kinds of the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What a person can do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// How many of a kind are Ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All of them.
    pub objects: usize,
    /// Those that are Ready.
    pub ready: usize,
}

/// All that there is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// By kind.
    pub kinds: BTreeMap<String, Count>,
    /// The objects, worst first.
    pub objects: Vec<Line>,
}

impl Status {
    /// Whether everything is Ready.
    pub fn all_ready(&self) -> bool {
        self.kinds.values().all(|count| count.ready == count.objects)
    }
}

/// How objects stand: those that are not Ready, or all of them.
pub fn table(objects: &[Value], all: bool) -> Status {
    let mut status = Status::default();
    for object in objects {
        let line = line(object);
        let count = status.kinds.entry(line.kind.clone()).or_default();
        count.objects += 1;
        count.ready += usize::from(line.state == State::Ready);
        if all || line.state != State::Ready {
            status.objects.push(line);
        }
    }
    let key = |line: &Line| (line.state, line.kind.clone(), line.namespace.clone(), line.name.clone());
    status.objects.sort_by_key(key);
    status
}

fn line(object: &Value) -> Line {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let conditions: Vec<Condition> = object
        .pointer("/status/conditions")
        .and_then(|conditions| serde_json::from_value(conditions.clone()).ok())
        .unwrap_or_default();
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let find = |kind| condition::find(&conditions, kind);
    let holds = |kind| find(kind).filter(|condition| condition.status == "True");
    let seen = observed.is_some_and(|observed| generation.is_none_or(|now| observed >= now));
    let (state, of) = match (holds(condition::PAUSED), holds(condition::STALLED), find(condition::READY)) {
        (Some(paused), ..) => (State::Paused, Some(paused)),
        _ if !seen => (State::Unseen, None),
        (_, Some(stalled), _) => (State::Stalled, Some(stalled)),
        (_, _, Some(ready)) if ready.status == "True" => (State::Ready, Some(ready)),
        (_, _, Some(ready)) => (State::NotReady, Some(ready)),
        (_, _, None) => (State::Unseen, None),
    };
    let deleting = text("/metadata/deletionTimestamp").is_some();
    let reason = of.map_or_else(|| "NotSeenYet".to_owned(), |condition| condition.reason.clone());
    let next = match state {
        State::Ready => String::new(),
        State::Unseen => "is the operator running? kubectl get pods -n skyy-system".to_owned(),
        State::Paused => format!("remove the annotation {}", skyy_api::common::PAUSED_ANNOTATION),
        State::Stalled | State::NotReady => next_for(&reason).to_owned(),
    };
    let message = of.map_or_else(
        || "no controller has looked at the last change yet".to_owned(),
        |condition| condition.message.clone(),
    );
    let wait = if deleting && state != State::Ready { "is being deleted: " } else { "" };
    Line {
        kind: text("/kind").unwrap_or_default().to_owned(),
        namespace: text("/metadata/namespace").map(ToOwned::to_owned),
        name: text("/metadata/name").unwrap_or_default().to_owned(),
        state: if deleting && state == State::Ready { State::NotReady } else { state },
        reason,
        message: format!("{wait}{message}"),
        since: of
            .map(|condition| condition.last_transition_time.0)
            .or_else(|| text("/metadata/creationTimestamp").and_then(|text| text.parse().ok())),
        next,
    }
}

/// What a person can do about a reason; nothing where the message says it, or time heals it.
fn next_for(reason: &str) -> &'static str {
    let is = |known: Reason| known.as_str() == reason;
    let table = [
        (Reason::PlanOnly, "read status.plan; remove the annotation to let it happen"),
        (Reason::DependencyMissing, "create what is named, or name another"),
        (Reason::DependencyNotReady, "see what it waits for: it is in this table too"),
        (Reason::SecretMissing, "create the Secret with that key"),
        (Reason::LoginRefused, "put working credentials into the Secret; it is tried again at once"),
        (Reason::PrivilegeMissing, "give the account that right"),
        (Reason::CertificateMismatch, "compare the fingerprint with the server's; then change spec.tls"),
        (Reason::EndpointUnavailable, "is tried again by itself; look at the endpoint if it lasts"),
        (Reason::EndpointNotUnderstood, "is that the right address and port?"),
        (Reason::Refused, "change the spec as the message says"),
        (Reason::Invalid, "change the spec as the message says"),
        (Reason::Conflict, "decide which of the two is meant"),
        (Reason::NotOwned, "set spec.adopt: true to take it over, or choose another"),
        (Reason::NamespaceNotAllowed, "label the namespace, or widen spec.allowedNamespaces"),
        (Reason::NoHostFits, "skyyctl explain deployment NAME shows why, host by host"),
        (Reason::PoolExhausted, "add addresses to the pool"),
        (Reason::DisruptionNotAllowed, "set spec.disruption: Allowed when it may be interrupted"),
        (Reason::TooManyDeletes, "confirm by the annotation that the message names"),
        (Reason::WouldLockOut, "change the rule that the message names"),
        (Reason::NoQuorum, "bring back enough nodes"),
        (Reason::NodeOffline, "bring the node back"),
        (Reason::ForeignChangesStaged, "apply or revert them on the node"),
        (Reason::Unhealthy, "look at the system itself"),
        (Reason::Panicked, "report it with the operator's log"),
    ];
    table.into_iter().find(|(known, _)| is(*known)).map_or("", |(_, next)| next)
}

/// `3d`, `4m`: how long ago, in one unit.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, generation: i64, observed: i64, conditions: Value) -> Value {
        json!({
            "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIP",
            "metadata": {"namespace": "tenants", "name": name, "generation": generation,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"observedGeneration": observed, "conditions": conditions},
        })
    }

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
               "observedGeneration": 2, "lastTransitionTime": "2026-01-02T00:00:00Z"})
    }

    fn states(objects: &[Value]) -> Vec<(String, State, String)> {
        let lines = table(objects, true).objects;
        lines.into_iter().map(|line| (line.name, line.state, line.reason)).collect()
    }

    #[test]
    fn each_state_is_told_from_the_others_and_the_worst_comes_first() {
        let ready = condition("Ready", "True", "InSync", "");
        let waiting = condition("Ready", "False", "Progressing", "waiting for Firewall edge");
        let stalled = json!([
            condition("Ready", "False", "NotOwned", "exists"),
            condition("Stalled", "True", "NotOwned", "exists")
        ]);
        let paused = json!([ready, condition("Paused", "True", "PausedByUser", "nobody looks")]);
        let objects = [
            object("a-ready", 2, 2, json!([ready])),
            object("b-old", 3, 2, json!([ready])),
            object("c-waiting", 2, 2, json!([waiting])),
            object("d-stalled", 2, 2, stalled),
            object("e-paused", 2, 2, paused),
            object("f-new", 1, -1, json!([])),
        ];
        let row = |name: &str, state, reason: &str| (name.to_owned(), state, reason.to_owned());
        assert_eq!(
            states(&objects),
            [
                row("d-stalled", State::Stalled, "NotOwned"),
                row("c-waiting", State::NotReady, "Progressing"),
                row("b-old", State::Unseen, "NotSeenYet"),
                row("f-new", State::Unseen, "NotSeenYet"),
                row("e-paused", State::Paused, "PausedByUser"),
                row("a-ready", State::Ready, "InSync"),
            ]
        );
        let status = table(&objects, false);
        assert_eq!(status.kinds["VirtualIP"], Count { objects: 6, ready: 1 });
        assert_eq!(status.objects.len(), 5, "what is Ready is not listed");
        assert!(!status.all_ready());
        assert!(table(&objects[..1], false).all_ready());
        assert!(status.objects[0].next.contains("adopt: true"));
    }

    #[test]
    fn an_object_that_goes_is_not_ready() {
        let mut going = object("a", 2, 2, json!([condition("Ready", "True", "InSync", "")]));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z");
        assert_eq!(states(&[going])[0].1, State::NotReady);
    }

    #[test]
    fn ages_are_in_one_unit() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let cases = [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")];
        for (seconds, expected) in cases {
            assert_eq!(age(at(1000), at(1000 + seconds)), expected);
        }
        assert_eq!(age(at(1000), at(0)), "0s");
    }
}
