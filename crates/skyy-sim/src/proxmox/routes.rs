//! Which function answers which method of the schema. No logic.

use super::answer::Reply;
use super::call::Call;
use super::state::GuestKind;
use super::{
    access, agent, apt, clone, cluster, create, destroy, disks, ha, image, lxc, migrate, network, nodes, pci,
    pools, power, qemu, qemu_config, snapshot, storage, tasks,
};

/// A method's implementation.
pub(crate) type Handler = fn(&mut Call<'_>) -> Reply;

/// The implementation of a method; the path is the schema's, with its variables.
pub(crate) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let (area, rest) = match path.strip_prefix("/nodes/{node}/") {
        Some(rest) => match rest.split_once('/') {
            Some(("qemu", _)) => return guest(verb, rest.strip_prefix("qemu/{vmid}").unwrap_or_default()),
            Some(("lxc", _)) => return container(verb, rest.strip_prefix("lxc/{vmid}").unwrap_or_default()),
            _ => ("node", rest),
        },
        None => ("", path),
    };
    if area == "node" { on_node(verb, rest) } else { elsewhere(verb, rest) }
}

fn guest(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "") => qemu::index,
        ("DELETE", "") => |c| destroy::destroy(c, GuestKind::Qemu),
        ("POST", "/agent/ping") => agent::ping,
        ("GET", "/agent/network-get-interfaces") => agent::interfaces,
        ("GET", "/agent/get-osinfo") => agent::os_info,
        ("GET", "/agent/get-host-name") => agent::host_name,
        ("GET", "/agent/info") => agent::info,
        ("POST", "/agent/exec") => agent::exec,
        ("POST", "/clone") => clone::clone,
        ("GET", "/cloudinit") => agent::cloudinit,
        ("PUT", "/cloudinit") => agent::regenerate,
        ("GET", "/cloudinit/dump") => agent::dump,
        ("GET", "/config") => qemu_config::get,
        ("PUT", "/config") => qemu_config::put,
        ("POST", "/config") => qemu_config::post,
        ("GET", "/pending") => qemu_config::pending,
        ("PUT", "/unlink") => qemu_config::unlink,
        ("GET", "/migrate") => migrate::preconditions,
        ("POST", "/migrate") => migrate::migrate,
        ("PUT", "/resize") => image::resize,
        ("POST", "/template") => image::template,
        ("GET", "/snapshot") => snapshot::list,
        ("POST", "/snapshot") => snapshot::create,
        ("DELETE", "/snapshot/{snapname}") => snapshot::delete,
        ("GET", "/snapshot/{snapname}/config") => snapshot::get_config,
        ("PUT", "/snapshot/{snapname}/config") => snapshot::put_config,
        ("POST", "/snapshot/{snapname}/rollback") => snapshot::rollback,
        ("GET", "/status/current") => qemu::current,
        ("POST", "/status/start") => power::start,
        ("POST", "/status/stop") => power::stop,
        ("POST", "/status/shutdown") => power::shutdown,
        ("POST", "/status/reboot") => power::reboot,
        ("POST", "/status/reset") => power::reset,
        ("POST", "/status/suspend") => power::suspend,
        ("POST", "/status/resume") => power::resume,
        _ => return None,
    })
}

fn container(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("DELETE", "") => |c| destroy::destroy(c, GuestKind::Lxc),
        ("GET", "/config") => lxc::get_config,
        ("PUT", "/config") => lxc::put_config,
        ("GET", "/status/current") => lxc::current,
        ("POST", "/status/start") => |c| lxc::power(c, true, "vzstart"),
        ("POST", "/status/stop") => |c| lxc::power(c, false, "vzstop"),
        ("POST", "/status/shutdown") => |c| lxc::power(c, false, "vzshutdown"),
        _ => return None,
    })
}

fn on_node(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "apt") => apt::index,
        ("GET", "apt/changelog") => apt::changelog,
        ("GET", "apt/repositories") => apt::repositories,
        ("POST", "apt/repositories") => apt::switch,
        ("PUT", "apt/repositories") => apt::add,
        ("GET", "apt/update") => apt::updates,
        ("POST", "apt/update") => apt::refresh,
        ("GET", "apt/versions") => apt::versions,
        ("GET", "capabilities/qemu/cpu") => nodes::cpus,
        ("GET", "ceph/status") => nodes::ceph,
        ("GET", "certificates/info") => nodes::certificates,
        ("GET", "config") => nodes::get_config,
        ("PUT", "config") => nodes::put_config,
        ("GET", "disks/list") => disks::list,
        ("GET", "disks/lvm") => disks::volume_groups,
        ("POST", "disks/lvm") => |c| disks::make_pool(c, false),
        ("GET", "disks/lvmthin") => disks::thin_pools,
        ("POST", "disks/lvmthin") => |c| disks::make_pool(c, true),
        ("PUT", "disks/wipedisk") => disks::wipe,
        ("GET", "disks/zfs") => disks::zfs,
        ("GET", "disks/directory") => cluster::empty,
        ("GET", "disks/smart") => disks::smart,
        ("GET", "dns") => nodes::get_dns,
        ("PUT", "dns") => nodes::put_dns,
        ("POST", "execute") => nodes::execute,
        ("GET", "hardware/pci") => pci::list,
        ("GET", "hardware/pci/{pci-id-or-mapping}") => pci::index,
        ("GET", "hosts") => nodes::get_hosts,
        ("POST", "hosts") => nodes::post_hosts,
        ("GET", "lxc") => lxc::list,
        ("POST", "lxc") => lxc::create,
        ("GET", "network") => network::list,
        ("POST", "network") => network::create,
        ("PUT", "network") => network::apply,
        ("DELETE", "network") => network::revert,
        ("GET", "network/{iface}") => network::get,
        ("PUT", "network/{iface}") => network::update,
        ("DELETE", "network/{iface}") => network::delete,
        ("GET", "qemu") => qemu::list,
        ("POST", "qemu") => create::create,
        ("GET", "services") => nodes::services,
        ("GET", "services/{service}/state") => nodes::service,
        ("POST", "services/{service}/restart") => nodes::restart_service,
        ("GET", "status") => nodes::status,
        ("POST", "status") => nodes::power,
        ("GET", "storage") => storage::on_node,
        ("GET", "storage/{storage}/content") => storage::content,
        ("POST", "storage/{storage}/content") => storage::allocate,
        ("GET", "storage/{storage}/content/{volume}") => storage::volume,
        ("DELETE", "storage/{storage}/content/{volume}") => storage::remove_volume,
        ("GET", "storage/{storage}/status") => storage::status,
        ("GET", "subscription") => nodes::subscription,
        ("PUT", "subscription") => nodes::set_subscription,
        ("GET", "tasks") => tasks::list,
        ("GET", "tasks/{upid}") => tasks::index,
        ("DELETE", "tasks/{upid}") => tasks::stop,
        ("GET", "tasks/{upid}/log") => tasks::log,
        ("GET", "tasks/{upid}/status") => tasks::status,
        ("GET", "time") => nodes::get_time,
        ("PUT", "time") => nodes::put_time,
        ("GET", "version") => cluster::version,
        _ => return None,
    })
}

fn elsewhere(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/") => cluster::root,
        ("GET", "/version") => cluster::version,
        ("GET", "/nodes") => nodes::list,
        ("GET", "/nodes/{node}") => nodes::index,
        ("GET", "/cluster") => cluster::index,
        ("GET", "/cluster/config") => cluster::config_index,
        ("POST", "/cluster/config") => cluster::create,
        ("GET", "/cluster/config/apiversion") => cluster::config_apiversion,
        ("GET", "/cluster/config/join") => cluster::join_info,
        ("POST", "/cluster/config/join") => cluster::join,
        ("GET", "/cluster/config/nodes") => cluster::config_nodes,
        ("POST", "/cluster/config/nodes/{node}") => cluster::add_node,
        ("DELETE", "/cluster/config/nodes/{node}") => cluster::remove_node,
        ("GET", "/cluster/config/totem") => cluster::config_totem,
        ("GET", "/cluster/ha/groups") => ha::groups,
        ("POST", "/cluster/ha/groups") => ha::add_group,
        ("GET", "/cluster/ha/resources") => ha::resources,
        ("POST", "/cluster/ha/resources") => ha::add_resource,
        ("GET", "/cluster/ha/resources/{sid}") => ha::resource,
        ("PUT", "/cluster/ha/resources/{sid}") => ha::change_resource,
        ("DELETE", "/cluster/ha/resources/{sid}") => ha::remove_resource,
        ("GET", "/cluster/ha/rules") => ha::rules,
        ("POST", "/cluster/ha/rules") => ha::add_rule,
        ("DELETE", "/cluster/ha/rules/{rule}") => ha::remove_rule,
        ("GET", "/cluster/ha/status/current") => ha::status,
        ("GET", "/cluster/ha/status/manager_status") => ha::manager_status,
        ("GET", "/cluster/mapping/pci") => pci::mappings,
        ("POST", "/cluster/mapping/pci") => pci::create,
        ("GET", "/cluster/mapping/pci/{id}") => pci::mapping,
        ("PUT", "/cluster/mapping/pci/{id}") => pci::update,
        ("DELETE", "/cluster/mapping/pci/{id}") => pci::delete,
        ("GET", "/cluster/nextid") => cluster::nextid,
        ("GET", "/cluster/options") => cluster::options,
        ("PUT", "/cluster/options") => cluster::set_options,
        ("GET", "/cluster/resources") => cluster::resources,
        ("GET", "/cluster/status") => cluster::status,
        ("GET", "/cluster/tasks") => tasks::recent,
        ("GET", "/pools") => pools::list,
        ("POST", "/pools") => pools::create,
        ("PUT", "/pools") => pools::update,
        ("DELETE", "/pools") => pools::delete,
        ("GET", "/pools/{poolid}") => pools::get,
        ("GET", "/storage") => storage::list,
        ("POST", "/storage") => storage::create,
        ("GET", "/storage/{storage}") => storage::get,
        ("PUT", "/storage/{storage}") => storage::update,
        ("DELETE", "/storage/{storage}") => storage::delete,
        _ => return access(verb, path),
    })
}

fn access(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path.strip_prefix("/access")?) {
        ("GET", "/acl") => access::acl,
        ("PUT", "/acl") => access::set_acl,
        ("GET", "/domains") => access::domains,
        ("GET", "/permissions") => access::permissions,
        ("GET", "/roles") => access::roles,
        ("POST", "/roles") => access::create_role,
        ("GET", "/roles/{roleid}") => access::role,
        ("DELETE", "/roles/{roleid}") => access::delete_role,
        ("GET", "/ticket") => access::no_ticket,
        ("POST", "/ticket") => access::login,
        ("GET", "/users") => access::users,
        ("POST", "/users") => access::create_user,
        ("GET", "/users/{userid}") => access::user,
        ("PUT", "/users/{userid}") => access::update_user,
        ("DELETE", "/users/{userid}") => access::delete_user,
        ("GET", "/users/{userid}/token") => access::tokens,
        ("GET", "/users/{userid}/token/{tokenid}") => access::token,
        ("POST", "/users/{userid}/token/{tokenid}") => access::create_token,
        ("PUT", "/users/{userid}/token/{tokenid}") => access::update_token,
        ("DELETE", "/users/{userid}/token/{tokenid}") => access::delete_token,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema::SCHEMA;
    use super::*;

    #[test]
    fn every_method_of_the_schema_is_answered() {
        let without: Vec<String> = SCHEMA
            .methods
            .iter()
            .filter(|m| handler(&m.verb, &m.path).is_none())
            .map(|m| format!("{} {}", m.verb, m.path))
            .collect();
        // rrddata only has its parameters checked: there are no records to give.
        assert_eq!(without, ["GET /nodes/{node}/rrddata"]);
    }
}
