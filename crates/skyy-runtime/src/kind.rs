//! What a kind supplies to the driver: how to look, how to decide, how to act, how to tell.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use kube::{Resource, core::object::HasStatus};
use serde::{Serialize, de::DeserializeOwned};
use skyy_api::{Reason, Reported, condition::Fact};

use crate::{failure::Failure, scope::ApiScope};

/// Where the object is to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// What the spec asks is there.
    Present,
    /// Nothing of the object is left outside, or what its policy retains has been let go.
    Absent,
}

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Changes are made.
    Act,
    /// Changes are only told.
    PlanOnly,
}

/// How far an act has come. That the goal is reached is never told here: only observation tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Look again at once, in the same pass.
    Again,
    /// Work goes on elsewhere; the status says what.
    Working {
        /// One sentence for a person.
        what: String,
        /// When to look again, unless something wakes the object sooner.
        look_again: Duration,
    },
    /// Work has been handed over a moment ago, and its end will wake the object: not worth a status of its own.
    Quiet {
        /// When to look again, unless something wakes the object sooner.
        look_again: Duration,
    },
}

impl Progress {
    /// Work goes on elsewhere.
    pub fn working(what: impl Into<String>, look_again: Duration) -> Self {
        Self::Working { what: what.into(), look_again }
    }
}

/// Something worth an event of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should be worried.
    pub warning: bool,
    /// A word in PascalCase.
    pub reason: Cow<'static, str>,
    /// One sentence.
    pub message: String,
}

/// An object that the driver can handle.
pub trait Object:
    Resource<DynamicType = (), Scope: ApiScope>
    + HasStatus<Status: Reported>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<T> Object for T where
    T: Resource<DynamicType = (), Scope: ApiScope>
        + HasStatus<Status: Reported>
        + Clone
        + fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// The status type of an object.
pub type StatusOf<O> = <O as HasStatus>::Status;

/// A kind of object, as the driver sees it.
///
/// Copy `skyy-controllers/src/ceph/pool_kind.rs` when writing a new one.
pub trait Kind: Send + Sync + 'static {
    /// The custom resource.
    type Object: Object;
    /// What was seen outside.
    type Observed: Send + Sync;
    /// What is to be done; its text, a line a call, is what plan-only shows.
    type Plan: fmt::Display + Send;

    /// The word for metrics, logs and events: the kind in lower case.
    const NAME: &'static str;

    /// Looks. Never changes anything outside.
    fn observe(
        &self,
        object: &Arc<Self::Object>,
        goal: Goal,
        mode: Mode,
    ) -> impl Future<Output = Result<Self::Observed, Failure>> + Send;

    /// Decides, from what was seen alone. `None`: the goal is reached.
    fn plan(
        &self,
        object: &Self::Object,
        seen: &Self::Observed,
        goal: Goal,
    ) -> Result<Option<Self::Plan>, Failure>;

    /// Acts, making no further choice.
    fn apply(
        &self,
        object: &Arc<Self::Object>,
        seen: &Self::Observed,
        plan: Self::Plan,
    ) -> impl Future<Output = Result<Progress, Failure>> + Send;

    /// Tells: fills the kind's own fields of the status, and returns its own conditions.
    fn report(
        &self,
        _object: &Self::Object,
        _seen: &Self::Observed,
        _status: &mut StatusOf<Self::Object>,
    ) -> Vec<Fact> {
        Vec::new()
    }

    /// What is so when the goal is reached, for the message of Ready.
    fn settled(&self, _object: &Self::Object, _seen: &Self::Observed) -> (Reason, String) {
        (Reason::InSync, String::new())
    }

    /// Things that happened since the last pass and are worth an event.
    fn notes(&self, _object: &Self::Object, _seen: &Self::Observed) -> Vec<Note> {
        Vec::new()
    }

    /// The object is paused or undecided: nothing may be done for it until it is observed again.
    fn hold(&self, _object: &Self::Object) {}

    /// The object is gone from the API server.
    fn forget(&self, _object: &Self::Object) {}

    /// How often an object is looked at when nothing wakes it.
    fn resync(&self) -> Duration {
        Duration::from_mins(10)
    }
}
