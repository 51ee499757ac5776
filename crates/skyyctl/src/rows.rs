//! What all objects together ask of one firewall: their own rows, and the rows that AddressPools would make.
//!
//! The same asks that the operator's hub gets, made without a cluster. Knows no firewall.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use kube::{Resource, ResourceExt, core::object::HasSpec};
use skyy_api::{
    AddressPool, DeletionPolicy, DhcpReservation, FirewallRule, NatMapping, VirtualIp,
    address::parse_ip,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION, POOL_LABEL},
};
use skyy_controllers::{address_pool, firewall::RowObject};
use skyy_plan::firewall::{Ask, Goal, Owner};

use crate::world::{Objects, World};

/// Which addresses of pools count as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Those that are now: all of pools that publish always, and those that are claimed.
    Now,
    /// All that could ever be.
    Ever,
}

/// What is asked of one firewall.
#[derive(Debug, Default)]
pub struct Asks {
    /// The asks.
    pub asks: Vec<Ask>,
    /// Of asks that no object makes yet, the pool and the address that would.
    pub from_pools: BTreeMap<Owner, (String, IpAddr)>,
    /// Objects that are paused: they ask for nothing, and nothing of theirs is looked at.
    pub paused: Vec<Owner>,
    /// Pools that cannot be carried out, with the reason.
    pub wrong_pools: BTreeMap<String, String>,
}

/// Whether an annotation says `"true"`.
pub fn is_set<O: Resource>(object: &O, annotation: &str) -> bool {
    object
        .meta()
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotation))
        .is_some_and(|value| value == "true")
}

/// All asks of one firewall.
pub fn asks(world: &World, firewall: &str, published: Published) -> Asks {
    let mut asks = Asks::default();
    let mut wanted = BTreeMap::new();
    for ((_, name), pool) in world.address_pools.iter().filter(|(_, pool)| pool.spec.firewall == firewall) {
        match wanted_by(world, pool, published) {
            Ok(rows) => {
                wanted.insert(name.clone(), (pool, rows));
            }
            Err(message) => {
                asks.wrong_pools.insert(name.clone(), message);
            }
        }
    }
    one_kind(&world.virtual_ips, firewall, &wanted, |rows| &rows.vip, VirtualIp::new, &mut asks);
    one_kind(&world.nat_mappings, firewall, &wanted, |rows| &rows.nat, NatMapping::new, &mut asks);
    one_kind(&world.dhcp_reservations, firewall, &wanted, |rows| &rows.dhcp, DhcpReservation::new, &mut asks);
    one_kind(&world.firewall_rules, firewall, &wanted, |rows| &rows.rule, FirewallRule::new, &mut asks);
    asks
}

/// A pool's rows by the names of their objects, each with its address.
type PoolRows = BTreeMap<String, (String, address_pool::Rows)>;
/// Pools by name, with their rows. A pool that is wrong is not in it: its rows stay as they are.
type Wanted<'a> = BTreeMap<String, (&'a AddressPool, PoolRows)>;

fn wanted_by(world: &World, pool: &AddressPool, published: Published) -> Result<PoolRows, String> {
    let name = pool.name_any();
    let goal = if pool.meta().deletion_timestamp.is_some() {
        skyy_runtime::Goal::Absent
    } else {
        skyy_runtime::Goal::Present
    };
    let addresses: BTreeSet<IpAddr> = match published {
        Published::Ever => pool.spec.addresses.iter().filter_map(|a| parse_ip(&a.external).ok()).collect(),
        Published::Now => world
            .address_claims
            .values()
            .filter(|claim| claim.spec.pool == name && claim.meta().deletion_timestamp.is_none())
            .filter_map(|claim| parse_ip(&claim.spec.external).ok())
            .collect(),
    };
    address_pool::wanted(pool, goal, &addresses)
}

fn one_kind<R: RowObject + HasSpec<Spec: Clone>>(
    objects: &Objects<R>,
    firewall: &str,
    wanted: &Wanted<'_>,
    spec_of: impl Fn(&address_pool::Rows) -> &R::Spec,
    new: impl Fn(&str, R::Spec) -> R,
    asks: &mut Asks,
) {
    for ((namespace, name), object) in objects.iter().filter(|(_, object)| object.firewall() == firewall) {
        // A pool brings its rows up to date, and deletes those that it no longer wants.
        let pool = object.meta().labels.as_ref().and_then(|labels| labels.get(POOL_LABEL));
        let of_pool =
            pool.and_then(|pool| wanted.get(pool)).filter(|(pool, _)| pool.spec.namespace == *namespace);
        let frozen = of_pool
            .is_none_or(|(pool, _)| is_set(*pool, PAUSED_ANNOTATION) || is_set(*pool, PLAN_ONLY_ANNOTATION));
        let object = match of_pool.filter(|_| !frozen).map(|(pool, rows)| (pool, rows.get(name))) {
            None => ask(object, false),
            Some((_, Some((_, rows)))) => {
                let mut fresh = new(name, spec_of(rows).clone());
                *fresh.meta_mut() = object.meta().clone();
                ask(&fresh, false)
            }
            Some((_, None)) => ask(object, true),
        };
        match object {
            Ok(ask) => asks.asks.push(ask),
            Err(owner) => asks.paused.push(owner),
        }
    }
    for (pool_name, (pool, rows)) in wanted {
        if is_set(*pool, PAUSED_ANNOTATION) {
            continue;
        }
        for (name, (address, rows)) in rows {
            if objects.contains_key(&(pool.spec.namespace.clone(), name.clone())) {
                continue;
            }
            let mut object = new(name, spec_of(rows).clone());
            *object.meta_mut() = address_pool::metadata(pool, name, address);
            if let Ok(mut ask) = ask(&object, false) {
                ask.held = is_set(*pool, PLAN_ONLY_ANNOTATION);
                if let Ok(external) = parse_ip(&rows.nat.external) {
                    asks.from_pools.insert(ask.owner.clone(), (pool_name.clone(), external));
                }
                asks.asks.push(ask);
            }
        }
    }
}

/// What an object asks; its owner where it is paused.
fn ask<R: RowObject>(object: &R, unwanted: bool) -> Result<Ask, Owner> {
    let owner = skyy_controllers::firewall::owner_of(object);
    if is_set(object, PAUSED_ANNOTATION) {
        return Err(owner);
    }
    let leaves = unwanted || object.meta().deletion_timestamp.is_some();
    Ok(Ask {
        owner,
        row: object.row(),
        goal: match (leaves, object.deletion_policy()) {
            (false, _) => Goal::Present,
            (true, DeletionPolicy::Delete) => Goal::Absent,
            (true, DeletionPolicy::Retain) => Goal::Released,
        },
        adopt: object.adopt(),
        held: is_set(object, PLAN_ONLY_ANNOTATION),
        priority: object.priority(),
    })
}
