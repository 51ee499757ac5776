//! From the outcome of a pass to the status that is written: pure, but for the one write.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use skyy_api::{
    Reason, Reported,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION, RECONCILE_AT_ANNOTATION},
    condition::{Fact, PAUSED, READY, RECONCILING, STALLED, fold},
};

use crate::{
    failure::{Class, Failure},
    kind::{Goal, Object, StatusOf},
};

/// The manager under whose name statuses are applied.
pub const FIELD_MANAGER: &str = "skyy-command";

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What the spec asks is so.
    Settled(Reason, String),
    /// Work goes on.
    Working(String),
    /// Plan-only, and something is to be done.
    Planned(Vec<String>),
    /// Paused.
    Paused,
    /// Something is in the way.
    Failed(Failure),
}

impl Outcome {
    /// The word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Settled(..) => "settled",
            Self::Working(_) => "working",
            Self::Planned(_) => "planned",
            Self::Paused => "paused",
            Self::Failed(failure) => match failure.class {
                Class::Transient => "transient",
                Class::Waiting => "waiting",
                Class::Terminal => "terminal",
            },
        }
    }

    /// The conditions that every kind has.
    pub fn facts(&self, goal: Goal) -> Vec<Fact> {
        match self {
            Self::Settled(reason, message) => vec![Fact::yes(READY, *reason, message.clone())],
            Self::Working(what) => {
                let reason = if goal == Goal::Absent { Reason::Deleting } else { Reason::Progressing };
                vec![Fact::no(READY, reason, what.clone()), Fact::yes(RECONCILING, reason, what.clone())]
            }
            Self::Planned(lines) => {
                let message = format!(
                    "{} held back by the annotation {PLAN_ONLY_ANNOTATION}; see status.plan",
                    count(lines.len(), "step is", "steps are")
                );
                vec![Fact::no(READY, Reason::PlanOnly, message)]
            }
            Self::Paused => {
                let message = format!("nobody looks while the annotation {PAUSED_ANNOTATION} is set");
                vec![
                    Fact::unknown(READY, Reason::PausedByUser, message.clone()),
                    Fact::yes(PAUSED, Reason::PausedByUser, message),
                ]
            }
            Self::Failed(failure) => {
                let second = if failure.class == Class::Terminal { STALLED } else { RECONCILING };
                vec![
                    Fact::no(READY, failure.reason, failure.message.clone()),
                    Fact::yes(second, failure.reason, failure.message.clone()),
                ]
            }
        }
    }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The status that follows from the object, what its kind told, and the outcome. Pure.
pub fn status_of<K: Object>(
    object: &K,
    told: Option<(StatusOf<K>, Vec<Fact>)>,
    outcome: &Outcome,
    goal: Goal,
    now: Timestamp,
) -> StatusOf<K> {
    let old = object.status().cloned().unwrap_or_default();
    let (mut status, own) = told.unwrap_or_else(|| (old.clone(), Vec::new()));
    let mut facts = outcome.facts(goal);
    facts.extend(own);
    let conditions = fold(old.conditions(), &facts, object.meta().generation, now);
    let header = status.header();
    *header.observed_generation = object.meta().generation;
    *header.conditions = conditions;
    *header.plan = if let Outcome::Planned(lines) = outcome { bounded(lines) } else { Vec::new() };
    *header.last_handled_reconcile_at = object.annotations().get(RECONCILE_AT_ANNOTATION).cloned();
    status
}

/// A status is for people: of a very long plan it shows the beginning, and says how much more there is.
fn bounded(lines: &[String]) -> Vec<String> {
    const MOST: usize = 50;
    let mut shown: Vec<String> = lines.iter().take(MOST).cloned().collect();
    if lines.len() > MOST {
        shown.push(format!("… and {} more", lines.len() - MOST));
    }
    shown
}

/// Writes the status whole, by server-side apply.
pub async fn write<K: Object>(api: &Api<K>, object: &K, status: &StatusOf<K>) -> Result<(), kube::Error> {
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a, S> {
        api_version: std::borrow::Cow<'a, str>,
        kind: std::borrow::Cow<'a, str>,
        metadata: Meta<'a>,
        status: &'a S,
    }
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta<'a> {
        // An object of the same name, made after this one went, must not get this one's status.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<&'a str>,
        // Nor may a pass that began with an older version write over what a later one told.
        #[serde(skip_serializing_if = "Option::is_none")]
        resource_version: Option<&'a str>,
    }
    let body = Body {
        api_version: <K as Resource>::api_version(&()),
        kind: <K as Resource>::kind(&()),
        metadata: Meta {
            uid: object.meta().uid.as_deref(),
            resource_version: object.meta().resource_version.as_deref(),
        },
        status,
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&object.name_any(), &params, &Patch::Apply(&body)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use skyy_api::{VirtualIp, VirtualIpSpec, VirtualIpStatus, condition::find};

    use super::*;

    fn object() -> VirtualIp {
        let mut object = VirtualIp::new(
            "a",
            VirtualIpSpec {
                firewall: "edge".into(),
                address: "198.18.0.2/23".into(),
                interface: "wan".into(),
                mode: skyy_api::virtual_ip::VipMode::IPAlias,
                vhid: None,
                description: String::new(),
                adopt: false,
                deletion_policy: skyy_api::DeletionPolicy::Delete,
            },
        );
        object.metadata.generation = Some(7);
        object
    }

    fn outcomes() -> Vec<(Outcome, &'static str)> {
        let failed = |failure| Outcome::Failed(failure);
        vec![
            (Outcome::Settled(Reason::InSync, String::new()), "settled"),
            (Outcome::Working("cloning".into()), "working"),
            (Outcome::Planned(vec!["make row 0".into()]), "planned"),
            (Outcome::Paused, "paused"),
            (failed(Failure::transient(Reason::EndpointUnavailable, "away")), "transient"),
            (failed(Failure::waiting(Reason::DependencyMissing, "no firewall")), "waiting"),
            (failed(Failure::terminal(Reason::Refused, "no")), "terminal"),
        ]
    }

    #[test]
    fn each_outcome_has_its_word_and_its_conditions() {
        let expected: [&[&str]; 7] = [
            &["Ready=True InSync"],
            &["Ready=False Progressing", "Reconciling=True Progressing"],
            &["Ready=False PlanOnly"],
            &["Ready=Unknown PausedByUser", "Paused=True PausedByUser"],
            &["Ready=False EndpointUnavailable", "Reconciling=True EndpointUnavailable"],
            &["Ready=False DependencyMissing", "Reconciling=True DependencyMissing"],
            &["Ready=False Refused", "Stalled=True Refused"],
        ];
        for ((outcome, word), expected) in outcomes().into_iter().zip(expected) {
            assert_eq!(outcome.word(), word);
            let status = status_of(&object(), None, &outcome, Goal::Present, Timestamp::UNIX_EPOCH);
            let conditions: Vec<String> =
                status.conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect();
            assert_eq!(conditions, expected);
            assert_eq!(status.observed_generation, Some(7));
            assert!(status.conditions.iter().all(|c| c.observed_generation == Some(7)));
        }
    }

    #[test]
    fn work_towards_absence_is_a_deletion() {
        let outcome = Outcome::Working("stopping the guest".into());
        let status = status_of(&object(), None, &outcome, Goal::Absent, Timestamp::UNIX_EPOCH);
        assert_eq!(find(&status.conditions, READY).map(|c| c.reason.as_str()), Some("Deleting"));
    }

    #[test]
    fn a_plan_is_shown_while_it_is_one_and_the_request_to_look_now_is_answered() {
        let mut object = object();
        object.metadata.annotations = Some([(RECONCILE_AT_ANNOTATION.to_owned(), "now".to_owned())].into());
        let planned = Outcome::Planned(vec!["a".into(), "b".into()]);
        object.status = Some(status_of(&object, None, &planned, Goal::Present, Timestamp::UNIX_EPOCH));
        let status = object.status.clone().unwrap_or_default();
        assert_eq!((status.plan.len(), status.last_handled_reconcile_at.as_deref()), (2, Some("now")));
        assert!(
            find(&status.conditions, READY).is_some_and(|c| c.message.starts_with("2 steps are held back"))
        );

        for (outcome, _) in outcomes().into_iter().filter(|(_, word)| *word != "planned") {
            let status = status_of(&object, None, &outcome, Goal::Present, Timestamp::UNIX_EPOCH);
            assert_eq!(status.plan, Vec::<String>::new(), "{outcome:?}");
        }
    }

    #[test]
    fn the_same_outcome_later_is_the_same_status() {
        for (outcome, word) in outcomes() {
            let mut object = object();
            let told = |status: Option<VirtualIpStatus>| (status.unwrap_or_default(), Vec::new());
            let first = status_of(&object, Some(told(None)), &outcome, Goal::Present, Timestamp::UNIX_EPOCH);
            object.status = Some(first.clone());
            let later = Timestamp::from_second(1_800_000_000).unwrap();
            let second =
                status_of(&object, Some(told(object.status.clone())), &outcome, Goal::Present, later);
            assert_eq!(first, second, "{word}");
        }
    }
}
