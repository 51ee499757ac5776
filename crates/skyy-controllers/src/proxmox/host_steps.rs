//! Carrying out the steps planned for a node, and giving the planner what was seen of it. Nothing is chosen here.

use skyy_api::Reason;
use skyy_plan::host::{
    BridgeSettings, Interface, Observed, Plan, Repositories, Repository, RepositoryFile, StandardRepository,
    Step,
};
use skyy_proxmox::{
    AptRepositories, Digest, InterfaceKind, InterfaceSpec, NetworkInterface, RepositoryPlace,
};
use skyy_runtime::Failure;

use super::{
    hub::{ClusterHub, node_name},
    inventory::NodeDetails,
};

/// A node in the planner's words.
pub(super) fn as_planned(details: &NodeDetails) -> Observed {
    Observed {
        interfaces: details.network.interfaces.iter().map(interface).collect(),
        changes: details.network.changes.clone(),
        repositories: details.repositories.as_ref().map(repositories),
    }
}

fn interface(seen: &NetworkInterface) -> Interface {
    let seen = seen.clone();
    Interface {
        name: seen.iface,
        kind: seen.kind.to_string(),
        autostart: seen.autostart,
        ports: seen.bridge_ports,
        slaves: seen.slaves,
        vlan_aware: seen.bridge_vlan_aware,
        vids: seen.bridge_vids,
        cidr: seen.cidr,
        cidr6: seen.cidr6,
        gateway: seen.gateway,
        gateway6: seen.gateway6,
        mtu: seen.mtu,
        raw_device: seen.vlan_raw_device,
        altnames: seen.altnames,
        comments: seen.comments,
    }
}

fn repositories(seen: &AptRepositories) -> Repositories {
    Repositories {
        digest: seen.digest.as_ref().map(|digest| digest.as_str().to_owned()),
        files: seen
            .files
            .iter()
            .map(|file| RepositoryFile {
                path: file.path.clone(),
                repositories: file
                    .repositories
                    .iter()
                    .map(|known| Repository {
                        enabled: known.enabled,
                        types: known.types.clone(),
                        uris: known.uris.clone(),
                        suites: known.suites.clone(),
                        components: known.components.clone(),
                    })
                    .collect(),
            })
            .collect(),
        errors: seen.errors.iter().filter_map(|error| error.error.clone()).collect(),
        standard: seen
            .standard
            .iter()
            .map(|known| StandardRepository { handle: known.handle.clone(), enabled: known.enabled })
            .collect(),
    }
}

/// Carries out the steps in their order.
pub(super) async fn carry_out(hub: &ClusterHub, node: &str, plan: Plan) -> Result<(), Failure> {
    let client = hub.client()?;
    let node = node_name(node)?;
    let applies = plan.steps.iter().any(|step| matches!(step, Step::ApplyNetwork));
    if applies {
        // Somebody may have staged a change since the node was read; applying would make it theirs and ours at once.
        let now = client.network(&node).await.map_err(|error| hub.failed(&error))?;
        let stages =
            plan.steps.iter().any(|step| matches!(step, Step::CreateBridge(_) | Step::UpdateBridge { .. }));
        if stages && let Some(changes) = now.changes {
            let lines = changes.lines().count();
            let message = format!(
                "{node}: {lines} lines of network changes were staged by somebody else meanwhile; nothing is applied"
            );
            return Err(Failure::transient(Reason::ForeignChangesStaged, message));
        }
    }
    for step in plan.steps {
        let done = match step {
            Step::CreateBridge(bridge) => client.create_interface(&node, &spec_of(bridge, Vec::new())).await,
            Step::UpdateBridge { bridge, unset } => {
                let unset = unset.into_iter().map(str::to_owned).collect();
                client.update_interface(&node, &spec_of(bridge, unset)).await
            }
            Step::ApplyNetwork => client.apply_network(&node).await.map(drop),
            Step::EnableRepository { path, index, enabled, digest } => {
                let place = RepositoryPlace { path, index };
                client.set_apt_repository(&node, &place, enabled, digest.map(Digest::new).as_ref()).await
            }
            Step::AddStandardRepository { handle, digest } => {
                client.add_standard_repository(&node, &handle, digest.map(Digest::new).as_ref()).await
            }
        };
        done.map_err(|error| hub.failed(&error))?;
    }
    Ok(())
}

fn spec_of(bridge: BridgeSettings, unset: Vec<String>) -> InterfaceSpec {
    let BridgeSettings {
        name,
        autostart,
        ports,
        vlan_aware,
        vids,
        cidr,
        cidr6,
        gateway,
        gateway6,
        mtu,
        comments,
    } = bridge;
    InterfaceSpec {
        iface: name,
        kind: InterfaceKind::Bridge,
        autostart,
        cidr,
        cidr6,
        gateway,
        gateway6,
        mtu,
        bridge_ports: ports.into_iter().collect(),
        bridge_vlan_aware: vlan_aware,
        bridge_vids: vids,
        comments,
        unset,
        ..InterfaceSpec::default()
    }
}
