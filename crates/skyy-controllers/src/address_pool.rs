//! AddressPool: keeps a VirtualIP, a NatMapping, a DhcpReservation and a FirewallRule for every address that is published.
//!
//! The rows are objects like those that people write, so each shows its own state; this kind never talks to a firewall.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{NamespaceResourceScope, object::HasSpec},
};
use serde::{Serialize, de::DeserializeOwned};
use skyy_api::{
    AddressClaim, AddressPool, AddressPoolStatus, DhcpReservation, DhcpReservationSpec, FirewallRule,
    FirewallRuleSpec, NatMapping, NatMappingSpec, Reason, Reported, VirtualIp, VirtualIpSpec,
    address::{Mac, in_a_name, parse_ip},
    address_pool::Publish,
    common::{ADDRESS_LABEL, FINALIZER, POOL_LABEL},
    condition::{Fact, READY, find, is_ready},
    firewall_rule::{IpFamily, RuleEnd},
    virtual_ip::VipMode,
};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Progress, kind::Object, status::FIELD_MANAGER};

/// How many objects one round writes; the pool goes on in the next.
const ROUND: usize = 512;
/// How many writes are on their way to the API server at once.
const PARALLEL: usize = 16;

/// The AddressPool kind.
pub struct AddressPools {
    /// The API server.
    pub client: Client,
    /// The rows that exist.
    pub virtual_ips: Lookup<VirtualIp>,
    /// The rows that exist.
    pub nat_mappings: Lookup<NatMapping>,
    /// The rows that exist.
    pub dhcp_reservations: Lookup<DhcpReservation>,
    /// The rows that exist.
    pub firewall_rules: Lookup<FirewallRule>,
    /// Who has an address.
    pub claims: Lookup<AddressClaim>,
}

/// What was seen of a pool: the difference between the rows that should be and those that are.
pub struct Seen {
    writes: Vec<Write>,
    wanted: usize,
    ready: usize,
    claimed: usize,
    leaving: usize,
    trouble: Option<String>,
    invalid: Option<String>,
    conflict: Option<String>,
    /// Addresses, as they stand in names, that somebody has claimed and whose entry left the spec.
    held: BTreeSet<String>,
}

/// One write to the API server.
#[derive(Clone, Debug)]
enum Write {
    Vip(Change<VirtualIp>),
    Nat(Change<NatMapping>),
    Dhcp(Change<DhcpReservation>),
    Rule(Change<FirewallRule>),
}

#[derive(Clone, Debug)]
enum Change<K> {
    Create(Box<K>),
    Update(Box<K>),
    /// By uid: an object of the same name that came later is not meant.
    Delete {
        namespace: String,
        name: String,
        uid: String,
    },
}

/// The writes of one pass.
pub struct Plan(Vec<Write>);

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, write) in self.0.iter().enumerate() {
            let line_end = if n == 0 { "" } else { "\n" };
            match write {
                Write::Vip(change) => write!(f, "{line_end}{change}")?,
                Write::Nat(change) => write!(f, "{line_end}{change}")?,
                Write::Dhcp(change) => write!(f, "{line_end}{change}")?,
                Write::Rule(change) => write!(f, "{line_end}{change}")?,
            }
        }
        Ok(())
    }
}

impl<K: Resource<DynamicType = ()>> fmt::Display for Change<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = K::kind(&());
        match self {
            Self::Create(object) => {
                write!(f, "create {kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
            }
            Self::Update(object) => {
                write!(f, "update {kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
            }
            Self::Delete { namespace, name, .. } => write!(f, "delete {kind} {namespace}/{name}"),
        }
    }
}

impl Kind for AddressPools {
    type Object = AddressPool;
    type Observed = Seen;
    type Plan = Plan;
    const NAME: &'static str = "addresspool";

    async fn observe(&self, pool: &Arc<AddressPool>, goal: Goal, _: Mode) -> Result<Seen, Failure> {
        let claimed: BTreeSet<IpAddr> = self
            .claims
            .all()
            .iter()
            // A claim that is being given up holds on until the rows of its address are gone.
            .filter(|claim| claim.spec.pool == pool.name_any() && claim.meta().deletion_timestamp.is_none())
            .filter_map(|claim| parse_ip(&claim.spec.external).ok())
            .collect();
        Ok(self.compare(pool, goal, &claimed))
    }

    fn plan(&self, pool: &AddressPool, seen: &Seen, goal: Goal) -> Result<Option<Plan>, Failure> {
        if let Some(invalid) = &seen.invalid {
            return Err(Failure::terminal(Reason::Invalid, invalid.clone()));
        }
        if goal == Goal::Absent && seen.claimed > 0 {
            let message = format!(
                "{} of its addresses are claimed; delete or change the Deployments that claim them first (kubectl get addressclaims)",
                seen.claimed
            );
            return Err(Failure::waiting(Reason::DependencyNotReady, message));
        }
        if !seen.writes.is_empty() {
            return Ok(Some(Plan(seen.writes.clone())));
        }
        if let Some(conflict) = &seen.conflict {
            return Err(Failure::terminal(Reason::Conflict, conflict.clone()));
        }
        if seen.leaving > 0 {
            return Ok(Some(Plan(Vec::new())));
        }
        if goal == Goal::Present && seen.ready < seen.wanted {
            let trouble = seen.trouble.as_deref().map(|t| format!("; {t}")).unwrap_or_default();
            let message = format!(
                "{} of {} rows on {} are ready{trouble}",
                seen.ready, seen.wanted, pool.spec.firewall
            );
            return Err(Failure::waiting(Reason::DependencyNotReady, message));
        }
        Ok(None)
    }

    async fn apply(
        &self,
        _: &Arc<AddressPool>,
        seen: &Seen,
        Plan(writes): Plan,
    ) -> Result<Progress, Failure> {
        if writes.is_empty() {
            return Ok(Progress::working(
                format!("waiting for {} rows to leave the firewall", seen.leaving),
                Duration::from_secs(15),
            ));
        }
        let more = writes.len() > ROUND;
        let mut results = stream::iter(writes.into_iter().take(ROUND).map(|write| self.write(write)))
            .buffer_unordered(PARALLEL);
        while let Some(result) = results.next().await {
            result?;
        }
        let what = if more {
            "making the rows of its addresses"
        } else {
            "the rows of its addresses are made; waiting for them"
        };
        // The watch brings what was written; until then a second look would see the old state.
        Ok(Progress::working(what, Duration::from_secs(2)))
    }

    fn report(&self, pool: &AddressPool, seen: &Seen, status: &mut AddressPoolStatus) -> Vec<Fact> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        status.addresses = count(pool.spec.addresses.len());
        status.published = count(seen.ready / 4);
        status.claimed = count(seen.claimed);
        Vec::new()
    }

    fn settled(&self, pool: &AddressPool, seen: &Seen) -> (Reason, String) {
        (
            Reason::InSync,
            format!("{} of {} addresses are published", seen.wanted / 4, pool.spec.addresses.len()),
        )
    }
}

/// Claimed addresses whose entry left the spec, as they stand in names.
fn held(pool: &AddressPool, goal: Goal, claimed: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    if goal == Goal::Absent {
        return BTreeSet::new();
    }
    let listed: BTreeSet<IpAddr> =
        pool.spec.addresses.iter().filter_map(|address| parse_ip(&address.external).ok()).collect();
    claimed.difference(&listed).map(|address| in_a_name(*address)).collect()
}

/// The four rows of one address.
pub struct Rows {
    /// The address outside, on the firewall.
    pub vip: VirtualIpSpec,
    /// From the address outside to the one inside.
    pub nat: NatMappingSpec,
    /// The address inside, for the machine with its MAC.
    pub dhcp: DhcpReservationSpec,
    /// What may come in.
    pub rule: FirewallRuleSpec,
}

impl AddressPools {
    /// Compares the rows that should be with those that the watch knows.
    fn compare(&self, pool: &AddressPool, goal: Goal, claimed: &BTreeSet<IpAddr>) -> Seen {
        let mut seen = Seen {
            writes: Vec::new(),
            wanted: 0,
            ready: 0,
            claimed: claimed.len(),
            leaving: 0,
            trouble: None,
            invalid: None,
            conflict: None,
            held: held(pool, goal, claimed),
        };
        let wanted = match wanted(pool, goal, claimed) {
            Ok(wanted) => wanted,
            Err(message) => {
                seen.invalid = Some(message);
                return seen;
            }
        };
        seen.wanted = wanted.len() * 4;
        one_kind(pool, &wanted, &self.virtual_ips, |rows| &rows.vip, VirtualIp::new, Write::Vip, &mut seen);
        one_kind(pool, &wanted, &self.nat_mappings, |rows| &rows.nat, NatMapping::new, Write::Nat, &mut seen);
        one_kind(
            pool,
            &wanted,
            &self.dhcp_reservations,
            |rows| &rows.dhcp,
            DhcpReservation::new,
            Write::Dhcp,
            &mut seen,
        );
        one_kind(
            pool,
            &wanted,
            &self.firewall_rules,
            |rows| &rows.rule,
            FirewallRule::new,
            Write::Rule,
            &mut seen,
        );
        seen
    }

    async fn write(&self, write: Write) -> Result<(), Failure> {
        match write {
            Write::Vip(change) => self.change(change).await,
            Write::Nat(change) => self.change(change).await,
            Write::Dhcp(change) => self.change(change).await,
            Write::Rule(change) => self.change(change).await,
        }
    }

    async fn change<K>(&self, change: Change<K>) -> Result<(), Failure>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + HasSpec<Spec: Serialize>
            + Clone
            + fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let api = |namespace: &str| Api::<K>::namespaced(self.client.clone(), namespace);
        match change {
            Change::Create(object) => {
                let namespace = object.namespace().unwrap_or_default();
                match api(&namespace).create(&PostParams::default(), &object).await {
                    Ok(_) => Ok(()),
                    // The watch had not brought it yet.
                    Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                    Err(kube::Error::Api(status)) if status.is_not_found() => Err(Failure::waiting(
                        Reason::DependencyMissing,
                        format!(
                            "namespace {namespace} does not exist; create it, or name another in spec.namespace"
                        ),
                    )),
                    Err(error) => Err(error.into()),
                }
            }
            Change::Update(object) => {
                let namespace = object.namespace().unwrap_or_default();
                let body = serde_json::json!({ "spec": object.spec() });
                let params =
                    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
                api(&namespace).patch(&object.name_any(), &params, &Patch::Merge(&body)).await?;
                Ok(())
            }
            Change::Delete { namespace, name, uid } => {
                let params = DeleteParams {
                    preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                    ..DeleteParams::default()
                };
                match api(&namespace).delete(&name, &params).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

#[allow(clippy::too_many_arguments)] // one place for four kinds; a struct would only give the list another name
fn one_kind<K>(
    pool: &AddressPool,
    wanted: &BTreeMap<String, (String, Rows)>,
    lookup: &Lookup<K>,
    spec_of: impl Fn(&Rows) -> &K::Spec,
    new: impl Fn(&str, K::Spec) -> K,
    write: impl Fn(Change<K>) -> Write,
    seen: &mut Seen,
) where
    K: Object + HasSpec<Spec: Clone + PartialEq> + Resource<Scope = NamespaceResourceScope>,
    K::Status: Reported,
{
    let pool_name = pool.name_any();
    for (name, (address, rows)) in wanted {
        let spec = spec_of(rows);
        let Some(existing) = lookup.get(Some(&pool.spec.namespace), name) else {
            let mut object = new(name, spec.clone());
            *object.meta_mut() = metadata(pool, name, address);
            seen.writes.push(write(Change::Create(Box::new(object))));
            continue;
        };
        if existing.labels().get(POOL_LABEL) != Some(&pool_name) {
            seen.conflict.get_or_insert_with(|| {
                format!(
                    "{} {}/{name} exists and was not made by this pool; rename it, or give it the label {POOL_LABEL}={pool_name}",
                    K::kind(&()),
                    pool.spec.namespace
                )
            });
        } else if existing.meta().deletion_timestamp.is_some() {
            // It comes back once it is gone.
            seen.leaving += 1;
        } else if existing.spec() != spec {
            let mut object = new(name, spec.clone());
            *object.meta_mut() = metadata(pool, name, address);
            seen.writes.push(write(Change::Update(Box::new(object))));
        } else {
            let conditions = existing.status().map(|status| status.conditions().to_vec()).unwrap_or_default();
            if is_ready(&conditions, existing.meta().generation) {
                seen.ready += 1;
            } else if let (None, Some(condition)) = (&seen.trouble, find(&conditions, READY)) {
                seen.trouble = Some(format!("{} {name}: {}", K::kind(&()), condition.message));
            }
        }
    }
    for existing in lookup.all() {
        let ours = existing.labels().get(POOL_LABEL) == Some(&pool_name)
            && existing.namespace().as_deref() == Some(&pool.spec.namespace);
        if !ours || wanted.contains_key(&existing.name_any()) {
            continue;
        }
        // Somebody lives behind a claimed address: its rows stay until the claim is given up.
        if let Some(address) = existing.labels().get(ADDRESS_LABEL)
            && seen.held.contains(address)
        {
            seen.conflict.get_or_insert_with(|| {
                format!(
                    "{address} is claimed and no longer in spec.addresses; its rows stay. Put it back, or remove the guest that has it (kubectl get addressclaims)"
                )
            });
            continue;
        }
        seen.leaving += 1;
        if existing.meta().deletion_timestamp.is_none() {
            seen.writes.push(write(Change::Delete {
                namespace: pool.spec.namespace.clone(),
                name: existing.name_any(),
                uid: existing.uid().unwrap_or_default(),
            }));
        }
    }
}

/// The rows that should be, by the name of their objects, each with its address as it stands in names.
pub fn wanted(
    pool: &AddressPool,
    goal: Goal,
    claimed: &BTreeSet<IpAddr>,
) -> Result<BTreeMap<String, (String, Rows)>, String> {
    let mut rows = BTreeMap::new();
    let (mut internals, mut macs) = (BTreeMap::new(), BTreeMap::new());
    for (n, address) in pool.spec.addresses.iter().enumerate() {
        let at = |field: &str, error: &dyn fmt::Display| format!("spec.addresses[{n}].{field}: {error}");
        let external = parse_ip(&address.external).map_err(|error| at("external", &error))?;
        let internal = parse_ip(&address.internal).map_err(|error| at("internal", &error))?;
        let mac: Mac = address.mac.parse().map_err(|error| at("mac", &error))?;
        if let Some(other) = internals.insert(internal, n) {
            return Err(at("internal", &format!("{internal} stands at spec.addresses[{other}] too")));
        }
        if let Some(other) = macs.insert(mac, n) {
            return Err(at("mac", &format!("{mac} stands at spec.addresses[{other}] too")));
        }
        let published =
            goal == Goal::Present && (pool.spec.publish == Publish::Always || claimed.contains(&external));
        if !published {
            continue;
        }
        let in_name = in_a_name(external);
        let name = format!("{}-{in_name}", pool.name_any());
        if rows.insert(name.clone(), (in_name, rows_of(pool, external, internal, mac))).is_some() {
            return Err(at("external", &format!("{external} stands in the list twice, in two spellings")));
        }
    }
    Ok(rows)
}

fn rows_of(pool: &AddressPool, external: IpAddr, internal: IpAddr, mac: Mac) -> Rows {
    let spec = &pool.spec;
    let description = format!("pool {}", pool.name_any());
    Rows {
        vip: VirtualIpSpec {
            firewall: spec.firewall.clone(),
            address: format!("{external}/{}", spec.external.prefix_length),
            interface: spec.external.interface.clone(),
            mode: VipMode::IPAlias,
            vhid: None,
            description: description.clone(),
            adopt: false,
            deletion_policy: spec.deletion_policy,
        },
        nat: NatMappingSpec {
            firewall: spec.firewall.clone(),
            interface: spec.external.interface.clone(),
            external: external.to_string(),
            internal: internal.to_string(),
            destination: "any".into(),
            reflection: None,
            enabled: true,
            description: description.clone(),
            adopt: false,
            deletion_policy: spec.deletion_policy,
        },
        dhcp: DhcpReservationSpec {
            firewall: spec.firewall.clone(),
            interface: spec.internal.interface.clone(),
            mac: mac.to_string(),
            address: internal.to_string(),
            hostname: None,
            domain: None,
            gateway: None,
            dns_servers: Vec::new(),
            description: description.clone(),
            adopt: false,
            deletion_policy: spec.deletion_policy,
        },
        rule: FirewallRuleSpec {
            firewall: spec.firewall.clone(),
            interfaces: vec![spec.external.interface.clone()],
            action: spec.rule.action,
            ip_family: if external.is_ipv4() { IpFamily::IPv4 } else { IpFamily::IPv6 },
            protocol: spec.rule.protocol,
            source: RuleEnd::default(),
            // The filter sees a packet after 1:1 NAT: its destination is the internal address.
            destination: RuleEnd {
                address: internal.to_string(),
                invert: false,
                ports: spec.rule.ports.clone(),
            },
            log: false,
            enabled: true,
            priority: 0,
            description,
            deletion_policy: spec.deletion_policy,
        },
    }
}

/// What the objects of an address's rows carry besides their specs.
pub fn metadata(pool: &AddressPool, name: &str, address: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(pool.spec.namespace.clone()),
        labels: Some(BTreeMap::from([
            (POOL_LABEL.into(), pool.name_any()),
            (ADDRESS_LABEL.into(), address.into()),
            ("app.kubernetes.io/managed-by".into(), "skyy-command".into()),
        ])),
        // With the finalizer from the start: the row's first pass need not write it.
        finalizers: Some(vec![FINALIZER.into()]),
        owner_references: Some(vec![OwnerReference {
            api_version: AddressPool::api_version(&()).into(),
            kind: AddressPool::kind(&()).into(),
            name: pool.name_any(),
            uid: pool.uid().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use skyy_api::{
        AddressPoolSpec,
        address_pool::{ExternalSide, InternalSide, PoolAddress, PoolRule},
    };

    use super::*;

    fn pool(externals: &[&str]) -> AddressPool {
        let addresses = externals
            .iter()
            .enumerate()
            .map(|(n, external)| PoolAddress {
                external: (*external).to_owned(),
                internal: format!("10.20.0.{}", n + 2),
                mac: format!("02:00:00:00:00:{n:02x}"),
            })
            .collect();
        AddressPool::new(
            "public",
            AddressPoolSpec {
                firewall: "edge".into(),
                external: ExternalSide { interface: "wan".into(), prefix_length: 23 },
                internal: InternalSide { interface: "opt3".into() },
                publish: Publish::Always,
                namespace: "tenants".into(),
                rule: PoolRule::default(),
                addresses,
                deletion_policy: skyy_api::DeletionPolicy::Delete,
            },
        )
    }

    #[test]
    fn a_claimed_address_that_left_the_spec_is_held() {
        let claimed: BTreeSet<IpAddr> =
            ["198.18.0.2", "198.18.0.3"].iter().map(|ip| ip.parse().unwrap()).collect();
        let names = |goal| held(&pool(&["198.18.0.2"]), goal, &claimed).into_iter().collect::<Vec<_>>();
        assert_eq!(names(Goal::Present), ["198-18-0-3"]);
        assert_eq!(
            names(Goal::Absent),
            Vec::<String>::new(),
            "a pool that goes is held by its claims as a whole"
        );
    }

    #[test]
    fn an_address_published_on_claim_has_rows_only_while_it_is_claimed() {
        let mut pool = pool(&["198.18.0.2", "198.18.0.3"]);
        pool.spec.publish = Publish::OnClaim;
        let claimed = BTreeSet::from(["198.18.0.3".parse().unwrap()]);
        let rows = wanted(&pool, Goal::Present, &claimed).unwrap();
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["public-198-18-0-3"]);
        assert!(wanted(&pool, Goal::Absent, &claimed).unwrap().is_empty());
    }

    #[test]
    fn an_address_twice_is_refused_with_both_places() {
        let mut twice = pool(&["198.18.0.2", "198.18.0.3"]);
        twice.spec.addresses[1].mac = "02-00-00-00-00-00".into();
        let said = wanted(&twice, Goal::Present, &BTreeSet::new()).err().unwrap_or_default();
        assert_eq!(said, "spec.addresses[1].mac: 02:00:00:00:00:00 stands at spec.addresses[0] too");
    }
}
