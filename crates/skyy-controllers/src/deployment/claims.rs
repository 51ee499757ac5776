//! Addresses that guests claim: an AddressClaim is made by a name that follows from the address, so that the API server lets
//! only one guest have it.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};
use skyy_api::{
    AddressClaim, AddressClaimSpec, Deployment, Reason,
    address::parse_ip,
    address_claim::{Claimant, claim_name},
    common::FINALIZER,
    condition::is_ready,
    deployment::Guest as Record,
};
use skyy_runtime::Failure;

use super::Deployments;

impl Deployments {
    /// The record with the addresses that the API server knows to be the guest's: after a restart they are the only memory.
    pub(super) fn with_addresses(&self, deployment: &Deployment, mut record: Record) -> Record {
        let pools = deployment.spec.network.iter().filter_map(|card| card.address_pool.as_ref());
        let uid = deployment.uid().unwrap_or_default();
        let mut addresses = Vec::new();
        for (n, pool) in pools.enumerate() {
            let known = record.addresses.get(n).cloned();
            let held = || {
                let claims = self.claims.all();
                claims
                    .iter()
                    .find(|claim| {
                        let Claimant { uid: owner, guest, .. } = &claim.spec.claimant;
                        *owner == uid
                            && *guest == record.name
                            && claim.spec.pool == *pool
                            && !addresses.contains(&claim.spec.external)
                    })
                    .map(|claim| claim.spec.external.clone())
            };
            match known.or_else(held) {
                Some(address) => addresses.push(address),
                None => break,
            }
        }
        record.addresses = addresses;
        record
    }

    /// Is every address that the guest claims published?
    pub(super) fn published(&self, record: &Record) -> bool {
        record.addresses.iter().all(|address| {
            self.claims.all().iter().any(|claim| {
                claim.spec.external == *address
                    && claim
                        .status
                        .as_ref()
                        .is_some_and(|status| is_ready(&status.conditions, claim.metadata.generation))
            })
        })
    }

    /// Claims an address for each card that asks for one and has none yet.
    pub(super) async fn claim(&self, deployment: &Deployment, record: &mut Record) -> Result<(), Failure> {
        let pools: Vec<&String> =
            deployment.spec.network.iter().filter_map(|card| card.address_pool.as_ref()).collect();
        for pool in pools.into_iter().skip(record.addresses.len()) {
            let address = self.claim_one(deployment, &record.name, pool).await?;
            tracing::info!(guest = record.name, address, pool, "claimed");
            record.addresses.push(address);
        }
        Ok(())
    }

    async fn claim_one(&self, deployment: &Deployment, guest: &str, pool: &str) -> Result<String, Failure> {
        let Some(known) = self.pools.get(None, pool) else {
            return Err(Failure::waiting(
                Reason::DependencyMissing,
                format!("AddressPool {pool} does not exist"),
            ));
        };
        let api: Api<AddressClaim> = Api::all(self.client.clone());
        for entry in &known.spec.addresses {
            let Ok(external) = parse_ip(&entry.external) else { continue };
            let name = claim_name(pool, external);
            if self.claims.get(None, &name).is_some() {
                continue;
            }
            let mut claim = AddressClaim::new(
                &name,
                AddressClaimSpec {
                    pool: pool.to_owned(),
                    external: entry.external.clone(),
                    claimant: Claimant {
                        namespace: deployment.namespace().unwrap_or_default(),
                        deployment: deployment.name_any(),
                        uid: deployment.uid().unwrap_or_default(),
                        guest: guest.to_owned(),
                    },
                },
            );
            claim.metadata = ObjectMeta {
                name: Some(name),
                finalizers: Some(vec![FINALIZER.into()]),
                ..ObjectMeta::default()
            };
            match api.create(&PostParams::default(), &claim).await {
                Ok(_) => return Ok(entry.external.clone()),
                // Somebody was quicker.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let all = known.spec.addresses.len();
        Err(Failure::waiting(
            Reason::PoolExhausted,
            format!(
                "AddressPool {pool} has no free address: all {all} are claimed. Add addresses, or remove a guest that has one"
            ),
        ))
    }

    /// Gives up the addresses of a guest of which nothing is left.
    pub(super) async fn release_claims(
        &self,
        deployment: &Deployment,
        record: &Record,
    ) -> Result<(), Failure> {
        let uid = deployment.uid().unwrap_or_default();
        let api: Api<AddressClaim> = Api::all(self.client.clone());
        for claim in self.claims.all() {
            let Claimant { uid: owner, guest, .. } = &claim.spec.claimant;
            if *owner != uid || *guest != record.name {
                continue;
            }
            let params = DeleteParams {
                preconditions: Some(Preconditions { uid: claim.uid(), resource_version: None }),
                ..DeleteParams::default()
            };
            match api.delete(&claim.name_any(), &params).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
