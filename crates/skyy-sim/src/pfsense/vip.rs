//! Virtual IPs.

use serde_json::{Map, Value, json};

use super::{
    checks,
    config::{Kind, text},
    envelope::{ApiError, ApiResult},
    fields::{Choices, Default, Field, Scope, Type},
    spec::{CRUD, Dispatcher, GET_DELETE, Spec, Subsystem},
};

pub(super) static SPEC: Spec = Spec {
    kind: Kind::Vip,
    singular: "firewall/virtual_ip",
    plural: "firewall/virtual_ips",
    fields: FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::VirtualIp),
    dispatcher: Dispatcher::VirtualIp,
    mass_delete_dies_at: None,
    whole,
};

const FIELDS: &[Field] = &[
    Field::uid("uniqid", Type::UidText, |scope| json!((scope.uniqid)())).unique(),
    Field::text("mode").required().one_of(&["ipalias", "proxyarp", "carp", "other"]),
    Field::text("interface").required().choices(Choices::Interfaces),
    Field::text("type").or(Default::Text("single")).one_of(&["single", "network"]),
    Field::text("subnet").required().unique().check(subnet),
    Field::int("subnet_bits").required().range(1, 128),
    Field::text("descr"),
    Field::bool("noexpand").only_if(|row| matches!(text(row, "mode"), "proxyarp" | "other")),
    Field::int("vhid").required().range(1, 255).only_if(carp),
    Field::int("advbase").or(Default::Int(1)).range(1, 254).only_if(carp),
    Field::int("advskew").or(Default::Int(0)).range(0, 254).only_if(carp),
    Field::text("password").required().only_if(carp).hidden(),
    Field::auto("carp_status", Default::None).only_if(carp),
    Field::text("carp_mode").or(Default::Text("mcast")).one_of(&["mcast", "ucast"]).only_if(carp),
    Field::text("carp_peer")
        .required()
        .check(checks::ip_address)
        .only_if(|row| text(row, "carp_mode") == "ucast"),
];

fn carp(row: &Map<String, Value>) -> bool {
    text(row, "mode") == "carp"
}

/// An address, and not one that an interface has as its own.
fn subnet(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    checks::ip_address(scope, field, value)?;
    let Some(interface) = checks::interface_of(scope, value) else { return Ok(()) };
    let message = format!(
        "Field `subnet` cannot be set to `{value}` because the value is already in use by field `ipaddr` on \
         `NetworkInterface` object with ID `{interface}`"
    );
    Err(ApiError::bad("UNIQUE_FROM_FOREIGN_MANY_MODEL_VALIDATOR_FAILED", message))
}

fn whole(_: &Scope<'_>, row: &mut Map<String, Value>) -> ApiResult<()> {
    if text(row, "type") == "network" && matches!(text(row, "mode"), "ipalias" | "carp") {
        let message = "Virtual IPs `type` cannot be `network` when `mode` is `ipalias` or `carp`";
        return Err(ApiError::bad("VIRTUALIP_MODE_DOES_NOT_SUPPORT_NETWORK_TYPE", message));
    }
    let bits = row.get("subnet_bits").and_then(Value::as_i64).unwrap_or_default();
    if bits > 32 && checks::ip(text(row, "subnet")).is_some_and(|ip| ip.is_ipv4()) {
        let message = "Virtual IP `subnet_bits` cannot exceed 32 when the `subnet` is an IPv4 address";
        return Err(ApiError::bad("VIRTUALIP_IPV4_SUBNET_BITS_EXCEEDED", message));
    }
    Ok(())
}
