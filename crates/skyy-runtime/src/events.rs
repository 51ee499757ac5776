//! Events: one on a change of Ready, one for each thing a kind finds worth telling. Losing one never fails the work.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use skyy_api::condition::{READY, find};

use crate::{
    kind::{Note, Object},
    metrics::Metrics,
};

/// What may stand in an event.
const LONGEST_NOTE: usize = 1000;
/// How long an event may hold up the work that it tells of.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Writes events under the operator's name.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    metrics: Metrics,
}

impl Events {
    /// Writes as this instance.
    pub fn new(client: Client, instance: Option<String>, metrics: Metrics) -> Self {
        let reporter = Reporter { controller: "skyy-command".into(), instance };
        Self { recorder: Recorder::new(client, reporter), metrics }
    }

    /// Writes one event about the object.
    pub async fn publish<K: Object>(&self, kind: &'static str, object: &K, note: &Note) {
        let mut text = note.message.clone();
        text.truncate(text.floor_char_boundary(LONGEST_NOTE));
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_string(),
            note: Some(text),
            action: "Reconcile".into(),
            secondary: None,
        };
        match tokio::time::timeout(LONGEST_WAIT, self.recorder.publish(&event, &object.object_ref(&()))).await
        {
            Ok(Ok(())) => self.metrics.event_written(kind),
            Ok(Err(error)) => tracing::warn!(%error, "event not published"),
            Err(_) => tracing::warn!("event not published: the API server did not answer"),
        }
    }
}

/// The event that a change of Ready deserves. None when nothing changed, and none for a first success: the status says it.
pub fn of_change(old: &[Condition], new: &[Condition]) -> Option<Note> {
    let now = find(new, READY)?;
    let before = find(old, READY);
    let quiet = |reason: &str| matches!(reason, "Progressing" | "Deleting");
    let worth = match before {
        // The end of work is told by the status; the end of trouble is an event.
        Some(before) if now.status == "True" => before.status != "True" && !quiet(&before.reason),
        Some(before) => before.status != now.status || before.reason != now.reason,
        // Objects that are applied together find each other within a moment.
        None => now.status != "True" && !now.reason.starts_with("Dependency"),
    };
    // Progress is told by the status; only trouble and its end are events.
    let quiet = quiet(&now.reason);
    (worth && !quiet).then(|| Note {
        warning: now.status == "False" && now.reason != "PlanOnly",
        reason: now.reason.clone().into(),
        message: if now.message.is_empty() {
            "what is outside matches the spec".into()
        } else {
            now.message.clone()
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    fn ready(status: &str, reason: &str, message: &str) -> Vec<Condition> {
        vec![Condition {
            type_: READY.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }]
    }

    #[test]
    fn only_a_change_of_ready_is_an_event() {
        #[track_caller]
        fn check(old: &[Condition], new: &[Condition], expected: Option<(bool, &str)>) {
            let note = of_change(old, new);
            assert_eq!(note.as_ref().map(|note| (note.warning, note.reason.as_ref())), expected);
        }
        let (good, bad) = (ready("True", "InSync", ""), ready("False", "Refused", "no"));
        let working = ready("False", "Progressing", "cloning");

        check(&[], &good, None);
        check(&[], &bad, Some((true, "Refused")));
        check(&good, &bad, Some((true, "Refused")));
        check(&bad, &bad, None);
        check(&bad, &ready("False", "Refused", "other words"), None);
        check(&bad, &ready("False", "EndpointUnavailable", ""), Some((true, "EndpointUnavailable")));
        check(&bad, &good, Some((false, "InSync")));
        check(&good, &good, None);
        check(&good, &working, None);
        check(&good, &ready("False", "Deleting", ""), None);
        check(&good, &ready("False", "PlanOnly", ""), Some((false, "PlanOnly")));
        check(&good, &ready("Unknown", "PausedByUser", ""), Some((false, "PausedByUser")));
        check(&good, &[], None);
    }

    #[test]
    fn an_event_always_says_something() {
        let said = |new: Vec<Condition>| {
            of_change(&ready("False", "Refused", "no"), &new).map(|note| note.message).unwrap_or_default()
        };
        assert_eq!(said(ready("True", "InSync", "")), "what is outside matches the spec");
        assert_eq!(said(ready("True", "InSync", "3 of 3 guests run")), "3 of 3 guests run");
    }
}
