//! The four kinds of row: one implementation, as they differ only in what a row is.
//!
//! A row's object declares what it asks of its firewall to the hub of that firewall, and reads the hub's answer.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use skyy_api::{
    DeletionPolicy, DhcpReservation, Firewall, FirewallRule, NatMapping, Reason, Reported, VirtualIp,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION, RECONCILE_AT_ANNOTATION},
    condition::{Fact, PROGRAMMED, STALLED, find},
};
use skyy_plan::firewall::{Ask, Desired, Goal as RowGoal, Owner, RowKind, Verdict};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Note, Progress, kind::Object, kind::StatusOf};

use super::{
    board::{Answer, Known},
    hub::Firewalls,
};

/// How long a hub may take for an answer before the object says that it waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kind of row.
pub trait RowObject: Object {
    /// Which.
    const KIND: RowKind;
    /// The kind's name in metrics.
    const NAME: &'static str;
    /// The firewall it is on.
    fn firewall(&self) -> &str;
    /// What should stand there.
    fn row(&self) -> Desired;
    /// May it take over a row of somebody else?
    fn adopt(&self) -> bool;
    /// What happens to the row in the end.
    fn deletion_policy(&self) -> DeletionPolicy;
    /// Its place among rules.
    fn priority(&self) -> i32 {
        0
    }
}

/// Whose row it is.
pub fn owner_of<R: RowObject>(object: &R) -> Owner {
    Owner {
        kind: R::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

/// A kind of row, for the driver.
pub struct Rows<R> {
    /// The hubs.
    pub hubs: Arc<Firewalls>,
    /// The firewalls.
    pub firewalls: Lookup<Firewall>,
    /// The namespaces, for the firewalls' selectors.
    pub namespaces: Lookup<Namespace>,
    /// Which kind.
    pub kind: PhantomData<fn() -> R>,
}

/// What is known of a row.
pub enum Seen {
    /// The hub has answered what is asked now.
    Answered(Box<Answer>),
    /// The hub has been asked, and has not answered yet.
    Asked {
        /// How long ago.
        since: Duration,
    },
    /// The hub has not been asked this.
    Unasked(Box<Ask>),
    /// The hub of the Firewall is about to begin.
    NoHub,
    /// There is no such Firewall any more, and the object is to go.
    NoFirewall,
}

/// What a row's object does next.
pub enum Plan {
    /// Ask the hub.
    Ask(Box<Ask>),
    /// Wait for the hub, which is going to do this.
    Wait(Vec<String>),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(ask) => write!(f, "ask the firewall's hub for {}", ask.owner),
            Self::Wait(actions) if actions.is_empty() => f.write_str("wait for the firewall's hub"),
            Self::Wait(actions) => f.write_str(&actions.join("\n")),
        }
    }
}

impl<R: RowObject> Rows<R> {
    fn may_attach(&self, object: &R, firewall: &Firewall) -> Result<(), Failure> {
        let namespace = object.namespace().unwrap_or_default();
        let selector = Selector::try_from(firewall.spec.allowed_namespaces.clone()).map_err(|error| {
            Failure::waiting(
                Reason::DependencyNotReady,
                format!("Firewall {}: spec.allowedNamespaces: {error}", firewall.name_any()),
            )
        })?;
        let labels = self.namespaces.get(None, &namespace).map(|ns| ns.labels().clone()).unwrap_or_default();
        if selector.matches(&labels) {
            return Ok(());
        }
        Err(Failure::waiting(
            Reason::NamespaceNotAllowed,
            format!(
                "Firewall {} does not take rows from namespace {namespace}: its spec.allowedNamespaces asks for the labels {selector}",
                firewall.name_any()
            ),
        ))
    }
}

/// A hub begins with the first pass over its Firewall and wakes its rows then. After a restart that is a moment, and what
/// the rows' statuses say stays right; a Firewall that cannot be looked after has no hub.
fn without_hub(firewall: &Firewall, mode: Mode) -> Result<Seen, Failure> {
    let name = firewall.name_any();
    let conditions = firewall.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match find(conditions, STALLED) {
        Some(stalled) => Err(Failure::waiting(
            Reason::DependencyNotReady,
            format!("Firewall {name} is not looked after: {}", stalled.message),
        )),
        None if mode == Mode::Act => Ok(Seen::NoHub),
        None => Err(Failure::waiting(
            Reason::DependencyNotReady,
            format!("Firewall {name} has not been looked at yet"),
        )),
    }
}

/// What a person holds back on the Firewall is said on its rows: nothing else will happen there until then.
fn held(firewall: &Firewall, known: &Known) -> Result<(), Failure> {
    let name = firewall.name_any();
    let set = |annotation: &str| firewall.annotations().get(annotation).is_some_and(|value| value == "true");
    let message = match known {
        Known::Asked { .. } if set(PAUSED_ANNOTATION) => {
            format!("Firewall {name} is paused by its annotation {PAUSED_ANNOTATION}")
        }
        Known::Answered(answer) if set(PLAN_ONLY_ANNOTATION) => match &answer.verdict {
            Ok(Verdict::Change { actions, .. }) => format!(
                "Firewall {name} is held back by its annotation {PLAN_ONLY_ANNOTATION}; without it: {}",
                actions.join("; ")
            ),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(Failure::waiting(Reason::DependencyNotReady, message))
}

/// The request to look now, as long as it has not been answered.
fn look_now<R: RowObject>(object: &R) -> Option<String> {
    let request = object.annotations().get(RECONCILE_AT_ANNOTATION)?;
    let answered = object.status().cloned().unwrap_or_default().header().last_handled_reconcile_at.clone();
    (answered.as_ref() != Some(request)).then(|| request.clone())
}

impl<R: RowObject> Kind for Rows<R> {
    type Object = R;
    type Observed = Seen;
    type Plan = Plan;
    const NAME: &'static str = R::NAME;

    async fn observe(&self, object: &Arc<R>, goal: Goal, mode: Mode) -> Result<Seen, Failure> {
        let name = object.firewall();
        let Some(firewall) = self.firewalls.get(None, name) else {
            if goal == Goal::Absent {
                return Ok(Seen::NoFirewall);
            }
            let message =
                format!("Firewall {name} does not exist; create it, or name another in spec.firewall");
            return Err(Failure::waiting(Reason::DependencyMissing, message));
        };
        if goal == Goal::Present {
            self.may_attach(object, &firewall)?;
        }
        let row_goal = match (goal, object.deletion_policy()) {
            (Goal::Present, _) => RowGoal::Present,
            (Goal::Absent, DeletionPolicy::Delete) => RowGoal::Absent,
            (Goal::Absent, DeletionPolicy::Retain) => RowGoal::Released,
        };
        let ask = Ask {
            owner: owner_of(&**object),
            row: object.row(),
            goal: row_goal,
            adopt: object.adopt(),
            held: mode == Mode::PlanOnly,
            priority: object.priority(),
        };
        let Some(hub) = self.hubs.get(name) else {
            return without_hub(&firewall, mode);
        };
        if let Some(request) = look_now(&**object) {
            hub.look_for(&ask.owner, &request);
        }
        if mode == Mode::PlanOnly {
            // A held ask is answered and never carried out.
            hub.declare(ask.clone());
        }
        let known = hub.know(&ask);
        if mode == Mode::Act {
            held(&firewall, &known)?;
        }
        Ok(match known {
            Known::Answered(answer) => Seen::Answered(answer),
            Known::Asked { .. } if mode == Mode::PlanOnly => {
                let message = format!("Firewall {name} has not answered yet what would be done");
                return Err(Failure::waiting(Reason::DependencyNotReady, message));
            }
            Known::Asked { since } => Seen::Asked { since },
            Known::Unasked => Seen::Unasked(Box::new(ask)),
        })
    }

    fn plan(&self, _: &R, seen: &Seen, _: Goal) -> Result<Option<Plan>, Failure> {
        match seen {
            Seen::NoFirewall => Ok(None),
            Seen::Unasked(ask) => Ok(Some(Plan::Ask(ask.clone()))),
            Seen::Asked { .. } | Seen::NoHub => Ok(Some(Plan::Wait(Vec::new()))),
            Seen::Answered(answer) => match &answer.verdict {
                Err(failure) => Err(failure.clone()),
                Ok(Verdict::InSync | Verdict::Gone) => Ok(None),
                Ok(Verdict::Change { actions, .. }) => Ok(Some(Plan::Wait(actions.clone()))),
                Ok(Verdict::Refused { reason, message }) => Err(Failure::terminal(*reason, message.clone())),
            },
        }
    }

    async fn apply(&self, object: &Arc<R>, seen: &Seen, plan: Plan) -> Result<Progress, Failure> {
        let waiting = || Progress::working(format!("waiting for Firewall {}", object.firewall()), PATIENCE);
        match plan {
            Plan::Ask(ask) => {
                if let Some(hub) = self.hubs.get(object.firewall()) {
                    hub.declare(*ask);
                }
                Ok(Progress::Quiet { look_again: PATIENCE })
            }
            Plan::Wait(actions) if actions.is_empty() => match seen {
                Seen::Asked { since } if *since < PATIENCE => {
                    Ok(Progress::Quiet { look_again: PATIENCE.saturating_sub(*since) })
                }
                Seen::NoHub => Ok(Progress::Quiet { look_again: PATIENCE }),
                _ => Ok(waiting()),
            },
            Plan::Wait(actions) => Ok(Progress::working(actions.join("; "), PATIENCE)),
        }
    }

    fn report(&self, _: &R, seen: &Seen, _: &mut StatusOf<R>) -> Vec<Fact> {
        let Seen::Answered(answer) = seen else { return Vec::new() };
        vec![match &answer.verdict {
            Ok(Verdict::InSync) => Fact::yes(PROGRAMMED, Reason::InSync, ""),
            Ok(Verdict::Gone) => Fact::no(PROGRAMMED, Reason::Deleting, ""),
            Ok(Verdict::Change { actions, .. }) => {
                Fact::no(PROGRAMMED, Reason::Progressing, actions.join("; "))
            }
            Ok(Verdict::Refused { reason, message }) => Fact::no(PROGRAMMED, *reason, message.clone()),
            // Nobody can see: what was true a moment ago is not known to be false.
            Err(failure) => Fact::unknown(PROGRAMMED, failure.reason, failure.message.clone()),
        }]
    }

    fn notes(&self, object: &R, seen: &Seen) -> Vec<Note> {
        let mut notes = Vec::new();
        if matches!(seen, Seen::NoFirewall) {
            notes.push(Note {
                warning: true,
                reason: "LeftBehind".into(),
                message: format!(
                    "Firewall {} is gone; whatever stands there of this row was left",
                    object.firewall()
                ),
            });
        }
        // Not before the row is as it should be again: the writing may have stopped half-way.
        if matches!(seen, Seen::Answered(answer) if answer.verdict == Ok(Verdict::InSync)) {
            notes.extend(
                self.hubs
                    .get(object.firewall())
                    .and_then(|hub| hub.take_repair(&owner_of(object)))
                    .map(|message| Note { warning: true, reason: "DriftRepaired".into(), message }),
            );
        }
        notes
    }

    fn hold(&self, object: &R) {
        if let Some(hub) = self.hubs.get(object.firewall()) {
            hub.withdraw(&owner_of(object));
        }
    }

    fn forget(&self, object: &R) {
        self.hold(object);
    }
}

impl RowObject for VirtualIp {
    const KIND: RowKind = RowKind::VirtualIp;
    const NAME: &'static str = "virtualip";
    fn firewall(&self) -> &str {
        &self.spec.firewall
    }
    fn row(&self) -> Desired {
        skyy_plan::firewall::desired_vip(&self.spec).into()
    }
    fn adopt(&self) -> bool {
        self.spec.adopt
    }
    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }
}

impl RowObject for NatMapping {
    const KIND: RowKind = RowKind::NatMapping;
    const NAME: &'static str = "natmapping";
    fn firewall(&self) -> &str {
        &self.spec.firewall
    }
    fn row(&self) -> Desired {
        skyy_plan::firewall::desired_nat(&self.spec).into()
    }
    fn adopt(&self) -> bool {
        self.spec.adopt
    }
    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }
}

impl RowObject for DhcpReservation {
    const KIND: RowKind = RowKind::DhcpReservation;
    const NAME: &'static str = "dhcpreservation";
    fn firewall(&self) -> &str {
        &self.spec.firewall
    }
    fn row(&self) -> Desired {
        skyy_plan::firewall::desired_dhcp(&self.spec).into()
    }
    fn adopt(&self) -> bool {
        self.spec.adopt
    }
    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }
}

impl RowObject for FirewallRule {
    const KIND: RowKind = RowKind::FirewallRule;
    const NAME: &'static str = "firewallrule";
    fn firewall(&self) -> &str {
        &self.spec.firewall
    }
    fn row(&self) -> Desired {
        skyy_plan::firewall::desired_rule(&self.spec).into()
    }
    fn adopt(&self) -> bool {
        false
    }
    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }
    fn priority(&self) -> i32 {
        self.spec.priority
    }
}
