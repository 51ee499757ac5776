//! The states a simulated box starts in.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    config::{Config, Kind, Row},
    fields::raw,
    spec,
};

/// A state to start in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// The recorded box: three interfaces, two DHCP servers, one rule, nothing else.
    Golden,
    /// An office firewall: the same, and rows that somebody else made and keeps.
    #[default]
    Demo,
}

pub(super) fn config(preset: Preset) -> Config {
    let mut config = Config::default();
    "automatic".clone_into(&mut config.outbound_mode);
    fill(&mut config, Kind::Interface, None, &interfaces());
    let servers = json!([
        server("lan", "192.168.1.100", "192.168.1.199"),
        server("opt3", "10.20.255.10", "10.20.255.250"),
    ]);
    fill(&mut config, Kind::DhcpServer, None, &servers);
    let allow_lan = rule("lan", "lan", "any", "Default allow LAN to any rule", 100_000_101);
    match preset {
        Preset::Golden => fill(&mut config, Kind::Rule, None, &json!([allow_lan])),
        Preset::Demo => office(&mut config, allow_lan),
    }
    config
}

/// The rows of others: two virtual IPs, two mappings, six rules, three reservations.
fn office(config: &mut Config, allow_lan: Value) {
    let vip = |uniqid: &str, subnet: &str, descr: &str| {
        json!({
            "uniqid": uniqid, "mode": "ipalias", "interface": "wan", "type": "single", "subnet": subnet,
            "subnet_bits": 32, "descr": descr,
        })
    };
    let vips = json!([
        vip("65a1f0c2d3e41", "198.51.100.10", "mail"),
        vip("65a1f0c2d3e42", "198.51.100.11", "web, old")
    ]);
    fill(config, Kind::Vip, None, &vips);
    let mapping = |external: &str, source: &str, descr: &str| {
        json!({
            "interface": "wan", "external": external, "source": source, "destination": "any", "ipprotocol": "inet",
            "descr": descr,
        })
    };
    let mappings = json!([
        mapping("198.51.100.10", "192.168.1.10", "mail"),
        mapping("198.51.100.11", "192.168.1.11", "web, old"),
    ]);
    fill(config, Kind::OneToOne, None, &mappings);
    let port = |rule: Value, protocol: &str, port: &str| {
        let mut rule = rule;
        rule["protocol"] = json!(protocol);
        rule["destination_port"] = json!(port);
        rule
    };
    let rules = json!([
        port(
            rule("lan", "lan", "(self)", "management: GUI from LAN, do not remove", 100_000_001),
            "tcp",
            "443"
        ),
        port(
            rule("lan", "lan", "(self)", "management: SSH from LAN, do not remove", 100_000_002),
            "tcp",
            "22"
        ),
        allow_lan,
        port(rule("wan", "any", "192.168.1.10", "mail", 1_690_000_001), "tcp", "25"),
        port(rule("wan", "any", "192.168.1.11", "web, old", 1_690_000_002), "tcp", "443"),
        rule("opt3", "opt3", "any", "tenants to the internet", 1_690_000_003),
    ]);
    fill(config, Kind::Rule, None, &rules);
    let reservation = |mac: &str, ipaddr: &str, hostname: &str| {
        json!({
            "mac": mac, "ipaddr": ipaddr, "hostname": hostname, "domain": "", "domainsearchlist": [],
            "defaultleasetime": 7200, "maxleasetime": 86400, "gateway": "", "descr": hostname,
        })
    };
    let lan = json!([
        reservation("52:54:00:aa:00:10", "192.168.1.10", "mail"),
        reservation("52:54:00:aa:00:11", "192.168.1.11", "web-old"),
    ]);
    fill(config, Kind::StaticMap, Some("lan"), &lan);
    let tenants = json!([reservation("52:54:00:aa:00:20", "10.20.0.10", "tenant-nas")]);
    fill(config, Kind::StaticMap, Some("opt3"), &tenants);
}

fn fill(config: &mut Config, kind: Kind, parent: Option<&str>, rows: &Value) {
    let fields = spec::of(kind).fields;
    let row = |given: &Value| -> Row {
        if fields.is_empty() {
            Arc::new(given.as_object().cloned().unwrap_or_default())
        } else {
            raw(fields, given)
        }
    };
    *config.table_mut(kind, parent) = rows.as_array().into_iter().flatten().map(row).collect();
}

fn server(interface: &str, from: &str, to: &str) -> Value {
    json!({
        "interface": interface, "enable": true, "range_from": from, "range_to": to, "defaultleasetime": 7200,
        "maxleasetime": 86400,
    })
}

fn rule(interface: &str, source: &str, destination: &str, descr: &str, tracker: u64) -> Value {
    json!({
        "type": "pass", "interface": [interface], "ipprotocol": "inet", "source": source,
        "destination": destination, "descr": descr, "statetype": "keep state", "tracker": tracker,
        "created_time": 1_690_000_000, "updated_time": 1_690_000_000,
    })
}

fn interfaces() -> Value {
    json!([
        interface("wan", "vtnet0", "WAN", "198.51.100.2", 24, Some("WANGW")),
        interface("lan", "vtnet1", "LAN", "192.168.1.1", 24, None),
        interface("opt3", "vtnet2", "TENANTS", "10.20.0.1", 16, None),
    ])
}

fn interface(id: &str, device: &str, descr: &str, ipaddr: &str, bits: u8, gateway: Option<&str>) -> Value {
    const UNSET: [&str; 33] = [
        "spoofmac",
        "mtu",
        "mss",
        "media",
        "mediaopt",
        "dhcphostname",
        "alias_address",
        "alias_subnet",
        "dhcprejectfrom",
        "adv_dhcp_config_advanced",
        "adv_dhcp_pt_values",
        "adv_dhcp_pt_timeout",
        "adv_dhcp_pt_retry",
        "adv_dhcp_pt_select_timeout",
        "adv_dhcp_pt_reboot",
        "adv_dhcp_pt_backoff_cutoff",
        "adv_dhcp_pt_initial_interval",
        "adv_dhcp_send_options",
        "adv_dhcp_request_options",
        "adv_dhcp_required_options",
        "adv_dhcp_option_modifiers",
        "adv_dhcp_config_file_override",
        "adv_dhcp_config_file_override_path",
        "ipaddrv6",
        "subnetv6",
        "gatewayv6",
        "ipv6usev4iface",
        "slaacusev4iface",
        "prefix_6rd",
        "gateway_6rd",
        "prefix_6rd_v4plen",
        "track6_interface",
        "track6_prefix_id_hex",
    ];
    let mut row = Map::new();
    let set = json!({
        "id": id, "if": device, "enable": true, "descr": descr, "blockpriv": false, "blockbogons": false,
        "typev4": "static", "ipaddr": ipaddr, "subnet": bits, "gateway": gateway, "typev6": "none",
    });
    row.extend(set.as_object().cloned().unwrap_or_default());
    row.extend(UNSET.iter().map(|name| ((*name).to_owned(), Value::Null)));
    row.into()
}

/// The settings of the package.
pub(super) fn settings() -> Map<String, Value> {
    let settings = json!({
        "enabled": true, "read_only": false, "keep_backup": true, "login_protection": true,
        "log_successful_auth": false, "log_level": "LOG_WARNING", "allow_pre_releases": false,
        "allow_development_packages": false, "hateoas": false, "expose_sensitive_fields": false,
        "override_sensitive_fields": [], "allowed_interfaces": [], "represent_interfaces_as": "id",
        "auth_methods": ["BasicAuth", "KeyAuth", "JWTAuth"], "jwt_exp": 3600, "ha_sync": false,
        "ha_sync_validate_certs": false, "ha_sync_hosts": [], "ha_sync_username": "",
    });
    settings.as_object().cloned().unwrap_or_default()
}
