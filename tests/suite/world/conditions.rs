//! Every status that is written is seen here, and held against what Flux and kstatus expect of conditions.
//!
//! It must not know a kind: the rules are the same for all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;

use super::{KEY, lock, objects::our_kinds};

/// Conditions that stand only while true.
const ABNORMAL: [&str; 3] = ["Reconciling", "Stalled", "Paused"];

#[derive(Default)]
struct Seen {
    /// The last conditions of each object, by uid.
    last: BTreeMap<String, Vec<Value>>,
    /// How Ready went, by object.
    history: BTreeMap<String, Vec<String>>,
    broken: Vec<String>,
}

/// What was seen of all statuses.
#[derive(Clone)]
pub(super) struct Watched(Arc<Mutex<Seen>>);

impl Watched {
    /// Begins to watch all kinds.
    pub(super) fn begin(client: &Client) -> Self {
        let watched = Self(Arc::default());
        for known in our_kinds() {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &known.resource);
            let (seen, kind) = (watched.0.clone(), known.resource.kind.clone());
            tokio::spawn(async move {
                let stream = watcher(api, watcher::Config::default()).default_backoff();
                let mut stream = std::pin::pin!(stream);
                while let Some(event) = stream.next().await {
                    if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event {
                        lock(&seen).take(&kind, &object);
                    }
                }
            });
        }
        watched
    }

    /// The rules that were broken.
    pub(super) fn broken(&self) -> Vec<String> {
        lock(&self.0).broken.clone()
    }

    /// How Ready went, a line an object; of very many, those that went through most.
    pub(super) fn history(&self) -> Vec<String> {
        let seen = lock(&self.0);
        let mut lines: Vec<_> = seen.history.iter().collect();
        lines.sort_by_key(|(_, steps)| std::cmp::Reverse(steps.len()));
        lines.into_iter().take(40).map(|(name, steps)| format!("{name}: {}", steps.join(" → "))).collect()
    }
}

impl Seen {
    fn take(&mut self, kind: &str, object: &DynamicObject) {
        let name = format!("{kind} {}", object.name_any());
        let status = &object.data["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let before = self.last.insert(object.uid().unwrap_or_default(), conditions.clone());
        let generation = object.metadata.generation.unwrap_or_default();
        let complaints = complaints(generation, status, &conditions, before.as_deref().unwrap_or_default());
        self.broken.extend(complaints.into_iter().map(|complaint| format!("{name}: {complaint}: {status}")));
        if let Some(ready) = conditions.iter().find(|condition| condition["type"] == "Ready") {
            let step = format!(
                "{} {}",
                ready["status"].as_str().unwrap_or("?"),
                ready["reason"].as_str().unwrap_or("?")
            );
            let steps = self.history.entry(name).or_default();
            if steps.last() != Some(&step) {
                steps.push(step);
            }
        }
    }
}

/// What is wrong with a status.
fn complaints(generation: i64, status: &Value, conditions: &[Value], before: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let observed = status["observedGeneration"].as_i64();
    if conditions.is_empty() {
        check(matches!(observed, None | Some(-1)), "a generation was observed, and no condition says so");
        return wrong;
    }
    let of = |type_: &str| conditions.iter().find(|condition| condition["type"] == type_);
    let holds = |type_: &str| of(type_).is_some_and(|condition| condition["status"] == "True");
    let text = |condition: &Value, name: &str| condition[name].as_str().unwrap_or_default().to_owned();

    check(
        observed.is_some_and(|observed| observed <= generation),
        "observedGeneration is ahead of the object",
    );
    check(of("Ready").is_some(), "Ready is missing");
    check(!(holds("Ready") && (holds("Reconciling") || holds("Stalled"))), "Ready and not at rest");
    check(!(holds("Reconciling") && holds("Stalled")), "Reconciling and Stalled at once");
    if let Some(ready) = of("Ready") {
        check(
            ready["observedGeneration"].as_i64() == observed,
            "Ready answers another generation than the status",
        );
        let explained = holds("Reconciling")
            || holds("Stalled")
            || holds("Paused")
            || text(ready, "reason") == "PlanOnly";
        check(holds("Ready") || explained, "not Ready, and neither at work nor stalled");
        check(holds("Ready") || !text(ready, "message").is_empty(), "not Ready, and not a word why");
    }
    let mut types: Vec<String> = conditions.iter().map(|condition| text(condition, "type")).collect();
    types.sort();
    types.dedup();
    check(types.len() == conditions.len(), "a type stands twice");
    for condition in conditions {
        let type_ = text(condition, "type");
        if ABNORMAL.contains(&type_.as_str()) {
            check(holds(&type_), &format!("{type_} is there and not true"));
        }
        let reason = text(condition, "reason");
        check(
            reason.starts_with(|c: char| c.is_ascii_uppercase())
                && reason.chars().all(|c| c.is_ascii_alphanumeric()),
            &format!("{type_}: the reason is no word"),
        );
        check(
            condition["observedGeneration"].as_i64().is_some_and(|of| Some(of) <= observed),
            &format!("{type_} answers a generation that the status has not seen"),
        );
        if let Some(old) = before.iter().find(|old| old["type"] == condition["type"]) {
            let moved = old["lastTransitionTime"] != condition["lastTransitionTime"];
            let changed = old["status"] != condition["status"];
            // Within one second the time may stay although the status has moved.
            check(changed || !moved, &format!("{type_}: lastTransitionTime moved and the status did not"));
        }
    }
    check(!status.to_string().contains(KEY), "a secret stands in it");
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({
            "type": type_, "status": status, "reason": reason, "message": "words", "observedGeneration": 2,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    #[track_caller]
    fn check(conditions: &[Value], before: &[Value], expected: &[&str]) {
        let status = json!({"observedGeneration": 2, "conditions": conditions});
        assert_eq!(complaints(2, &status, conditions, before), expected);
    }

    #[test]
    fn what_flux_expects_passes_and_each_breach_is_named() {
        let ready = condition("Ready", "True", "InSync");
        let working = condition("Reconciling", "True", "Progressing");
        let not = condition("Ready", "False", "Progressing");
        check(&[ready.clone(), condition("Programmed", "True", "InSync")], &[], &[]);
        check(&[not.clone(), working.clone()], &[], &[]);
        check(&[condition("Ready", "False", "PlanOnly")], &[], &[]);
        check(&[ready.clone(), working.clone()], &[], &["Ready and not at rest"]);
        check(std::slice::from_ref(&working), &[], &["Ready is missing"]);
        check(
            &[not.clone(), working, condition("Stalled", "True", "Refused")],
            &[],
            &["Reconciling and Stalled at once"],
        );
        check(&[not], &[], &["not Ready, and neither at work nor stalled"]);
        check(
            &[ready.clone(), condition("Stalled", "False", "InSync")],
            &[],
            &["Stalled is there and not true"],
        );
        check(&[ready.clone(), ready.clone()], &[], &["a type stands twice"]);
        let mut later = ready.clone();
        later["lastTransitionTime"] = json!("2026-01-01T00:00:09Z");
        check(&[later], &[ready], &["Ready: lastTransitionTime moved and the status did not"]);
        let leaky = json!({"observedGeneration": -1, "conditions": []});
        assert_eq!(complaints(1, &leaky, &[], &[]), Vec::<String>::new());
    }
}
