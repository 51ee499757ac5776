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
    struct Meta<'a> {
        // An object of the same name, made after this one went, must not get this one's status.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<&'a str>,
    }
    let body = Body {
        api_version: <K as Resource>::api_version(&()),
        kind: <K as Resource>::kind(&()),
        metadata: Meta { uid: object.meta().uid.as_deref() },
        status,
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&object.name_any(), &params, &Patch::Apply(&body)).await.map(|_| ())
}
