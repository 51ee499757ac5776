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
        match self.recorder.publish(&event, &object.object_ref(&())).await {
            Ok(()) => self.metrics.event_written(kind),
            Err(error) => tracing::warn!(%error, "event not published"),
        }
    }
}

/// The event that a change of Ready deserves. None when nothing changed, and none for a first success: the status says it.
pub fn of_change(old: &[Condition], new: &[Condition]) -> Option<Note> {
    let now = find(new, READY)?;
    let before = find(old, READY);
    let worth = match before {
        Some(before) => before.status != now.status || before.reason != now.reason,
        None => now.status != "True",
    };
    // Progress is told by the status; only trouble and its end are events.
    let quiet = matches!(now.reason.as_str(), "Progressing" | "Deleting");
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
