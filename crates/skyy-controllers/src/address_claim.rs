//! AddressClaim: holds an address of a pool until the rows that were published for it are gone.

use std::{fmt, sync::Arc};

use kube::ResourceExt;
use skyy_api::{
    AddressClaim, AddressPool, DhcpReservation, FirewallRule, NatMapping, Reason, VirtualIp,
    address::{in_a_name, parse_ip},
    address_pool::Publish,
    condition::is_ready,
};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Progress};

/// The AddressClaim kind.
pub struct AddressClaims {
    /// The pools.
    pub pools: Lookup<AddressPool>,
    /// Their rows.
    pub virtual_ips: Lookup<VirtualIp>,
    /// Their rows.
    pub nat_mappings: Lookup<NatMapping>,
    /// Their rows.
    pub dhcp_reservations: Lookup<DhcpReservation>,
    /// Their rows.
    pub firewall_rules: Lookup<FirewallRule>,
}

/// What was seen of the address.
pub struct Seen {
    pool: Option<Arc<AddressPool>>,
    in_pool: bool,
    rows: usize,
    ready: usize,
}

/// A claim does nothing itself; there is only waiting.
pub struct Wait(String);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind for AddressClaims {
    type Object = AddressClaim;
    type Observed = Seen;
    type Plan = Wait;
    const NAME: &'static str = "addressclaim";

    async fn observe(&self, claim: &Arc<AddressClaim>, _: Goal, _: Mode) -> Result<Seen, Failure> {
        let Some(pool) = self.pools.get(None, &claim.spec.pool) else {
            return Ok(Seen { pool: None, in_pool: false, rows: 0, ready: 0 });
        };
        let external = parse_ip(&claim.spec.external)
            .map_err(|error| Failure::terminal(Reason::Invalid, error.to_string()))?;
        let in_pool = pool.spec.addresses.iter().any(|address| parse_ip(&address.external) == Ok(external));
        let name = format!("{}-{}", pool.name_any(), in_a_name(external));
        let namespace = Some(pool.spec.namespace.as_str());
        let found = [
            row(&self.virtual_ips, namespace, &name),
            row(&self.nat_mappings, namespace, &name),
            row(&self.dhcp_reservations, namespace, &name),
            row(&self.firewall_rules, namespace, &name),
        ];
        Ok(Seen {
            in_pool,
            rows: found.iter().flatten().count(),
            ready: found.iter().flatten().filter(|ready| **ready).count(),
            pool: Some(pool),
        })
    }

    fn plan(&self, claim: &AddressClaim, seen: &Seen, goal: Goal) -> Result<Option<Wait>, Failure> {
        match (goal, &seen.pool) {
            (Goal::Absent, Some(pool)) if pool.spec.publish == Publish::OnClaim && seen.rows > 0 => {
                Ok(Some(Wait(format!(
                    "waiting for {} rows of {} to leave the firewall",
                    seen.rows, claim.spec.external
                ))))
            }
            (Goal::Present, None) => Err(Failure::waiting(
                Reason::DependencyMissing,
                format!("AddressPool {} does not exist", claim.spec.pool),
            )),
            (Goal::Present, Some(pool)) if !seen.in_pool => Err(Failure::terminal(
                Reason::Invalid,
                format!(
                    "{} is no longer in AddressPool {}; its guest keeps it until it is removed",
                    claim.spec.external,
                    pool.name_any()
                ),
            )),
            (Goal::Present, Some(_)) if seen.ready < 4 => {
                Ok(Some(Wait(format!("{} of 4 rows of {} are ready", seen.ready, claim.spec.external))))
            }
            (Goal::Absent, _) | (Goal::Present, Some(_)) => Ok(None),
        }
    }

    async fn apply(&self, _: &Arc<AddressClaim>, _: &Seen, Wait(what): Wait) -> Result<Progress, Failure> {
        Ok(Progress::working(what, std::time::Duration::from_secs(5)))
    }
}

/// Whether the row is there, and whether it is ready.
fn row<K: skyy_runtime::kind::Object>(
    lookup: &Lookup<K>,
    namespace: Option<&str>,
    name: &str,
) -> Option<bool> {
    use skyy_api::Reported;
    let row = lookup.get(namespace, name)?;
    Some(row.status().is_some_and(|status| is_ready(status.conditions(), row.meta().generation)))
}
