//! What would be done on a firewall: all asks against all rows, by the planner that the operator's hub uses.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use skyy_api::{
    Firewall, Reason,
    address::parse_network,
    common::{CONFIRM_DELETES_ANNOTATION, PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION},
};
use skyy_controllers::firewall::{FirewallApi as _, PfSenseFirewall};
use skyy_plan::firewall::{
    Ask, Cost, Goal, Mark, Observed, Owner, Plan, Policy, RowKind, Step, Verdict, plan as plan_rows,
};

use super::{Change, EndpointPlan, Sign, Thing, session::Quiet};
use crate::{
    rows::{self, Asks, Published, is_set},
    world::{World, allows},
};

/// What one look at a firewall reads: versions, interfaces, four lists. A batch looks again when it is done.
const LOOK: usize = 7;
const LOOK_AGAIN: usize = 4;

pub(super) async fn plan(world: &World, name: &str, installation: &str) -> EndpointPlan {
    let mut shown = EndpointPlan::new(name, "pfSense");
    let Some(firewall) = world.firewalls.get(&(String::new(), name.to_owned())) else { return shown };
    let title = format!("Firewall/{name}");
    if is_set(firewall, PAUSED_ANNOTATION) {
        let message = format!("nothing is done while the annotation {PAUSED_ANNOTATION} is set");
        shown.hold(title, Reason::PausedByUser, message);
        return shown;
    }
    let secret = &firewall.spec.api_key.secret;
    let Some(key) = world.secret(secret) else {
        shown.error = Some(format!("{secret} is not to be had; give it with --secrets-from FILE"));
        return shown;
    };
    let asks = asks(world, firewall, &mut shown);
    let observed = match look(name, firewall, key.trim()).await {
        Ok(observed) => observed,
        Err(message) => {
            shown.error = Some(message);
            return shown;
        }
    };
    let planned = plan_rows(&asks.asks, &observed, &policy(firewall, installation));
    tell(&mut shown, &title, &asks, &observed, &planned, installation);
    shown
}

/// What is asked of the firewall by those who may; the others are told.
fn asks(world: &World, firewall: &Firewall, shown: &mut EndpointPlan) -> Asks {
    let mut asks = rows::asks(world, &firewall.name_any(), Published::Now);
    for (pool, message) in &asks.wrong_pools {
        shown.hold(format!("AddressPool/{pool}"), Reason::Invalid, message);
    }
    for owner in &asks.paused {
        let message = format!("not looked at while the annotation {PAUSED_ANNOTATION} is set");
        shown.hold(title(owner), Reason::PausedByUser, message);
    }
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    asks.asks.retain(|ask| {
        let namespace = &ask.owner.namespace;
        let labels = world.namespace_labels(namespace).unwrap_or_else(|| {
            BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.clone())])
        });
        let may = ask.goal != Goal::Present || allows(&firewall.spec.allowed_namespaces, &labels);
        if !may {
            *refused.entry(namespace.clone()).or_default() += 1;
        }
        may
    });
    for (namespace, rows) in refused {
        let message = format!(
            "{} does not take rows from namespace {namespace} ({rows} of them): label it as spec.allowedNamespaces asks",
            firewall.name_any()
        );
        shown.hold(format!("Namespace/{namespace}"), Reason::NamespaceNotAllowed, message);
    }
    if is_set(firewall, PLAN_ONLY_ANNOTATION) {
        asks.asks.iter_mut().for_each(|ask| ask.held = true);
    }
    asks
}

/// One look, by reading alone.
async fn look(name: &str, firewall: &Firewall, key: &str) -> Result<Observed, String> {
    let api = PfSenseFirewall::connect(name, &firewall.spec, key, Arc::new(Quiet))
        .map_err(|failure| failure.message)?;
    let facts = api.facts().await.map_err(|failure| failure.failure.message)?;
    let mut observed = api.observe().await.map_err(|failure| failure.failure.message)?;
    observed.interfaces = facts.interfaces;
    Ok(observed)
}

fn policy(firewall: &Firewall, installation: &str) -> Policy {
    let spec = &firewall.spec;
    let mut policy = Policy::new(installation, firewall.name_any());
    policy.max_deletes_per_batch = spec.limits.max_deletes_per_batch;
    policy.confirmed_deletes =
        firewall.annotations().get(CONFIRM_DELETES_ANNOTATION).and_then(|n| n.trim().parse().ok());
    policy.management_sources =
        spec.protect.management_sources.iter().filter_map(|net| parse_network(net).ok()).collect();
    policy
}

fn title(owner: &Owner) -> String {
    format!("{}/{owner}", owner.kind)
}

fn tell(
    shown: &mut EndpointPlan,
    firewall: &str,
    asks: &Asks,
    observed: &Observed,
    planned: &Plan,
    installation: &str,
) {
    let asked: BTreeMap<&Owner, &Ask> = asks.asks.iter().map(|ask| (&ask.owner, ask)).collect();
    for (owner, verdict) in &planned.verdicts {
        match verdict {
            Verdict::Change { actions, .. } if asked.get(owner).is_some_and(|ask| ask.held) => {
                let what = actions.join("; ");
                let message = format!("{what}: held back by the annotation {PLAN_ONLY_ANNOTATION}");
                shown.hold(title(owner), Reason::PlanOnly, message);
            }
            // It is refused with others, or waits for the next round: that is said once.
            Verdict::Change { steps, .. } if steps.is_empty() => {}
            Verdict::Change { actions, steps } => {
                let makes = |n: &usize| {
                    matches!(planned.steps.get(*n), Some(Step::Create { .. } | Step::Replace { .. }))
                };
                let sign = match asked.get(owner).map_or(Goal::Present, |ask| ask.goal) {
                    Goal::Absent => Sign::Remove,
                    Goal::Present if !is_there(owner, observed, installation) && steps.iter().any(makes) => {
                        Sign::Add
                    }
                    Goal::Present | Goal::Released => Sign::Change,
                };
                let (object, what) = (title(owner), actions.join("; "));
                shown.changes.push(Change { sign, thing: thing(owner.kind), object, what });
            }
            Verdict::Refused { reason, message } => shown.hold(title(owner), reason, message),
            Verdict::InSync | Verdict::Gone => {}
        }
    }
    if let Some(refusal) = &planned.refusal {
        shown.hold(firewall, Reason::TooManyDeletes, refusal.to_string());
    }
    if planned.again {
        shown.notes.push("something waits for a second round, after this one".to_owned());
    }
    // Rows of objects that are paused are nobody's to the planner, but not to people.
    let paused = |orphan: &&skyy_plan::firewall::Orphan| {
        let marked = Mark::split(&orphan.description).1.map(|mark| mark.object);
        asks.paused.iter().any(|owner| {
            let limit = owner.kind.description_limit();
            owner.kind == orphan.kind && marked.as_ref() == Some(&Mark::of(installation, owner, limit).object)
        })
    };
    let orphans = planned.orphans.iter().filter(|orphan| !paused(orphan));
    shown.notes.extend(orphans.map(|orphan| format!("left alone: {orphan} belongs to no object")));
    shown.calls = planned.steps.iter().map(ToString::to_string).collect();
    let applies = planned.steps.iter().filter(|step| matches!(step, Step::Apply(_))).count();
    if !planned.steps.is_empty() {
        let reads = planned.steps.iter().filter(|step| step.needs().is_some()).count();
        shown.applies = Some(applies);
        shown.requests = Some(LOOK + planned.steps.len() + reads + LOOK_AGAIN);
        shown.seconds = Some(seconds(planned, observed));
    }
    if planned.deletes > 0 {
        let rows = if planned.deletes == 1 { "row is" } else { "rows are" };
        shown.disruption.push(format!("{} {rows} deleted", planned.deletes));
    }
}

const fn thing(kind: RowKind) -> Thing {
    match kind {
        RowKind::VirtualIp => Thing::VirtualIp,
        RowKind::NatMapping => Thing::Nat,
        RowKind::DhcpReservation => Thing::Dhcp,
        RowKind::FirewallRule => Thing::Rule,
    }
}

/// Whether a row carries the mark of this object.
fn is_there(owner: &Owner, observed: &Observed, installation: &str) -> bool {
    let wanted = Mark::of(installation, owner, owner.kind.description_limit());
    let is = |mark: &Option<Mark>| {
        mark.as_ref()
            .is_some_and(|mark| mark.installation == wanted.installation && mark.object == wanted.object)
    };
    match owner.kind {
        RowKind::VirtualIp => observed.vips.iter().any(|row| is(&row.mark)),
        RowKind::NatMapping => observed.nats.iter().any(|row| is(&row.mark)),
        RowKind::DhcpReservation => {
            observed.dhcp.values().flat_map(|server| &server.static_maps).any(|row| is(&row.mark))
        }
        RowKind::FirewallRule => observed.rules.iter().any(|row| is(&row.mark)),
    }
}

/// About how long the writes take, by what they were seen to cost.
fn seconds(planned: &Plan, observed: &Observed) -> u64 {
    let mut rows: BTreeMap<String, usize> = BTreeMap::from([
        (skyy_plan::firewall::Table::VirtualIps.to_string(), observed.vips.len()),
        (skyy_plan::firewall::Table::NatMappings.to_string(), observed.nats.len()),
        (skyy_plan::firewall::Table::Rules.to_string(), observed.rules.len()),
    ]);
    for (interface, server) in &observed.dhcp {
        let table = skyy_plan::firewall::Table::StaticMaps(interface.clone());
        rows.insert(table.to_string(), server.static_maps.len());
    }
    let mut micros = 0;
    for step in &planned.steps {
        let Some(table) = step.table() else { continue };
        let now = rows.entry(table.to_string()).or_default();
        micros += match step {
            Step::Create { .. } => {
                *now += 1;
                Cost::single(table, *now).0
            }
            Step::Delete { .. } => {
                *now = now.saturating_sub(1);
                Cost::one_by_one(table, *now, 0, 1).0
            }
            Step::Update { .. } | Step::Move { .. } => Cost::one_by_one(table, *now, 0, 1).0,
            Step::Replace { rows, .. } => {
                *now = rows.len();
                Cost::whole(table, *now).map_or(0, |cost| cost.0)
            }
            Step::Apply(_) => 0,
        };
    }
    micros.div_ceil(1_000_000)
}
