//! Address translation: 1:1 mappings, port forwards, outbound mappings.

use serde_json::{Map, Value, json};

use super::{
    checks::{self, Takes},
    config::{Kind, flag, text},
    envelope::ApiResult,
    fields::{Choices, Default, Field, Scope},
    rule::{address, creator, has_ports, stamp},
    spec::{CRUD, Dispatcher, GET_PUT_DELETE, Spec, Subsystem},
};

pub(super) static ONE_TO_ONE: Spec = Spec {
    kind: Kind::OneToOne,
    singular: "firewall/nat/one_to_one/mapping",
    plural: "firewall/nat/one_to_one/mappings",
    fields: ONE_TO_ONE_FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_PUT_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::NatConf),
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: None,
    whole: |_, _| Ok(()),
};

const ONE_TO_ONE_FIELDS: &[Field] = &[
    Field::text("interface").required().choices(Choices::Interfaces),
    Field::bool("disabled"),
    Field::bool("nobinat"),
    Field::nullable("natreflection").one_of(&["enable", "disable"]),
    Field::text("ipprotocol").or(Default::Text("inet")).one_of(&["inet", "inet6"]),
    Field::text("external").required().check(external),
    Field::text("source").required().check(one_to_one_source),
    Field::text("destination").required().check(one_to_one_destination),
    Field::text("descr"),
];

fn external(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let takes = Takes { ip: true, ..Takes::default() };
    checks::address(scope, field, value, takes, "SPECIAL_NETWORK_FIELD_INVALID")
}

fn one_to_one_source(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let keywords = &["any", "l2tp", "pppoe"];
    let takes = Takes { interface: true, ip: true, subnet: true, alias: false, keywords, invert: true };
    checks::address(scope, field, value, takes, "FILTER_ADDRESS_FIELD_INVALID")
}

fn one_to_one_destination(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let keywords = &["any", "l2tp", "pppoe"];
    let takes = Takes { interface: true, ip: true, subnet: true, alias: true, keywords, invert: true };
    checks::address(scope, field, value, takes, "FILTER_ADDRESS_FIELD_INVALID")
}

pub(super) static PORT_FORWARD: Spec = Spec {
    kind: Kind::PortForward,
    singular: "firewall/nat/port_forward",
    plural: "firewall/nat/port_forwards",
    fields: PORT_FORWARD_FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_PUT_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::NatConf),
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: None,
    whole: |scope, row| {
        if text(row, "associated_rule_id") == "new" {
            row.insert("associated_rule_id".to_owned(), json!(format!("nat_{}", (scope.uniqid)())));
        }
        stamp(scope, row);
        Ok(())
    },
};

const PORT_FORWARD_FIELDS: &[Field] = &[
    Field::text("interface").required().choices(Choices::Interfaces),
    Field::text("ipprotocol").or(Default::Text("inet")).one_of(&["inet", "inet6", "inet46"]),
    Field::text("protocol")
        .required()
        .one_of(&["any", "tcp", "udp", "tcp/udp", "icmp", "esp", "ah", "gre", "ipv6", "igmp", "pim", "ospf"]),
    Field::text("source").required().check(address),
    Field::nullable("source_port").check(checks::port).only_if(has_ports),
    Field::text("destination").required().check(address),
    Field::nullable("destination_port").check(checks::port).only_if(has_ports),
    Field::text("target").required().check(target),
    Field::text("local_port").required().check(checks::port).only_if(has_ports),
    Field::bool("disabled"),
    Field::bool("nordr"),
    Field::bool("nosync"),
    Field::text("descr"),
    Field::nullable("natreflection").one_of(&["enable", "disable", "purenat"]),
    Field::text("associated_rule_id"),
    Field::auto("created_time", Default::None),
    Field::auto("created_by", Default::Made(|scope| json!(creator(scope)))),
    Field::auto("updated_time", Default::None),
    Field::auto("updated_by", Default::None),
];

fn target(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let takes = Takes { ip: true, alias: true, ..Takes::default() };
    checks::address(scope, field, value, takes, "SPECIAL_NETWORK_FIELD_INVALID")
}

/// The filter rule that passes what a port forward lets in, as the package makes it for `associated_rule_id: new`.
pub(super) fn associated_rule(forward: &Map<String, Value>) -> Map<String, Value> {
    let protocol = match text(forward, "protocol") {
        "any" => Value::Null,
        protocol => json!(protocol),
    };
    let member = |name: &str| forward.get(name).cloned().unwrap_or(Value::Null);
    let rule = json!({
        "type": "pass",
        "interface": [member("interface")],
        "ipprotocol": member("ipprotocol"),
        "protocol": protocol,
        "source": member("source"),
        "source_port": member("source_port"),
        "destination": member("target"),
        "destination_port": member("local_port"),
        "descr": format!("NAT {}", text(forward, "descr")),
    });
    rule.as_object().cloned().unwrap_or_default()
}

pub(super) static OUTBOUND: Spec = Spec {
    kind: Kind::Outbound,
    singular: "firewall/nat/outbound/mapping",
    plural: "firewall/nat/outbound/mappings",
    fields: OUTBOUND_FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_PUT_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::NatConf),
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: None,
    whole: |_, _| Ok(()),
};

const OUTBOUND_FIELDS: &[Field] = &[
    Field::text("interface").required().choices(Choices::Interfaces),
    Field::nullable("protocol")
        .one_of(&["tcp", "udp", "tcp/udp", "icmp", "esp", "ah", "gre", "ipv6", "igmp", "pim", "ospf"]),
    Field::bool("disabled"),
    Field::bool("nonat"),
    Field::bool("nosync"),
    Field::text("source").required().check(outbound_source),
    Field::nullable("source_port").check(checks::port),
    Field::text("destination").required().check(outbound_destination),
    Field::nullable("destination_port").check(checks::port),
    Field::text("target").required().check(target).only_if(translates),
    Field::int("target_subnet").or(Default::Int(128)).range(1, 128).only_if(translates),
    Field::text("nat_port")
        .check(checks::port)
        .only_if(|row| translates(row) && !flag(row, "static_nat_port")),
    Field::bool("static_nat_port").only_if(translates),
    Field::nullable("poolopts")
        .one_of(&[
            "round-robin",
            "round-robin sticky-address",
            "random",
            "random sticky-address",
            "source-hash",
            "bitmask",
        ])
        .only_if(translates),
    Field::text("source_hash_key")
        .or(Default::Text("0x7e33d8d3fe5422242d4e950bf7618659"))
        .only_if(|row| translates(row) && text(row, "poolopts") == "source-hash"),
    Field::text("descr"),
];

fn translates(row: &Map<String, Value>) -> bool {
    !flag(row, "nonat")
}

fn outbound_source(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let keywords = &["any", "(self)", "pppoe"];
    let takes = Takes { interface: true, ip: false, subnet: true, alias: true, keywords, invert: true };
    checks::address(scope, field, value, takes, "FILTER_ADDRESS_FIELD_INVALID")
}

fn outbound_destination(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let keywords = &["any", "pppoe"];
    let takes = Takes { interface: true, ip: false, subnet: true, alias: true, keywords, invert: true };
    checks::address(scope, field, value, takes, "FILTER_ADDRESS_FIELD_INVALID")
}

/// The modes of outbound translation.
pub(super) const OUTBOUND_MODES: &[&str] = &["automatic", "hybrid", "advanced", "disabled"];
