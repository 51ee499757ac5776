//! What a guest should be: from the Deployment's spec, the addresses it claims, and the keys in its Secret.

use kube::ResourceExt;
use skyy_api::{
    Deployment, Reason, SecretKeyRef,
    address::Mac,
    deployment::{CloudInit, Disruption, Guest as Record, NetworkCard},
    quantity,
};
use skyy_plan::guest::{CardSpec, CloudInitSpec, DiskSpec, GuestMark, GuestSpec};
use skyy_runtime::Failure;

use super::Deployments;

impl Deployments {
    /// The mark of a guest.
    pub(super) fn mark(&self, deployment: &Deployment, guest: &str) -> GuestMark {
        GuestMark {
            installation: self.installation.clone(),
            namespace: deployment.namespace().unwrap_or_default(),
            deployment: deployment.name_any(),
            uid: deployment.uid().unwrap_or_default(),
            guest: guest.to_owned(),
        }
    }

    /// What a guest should be.
    pub async fn guest_spec(&self, deployment: &Deployment, record: &Record) -> Result<GuestSpec, Failure> {
        let spec = &deployment.spec;
        let size = |field: &str, quantity: &_| {
            quantity::bytes(quantity)
                .map_err(|error| Failure::terminal(Reason::Invalid, format!("spec.{field}: {error}")))
        };
        let memory_mib = spec
            .resources
            .memory
            .as_ref()
            .map(|memory| size("resources.memory", memory))
            .transpose()?
            .map(|bytes| bytes >> 20);
        let mut root_bytes = None;
        let mut disks = Vec::new();
        for (n, disk) in spec.disks.iter().enumerate() {
            let bytes =
                disk.size.as_ref().map(|wanted| size(&format!("disks[{n}].size"), wanted)).transpose()?;
            match (disk.name.as_str(), bytes, &disk.storage) {
                ("root", bytes, _) => root_bytes = bytes,
                (name, Some(bytes), Some(storage)) => {
                    disks.push(DiskSpec { name: name.to_owned(), storage: storage.clone(), bytes });
                }
                (name, ..) => {
                    let message = format!("spec.disks[{n}]: the new disk {name} needs both size and storage");
                    return Err(Failure::terminal(Reason::Invalid, message));
                }
            }
        }
        let mut cards = Vec::new();
        let mut claimed = record.addresses.iter();
        for card in &spec.network {
            let NetworkCard { bridge, vlan, address_pool } = card;
            let mac = match address_pool {
                Some(pool) => Some(self.claimed_mac(pool, claimed.next())?.to_string()),
                None => None,
            };
            cards.push(CardSpec { bridge: bridge.clone(), vlan: *vlan, mac });
        }
        Ok(GuestSpec {
            name: record.name.clone(),
            mark: self.mark(deployment, &record.name),
            cores: spec.resources.cores,
            memory_mib,
            root_bytes,
            disks,
            gpus: spec
                .gpus
                .iter()
                .flat_map(|gpus| std::iter::repeat_n(gpus.mapping.clone(), gpus.count as usize))
                .collect(),
            cards,
            cloud_init: match &spec.cloud_init {
                Some(cloud_init) => Some(self.cloud_init(deployment, cloud_init).await?),
                None => None,
            },
            may_interrupt: spec.disruption == Disruption::Allowed,
        })
    }

    /// The MAC behind a claimed address.
    fn claimed_mac(&self, pool: &str, address: Option<&String>) -> Result<Mac, Failure> {
        let Some(known) = self.pools.get(None, pool) else {
            return Err(Failure::waiting(
                Reason::DependencyMissing,
                format!("AddressPool {pool} does not exist"),
            ));
        };
        let Some(address) = address else {
            // The driver claims one next; nothing is in the way.
            return Err(Failure::transient(
                Reason::PoolExhausted,
                format!("an address of AddressPool {pool} is not claimed yet"),
            ));
        };
        let entry = known.spec.addresses.iter().find(|entry| entry.external == *address);
        let entry = entry.ok_or_else(|| {
            let message = format!(
                "{address} is no longer in AddressPool {pool}; put it back, or remove the guest that has it"
            );
            Failure::waiting(Reason::DependencyMissing, message)
        })?;
        entry.mac.parse().map_err(|error| {
            Failure::waiting(Reason::DependencyNotReady, format!("AddressPool {pool}: {error}"))
        })
    }

    async fn cloud_init(
        &self,
        deployment: &Deployment,
        cloud_init: &CloudInit,
    ) -> Result<CloudInitSpec, Failure> {
        let CloudInit { user, ssh_keys, search_domain, name_servers } = cloud_init;
        let ssh_keys = match ssh_keys {
            Some(reference) => {
                let reference = SecretKeyRef {
                    namespace: deployment.namespace().unwrap_or_default(),
                    name: reference.secret.name.clone(),
                    key: reference.secret.key.clone(),
                };
                Some(self.secrets.get(&reference).await?.value)
            }
            None => None,
        };
        Ok(CloudInitSpec {
            user: user.clone(),
            ssh_keys,
            name_servers: name_servers.clone(),
            search_domain: search_domain.clone(),
        })
    }
}
