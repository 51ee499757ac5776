//! Endpoints that only show something: versions, status, settings of the system.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::config::{Config, Kind, text};

/// The gateways of the box.
pub(super) const GATEWAYS: &[&str] = &["WANGW"];

/// What a path below `/api/v2/` shows, if it only shows something.
pub(super) fn show(path: &str, config: &Config) -> Option<Value> {
    Some(match path {
        "system/version" => {
            json!({"version": "2.8.0-DEVELOPMENT", "base": "2.8.0", "patch": null, "buildtime": null})
        }
        "system/restapi/version" => json!({
            "current_version": "v2.10.0", "latest_version": null, "latest_version_release_date": "unknown",
            "update_available": false, "available_versions": [],
        }),
        "system/hostname" => json!({"hostname": "double", "domain": "home.arpa"}),
        "system/timezone" => json!({"timezone": "Etc/UTC"}),
        "system/restapi/access_list" => json!([allow(0, "0.0.0.0/0", "IPv4"), allow(1, "0::/0", "IPv6")]),
        "status/system" => json!({
            "platform": "pfSense", "serial": "", "netgate_id": "", "uptime": "01 Hour 00 Minute 00 Second",
            "bios_vendor": "", "bios_version": "", "bios_date": "", "kernel_pti": false, "mds_mitigation": "",
            "cpu_model": "stub cpu", "temp_c": null, "temp_f": null, "cpu_load_avg": [0.1, 0.2, 0.3],
            "cpu_count": 2, "cpu_usage": 5, "mbuf_usage": 10, "mem_usage": 25, "swap_usage": 0, "disk_usage": 12,
        }),
        "status/interfaces" => interfaces(config),
        "status/services" => [
            ("unbound", "DNS Resolver"),
            ("ntpd", "NTP clock sync"),
            ("syslogd", "System Logger Daemon"),
            ("kea-dhcp4", "Kea DHCP Server"),
            ("dpinger", "Gateway Monitoring Daemon"),
        ]
        .iter()
        .enumerate()
        .map(|(id, (name, what))| json!({"id": id, "name": name, "description": what, "enabled": true, "status": false}))
        .collect(),
        "routing/gateways" => GATEWAYS.iter().enumerate().map(|(id, name)| gateway(id, name)).collect(),
        "firewall/states/size" => {
            json!({"maximumstates": 409_000, "defaultmaximumstates": 409_000, "currentstates": 0})
        }
        "interface/apply" => json!({"applied": true, "pending_interfaces": []}),
        "status/gateways" | "status/dhcp_server/leases" | "firewall/states" | "firewall/schedules" => json!([]),
        _ => return None,
    })
}

fn allow(id: usize, network: &str, family: &str) -> Value {
    json!({
        "id": id, "type": "allow", "weight": 10, "network": network, "users": [], "sched": "",
        "descr": format!("Default allow all {family}"),
    })
}

fn gateway(id: usize, name: &str) -> Value {
    json!({
        "id": id, "name": name, "descr": "", "disabled": false, "ipprotocol": "inet", "interface": "wan",
        "gateway": "198.51.100.1", "monitor_disable": false, "monitor": null, "action_disable": false,
        "force_down": false, "dpinger_dont_add_static_route": false, "gw_down_kill_states": null,
        "nonlocalgateway": false, "weight": 1, "data_payload": 1, "latencylow": 200, "latencyhigh": 500,
        "losslow": 10, "losshigh": 20, "interval": 500, "loss_interval": 2000, "time_period": 60_000,
        "alert_interval": 1000,
    })
}

/// The interfaces as the kernel has them.
fn interfaces(config: &Config) -> Value {
    let shown = |(id, row): (usize, &super::config::Row)| {
        let bits =
            row.get("subnet").and_then(Value::as_u64).and_then(|bits| u32::try_from(bits).ok()).unwrap_or(0);
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0));
        let gateway = if text(row, "gateway").is_empty() { Value::Null } else { json!("198.51.100.1") };
        json!({
            "id": id, "name": text(row, "id"), "descr": text(row, "descr"), "hwif": text(row, "if"),
            "macaddr": format!("52:54:00:00:00:{:02x}", id + 1), "mtu": "1500", "enable": false, "status": "up",
            "ipaddr": text(row, "ipaddr"), "subnet": mask.to_string(), "linklocal": null, "ipaddrv6": null,
            "subnetv6": null, "inerrs": 0, "outerrs": 0, "collisions": 0, "inbytes": 0, "inbytespass": 0,
            "outbytes": 0, "outbytespass": 0, "inpkts": 0, "inpktspass": 0, "outpkts": 0, "outpktspass": 0,
            "dhcplink": null, "media": null, "gateway": gateway, "gatewayv6": null,
        })
    };
    config.table(Kind::Interface, None).iter().enumerate().map(shown).collect()
}
