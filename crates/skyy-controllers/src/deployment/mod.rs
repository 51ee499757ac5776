//! Deployment: guests made from a template, each brought one step further a pass, from what is observed.
//!
//! An id is reserved in the status before anything uses it; a guest is ours by its mark, wherever it is; every task is followed to
//! its end and then looked at.

mod claims;
mod guest_spec;
mod placement;
mod sight;
mod steps;
mod template;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use kube::{Client, ResourceExt};
use skyy_api::{
    AddressClaim, AddressPool, DeletionPolicy, Deployment, DeploymentStatus, ProxmoxCluster, ProxmoxHost,
    Reason,
    condition::{Fact, PROVISIONED, RUNNING, SCHEDULED},
    deployment::{Guest as Record, GuestKind, GuestPhase, PlacementDecision},
};
use skyy_plan::guest::{GuestGoal, GuestSpec, Refusal, Sight, Step, plan as plan_guest};
use skyy_runtime::{Class, Failure, Goal, Kind, Lookup, Mode, Note, Progress, Wake, secrets::Secrets};

use crate::proxmox::{ClusterHub, Clusters};

/// How many guests of one Deployment are looked at, or acted on, at once.
const PARALLEL: usize = 4;
/// How soon to look again while a task runs.
const FOLLOW: Duration = Duration::from_secs(2);

/// The Deployment kind.
pub struct Deployments {
    /// The API server.
    pub client: Client,
    /// The hubs.
    pub hubs: Arc<Clusters>,
    /// The clusters.
    pub clusters: Lookup<ProxmoxCluster>,
    /// The hosts, for their labels.
    pub hosts: Lookup<ProxmoxHost>,
    /// All Deployments, whose statuses hold reserved ids.
    pub deployments: Lookup<Deployment>,
    /// The pools from which guests claim addresses.
    pub pools: Lookup<AddressPool>,
    /// Who has an address.
    pub claims: Lookup<AddressClaim>,
    /// Public keys for cloud-init.
    pub secrets: Secrets,
    /// The word by which this installation marks guests.
    pub installation: String,
}

/// One guest as it was seen.
pub struct GuestView {
    /// What is kept of it.
    record: Record,
    /// What it should be; an error says what is missing.
    spec: Result<GuestSpec, Failure>,
    /// What it is.
    sight: Sight,
    /// Where it is to be brought.
    goal: GuestGoal,
    /// Its reservation stands in the status that the API server has.
    stored: bool,
    /// Whether each address that it claims is published.
    published: bool,
}

/// What was seen of a Deployment.
#[derive(Default)]
pub struct Seen {
    hub: Option<Arc<ClusterHub>>,
    guests: Vec<GuestView>,
    decisions: Vec<PlacementDecision>,
    unplaced: Option<Failure>,
    notes: Vec<Note>,
    left_behind: bool,
}

/// What is done for one guest.
#[derive(Clone, Debug)]
pub enum Action {
    /// A step of its life.
    Step(Step),
    /// Claim the addresses that its cards ask for.
    Claim,
    /// Nothing of it is left: give up its id and its addresses.
    Forget,
}

/// The actions of one pass, by the place of the guest in what was seen.
pub struct Plan(Vec<(usize, String, Action)>);

impl Plan {
    /// Each guest's name with what is done for it.
    pub fn actions(&self) -> impl Iterator<Item = (&str, &Action)> {
        self.0.iter().map(|(_, guest, action)| (guest.as_str(), action))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (_, guest, action)) in self.0.iter().enumerate() {
            let start = if n == 0 { "" } else { "\n" };
            match action {
                Action::Step(step) => write!(f, "{start}{guest}: {step}")?,
                Action::Claim => write!(f, "{start}{guest}: claim an address")?,
                Action::Forget => write!(f, "{start}{guest}: give up its id and addresses")?,
            }
        }
        Ok(())
    }
}

impl Kind for Deployments {
    type Object = Deployment;
    type Observed = Seen;
    type Plan = Plan;
    const NAME: &'static str = "deployment";

    async fn observe(&self, deployment: &Arc<Deployment>, goal: Goal, mode: Mode) -> Result<Seen, Failure> {
        let spec = &deployment.spec;
        if spec.guest == GuestKind::Container && goal == Goal::Present {
            return Err(Failure::terminal(
                Reason::Invalid,
                "spec.guest: Container is not yet acted on; use VirtualMachine",
            ));
        }
        let Some(hub) = self.hubs.get(&spec.cluster) else {
            if goal == Goal::Absent && self.clusters.get(None, &spec.cluster).is_none() {
                return Ok(Seen { left_behind: true, ..Seen::default() });
            }
            let message =
                format!("ProxmoxCluster {} does not exist or has not been looked at yet", spec.cluster);
            return Err(Failure::waiting(Reason::DependencyMissing, message));
        };
        if hub.is_paused() {
            return Err(Failure::waiting(
                Reason::PausedByUser,
                format!("ProxmoxCluster {} is paused", spec.cluster),
            ));
        }
        let inventory = hub.inventory()?;
        if !inventory.status.quorate {
            let message =
                format!("ProxmoxCluster {} has no quorum: nothing is done until it has", spec.cluster);
            return Err(Failure::transient(Reason::NoQuorum, message));
        }
        let uid = deployment.uid().unwrap_or_default();
        let known = || deployment.status.as_ref().map(|status| status.guests.clone()).unwrap_or_default();
        let mut records = hub.records(&uid, known);
        let wanted = if goal == Goal::Present { spec.replicas as usize } else { 0 };

        let mut seen = Seen { hub: Some(hub.clone()), ..Seen::default() };
        if records.len() < wanted {
            match self.place(deployment, &hub, &inventory, records.clone(), wanted, mode).await {
                Ok(placed) => {
                    records = placed.records;
                    seen.decisions = placed.decisions;
                    seen.unplaced = placed.failure;
                }
                Err(failure) => seen.unplaced = Some(failure),
            }
        }
        let leaving = leaving(&records, wanted);
        let end = match spec.deletion_policy {
            // A guest that is one too many is always removed; only the end of the Deployment may let its guests stay.
            DeletionPolicy::Retain if goal == Goal::Absent => GuestGoal::Released,
            DeletionPolicy::Retain | DeletionPolicy::Delete => GuestGoal::Gone,
        };
        let client = hub.client()?;
        let stored = known();
        let views = stream::iter(records.into_iter().enumerate().map(|(n, record)| {
            let (hub, client, inventory, stored) = (&hub, &client, &inventory, &stored);
            let goal = if leaving.contains(&n) { end } else { GuestGoal::Running };
            async move {
                hub.follow(record.vmid, Wake::of(&**deployment));
                let stored =
                    stored.iter().any(|known| known.vmid == record.vmid && known.name == record.name);
                let (mut record, published) = (self.with_addresses(deployment, record), true);
                let published = published && self.published(&record);
                let spec = self.guest_spec(deployment, &record).await;
                let mark = self.mark(deployment, &record.name);
                let sight = sight::look(hub, client, inventory, &mut record, &mark).await?;
                Ok::<_, Failure>(GuestView { record, spec, sight, goal, stored, published })
            }
        }))
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
        for view in views {
            let mut view = view?;
            note_drift(&mut seen.notes, &view, mode);
            settle_phase(&mut view);
            if view.record.phase == GuestPhase::Running {
                hub.unpromise(view.record.vmid);
            }
            seen.guests.push(view);
        }
        if mode == Mode::Act {
            hub.keep_records(&uid, seen.guests.iter().map(|view| view.record.clone()).collect());
        }
        Ok(seen)
    }

    fn plan(&self, deployment: &Deployment, seen: &Seen, goal: Goal) -> Result<Option<Plan>, Failure> {
        let mut actions = Vec::new();
        let mut in_the_way: Option<Failure> = None;
        for (n, view) in seen.guests.iter().enumerate() {
            match next(view) {
                Ok(Some(action)) => actions.push((n, view.record.name.clone(), action)),
                Ok(None) => {}
                Err(failure) => drop(in_the_way.get_or_insert(failure)),
            }
        }
        if !actions.is_empty() {
            return Ok(Some(Plan(actions)));
        }
        if let Some(failure) = in_the_way.or_else(|| seen.unplaced.clone()) {
            let running = seen.guests.iter().filter(|view| is_ready(view)).count();
            let of = deployment.spec.replicas;
            let message = if of > 1 && goal == Goal::Present {
                format!("{running} of {of} guests run. {}", failure.message)
            } else {
                failure.message
            };
            return Err(Failure { message, ..failure });
        }
        if goal == Goal::Present
            && let Some(view) = seen.guests.iter().find(|view| !view.published)
        {
            let message = format!(
                "{} runs; its address {} is not published yet",
                view.record.name,
                view.record.addresses.join(", ")
            );
            return Err(Failure::waiting(Reason::DependencyNotReady, message));
        }
        Ok(None)
    }

    async fn apply(
        &self,
        deployment: &Arc<Deployment>,
        seen: &Seen,
        Plan(actions): Plan,
    ) -> Result<Progress, Failure> {
        let Some(hub) = &seen.hub else { return Ok(Progress::Again) };
        let what = summary(deployment, seen, &actions);
        let count = actions.len();
        let waits =
            actions.iter().filter(|(_, _, action)| matches!(action, Action::Step(Step::Wait(_)))).count();
        let mut acts = Vec::new();
        for (n, _, action) in actions {
            if let Some(view) = seen.guests.get(n) {
                acts.push(self.act(deployment, hub, view, action).boxed());
            }
        }
        let results = stream::iter(acts).buffer_unordered(PARALLEL).collect::<Vec<_>>().await;
        let mut failures = Vec::new();
        for result in results {
            if let Err(failure) = result {
                failures.push(failure);
            }
        }
        if failures.len() == count
            && let Some(failure) = failures.into_iter().next()
        {
            return Err(failure);
        }
        if waits < count {
            hub.poke();
        }
        Ok(Progress::working(what, FOLLOW))
    }

    fn report(&self, deployment: &Deployment, seen: &Seen, status: &mut DeploymentStatus) -> Vec<Fact> {
        if seen.hub.is_none() {
            return Vec::new();
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let ready = seen.guests.iter().filter(|view| is_ready(view)).count();
        let exists = seen
            .guests
            .iter()
            .filter(|view| matches!(view.sight, Sight::Ours(_) | Sight::Busy { .. }))
            .count();
        let wanted = deployment.spec.replicas as usize;
        status.replicas = count(exists);
        status.ready_replicas = count(ready);
        status.ready_summary = Some(format!("{ready}/{wanted}"));
        status.selector = Some(format!("skyy.helloskyy.io/deployment={}", deployment.name_any()));
        status.guests = seen.guests.iter().map(|view| view.record.clone()).collect();
        let mut hosts: Vec<&str> =
            seen.guests.iter().filter_map(|view| view.record.host.as_deref()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        status.hosts = Some(short_list(&hosts)).filter(|text| !text.is_empty());
        let addresses: Vec<&str> =
            seen.guests.iter().flat_map(|view| view.record.addresses.iter().map(String::as_str)).collect();
        status.addresses = Some(short_list(&addresses)).filter(|text| !text.is_empty());
        // Decisions of earlier passes stay until their guests are gone.
        let mut decisions: BTreeMap<String, PlacementDecision> =
            status.placement.drain(..).map(|decision| (decision.guest.clone(), decision)).collect();
        decisions.extend(seen.decisions.iter().map(|decision| (decision.guest.clone(), decision.clone())));
        decisions.retain(|guest, decision| {
            decision.host.is_none() || seen.guests.iter().any(|view| view.record.name == *guest)
        });
        if seen.unplaced.is_none() {
            decisions.retain(|_, decision| decision.host.is_some());
        }
        status.placement = decisions.into_values().collect();

        let fact = |condition, holds: bool, message: String| {
            if holds {
                Fact::yes(condition, Reason::InSync, "")
            } else {
                Fact::no(condition, Reason::GuestsNotReady, message)
            }
        };
        let placed = seen.guests.iter().filter(|view| view.record.host.is_some()).count();
        vec![
            match &seen.unplaced {
                Some(failure) => Fact::no(SCHEDULED, failure.reason, failure.message.clone()),
                None => fact(SCHEDULED, placed >= wanted, format!("{placed} of {wanted} guests have a host")),
            },
            fact(PROVISIONED, exists >= wanted, format!("{exists} of {wanted} guests exist")),
            fact(RUNNING, ready >= wanted, format!("{ready} of {wanted} guests run as specified")),
        ]
    }

    fn settled(&self, deployment: &Deployment, seen: &Seen) -> (Reason, String) {
        let ready = seen.guests.iter().filter(|view| is_ready(view)).count();
        let not_yet = if deployment.spec.workload.is_some() {
            "; spec.workload is recorded, and not yet acted on"
        } else {
            ""
        };
        (Reason::InSync, format!("{ready} of {} guests run{not_yet}", deployment.spec.replicas))
    }

    fn notes(&self, deployment: &Deployment, seen: &Seen) -> Vec<Note> {
        let mut notes = seen.notes.clone();
        if seen.left_behind {
            notes.push(Note {
                warning: true,
                reason: "LeftBehind".into(),
                message: format!(
                    "ProxmoxCluster {} is gone; guests that may be there were left",
                    deployment.spec.cluster
                ),
            });
        }
        notes
    }

    fn forget(&self, deployment: &Deployment) {
        if let Some(hub) = self.hubs.get(&deployment.spec.cluster) {
            hub.forget_records(&deployment.uid().unwrap_or_default());
        }
    }
}

/// What a guest needs next.
fn next(view: &GuestView) -> Result<Option<Action>, Failure> {
    if view.goal == GuestGoal::Running && !view.stored {
        // Its id must stand in the status before anything uses it: a crash then leaves a note, and no orphan.
        return Ok(Some(Action::Step(Step::Wait("its id is being reserved".into()))));
    }
    let spec = match (&view.spec, view.goal) {
        (Ok(spec), _) => spec,
        (Err(failure), GuestGoal::Running)
            if failure.reason == Reason::PoolExhausted && failure.class == Class::Transient =>
        {
            return Ok(Some(Action::Claim));
        }
        (Err(failure), GuestGoal::Running) => return Err(failure.clone()),
        // To be removed, a guest need not be describable.
        (Err(_), goal) => return end_of(view, goal),
    };
    match plan_guest(spec, &view.sight, view.goal) {
        Ok(Some(step)) => Ok(Some(Action::Step(step))),
        Ok(None) if view.goal != GuestGoal::Running => Ok(Some(Action::Forget)),
        Ok(None) => Ok(None),
        Err(Refusal { reason: Reason::NotOwned, .. }) => Ok(Some(Action::Forget)),
        Err(Refusal { reason: reason @ Reason::DisruptionNotAllowed, message }) => {
            Err(Failure::terminal(reason, message))
        }
        Err(Refusal { reason, message }) => Err(Failure::transient(reason, message)),
    }
}

fn end_of(view: &GuestView, goal: GuestGoal) -> Result<Option<Action>, Failure> {
    match (&view.sight, goal) {
        (Sight::Unknown(why), _) => Err(Failure::transient(
            Reason::EndpointUnavailable,
            format!("{}: nobody can see it now: {why}", view.record.name),
        )),
        (Sight::Absent | Sight::Foreign { .. }, _) => Ok(Some(Action::Forget)),
        (Sight::Busy { what }, _) => Ok(Some(Action::Step(Step::Wait(what.clone())))),
        (Sight::Ours(guest), _) if guest.lock.is_some() => {
            Ok(Some(Action::Step(Step::Wait("it is locked".into()))))
        }
        (Sight::Ours(guest), _) => {
            Ok(Some(Action::Step(if guest.running { Step::Stop } else { Step::Destroy })))
        }
    }
}

/// Which guests are one too many: those that already go, then those that do not run, then the newest.
fn leaving(records: &[Record], wanted: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|n| {
        let record = &records[*n];
        let rank = match record.phase {
            GuestPhase::Deleting => 0,
            GuestPhase::Running => 2,
            _ => 1,
        };
        (rank, std::cmp::Reverse(placement::ordinal(&record.name)))
    });
    order.truncate(records.len().saturating_sub(wanted));
    order
}

fn is_ready(view: &GuestView) -> bool {
    view.goal == GuestGoal::Running && view.record.phase == GuestPhase::Running
}

/// What was running when it was last looked at, and is not now, was changed by somebody else.
fn note_drift(notes: &mut Vec<Note>, view: &GuestView, mode: Mode) {
    if mode == Mode::PlanOnly || view.goal != GuestGoal::Running {
        return;
    }
    if let Sight::Foreign { name } = &view.sight {
        let message = format!(
            "the id {} reserved for {} is taken by {name:?}, which does not carry its mark; it is left alone, and another id is reserved",
            view.record.vmid, view.record.name
        );
        notes.push(Note { warning: true, reason: "IdTaken".into(), message });
    }
    if view.record.phase != GuestPhase::Running {
        return;
    }
    let what = match &view.sight {
        Sight::Ours(guest) if !guest.running => "was stopped by somebody else; it is started again",
        Sight::Absent => "was removed by somebody else; it is made anew",
        _ => return,
    };
    notes.push(Note {
        warning: true,
        reason: "DriftRepaired".into(),
        message: format!("{} {what}", view.record.name),
    });
}

/// How far a guest is, from what was seen of it.
fn settle_phase(view: &mut GuestView) {
    let phase = match (&view.sight, view.goal) {
        (Sight::Unknown(_), _) => GuestPhase::Unknown,
        (_, GuestGoal::Gone | GuestGoal::Released) => GuestPhase::Deleting,
        (Sight::Absent | Sight::Foreign { .. }, GuestGoal::Running) => GuestPhase::Reserved,
        (Sight::Busy { .. }, GuestGoal::Running) => match view.record.phase {
            GuestPhase::Reserved | GuestPhase::Unknown => GuestPhase::Cloning,
            other => other,
        },
        (Sight::Ours(guest), GuestGoal::Running) => match &view.spec {
            Ok(spec) => match plan_guest(spec, &view.sight, view.goal) {
                Ok(Some(Step::Start)) => GuestPhase::Starting,
                // A change that waits for a restart does not make a running guest less of one.
                Ok(None) | Err(_) if guest.running => GuestPhase::Running,
                Ok(_) | Err(_) => GuestPhase::Configuring,
            },
            Err(_) if guest.running => GuestPhase::Running,
            Err(_) => GuestPhase::Configuring,
        },
    };
    view.record.phase = phase;
    if let Sight::Ours(guest) = &view.sight {
        view.record.host = Some(guest.node.clone());
    }
}

/// `2 of 3 guests run. gpu-worker-2: clone the template`.
fn summary(deployment: &Deployment, seen: &Seen, actions: &[(usize, String, Action)]) -> String {
    let ready = seen.guests.iter().filter(|view| is_ready(view)).count();
    let mut doing: Vec<String> = actions
        .iter()
        .take(3)
        .map(|(_, guest, action)| match action {
            Action::Step(step) => format!("{guest}: {step}"),
            Action::Claim => format!("{guest}: claim an address"),
            Action::Forget => format!("{guest}: gone"),
        })
        .collect();
    if actions.len() > 3 {
        doing.push(format!("and {} more", actions.len() - 3));
    }
    format!("{ready} of {} guests run. {}", deployment.spec.replicas, doing.join("; "))
}

/// `a, b, +3`.
fn short_list(items: &[&str]) -> String {
    const SHOWN: usize = 2;
    let mut shown: Vec<String> = items.iter().take(SHOWN).map(|item| (*item).to_owned()).collect();
    if items.len() > SHOWN {
        shown.push(format!("+{}", items.len() - SHOWN));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests;
