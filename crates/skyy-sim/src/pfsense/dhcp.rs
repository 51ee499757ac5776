//! DHCP servers, one per interface, and their static mappings.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{
    checks,
    config::{Config, Kind, Row, text},
    envelope::{ApiError, ApiResult},
    fields::{Choices, Default, Field, Op, Scope, stored, validate},
    spec::{CRUD, Dispatcher, GET_DELETE, Spec, Subsystem},
};

pub(super) static SERVER: Spec = Spec {
    kind: Kind::DhcpServer,
    singular: "services/dhcp_server",
    plural: "services/dhcp_servers",
    fields: SERVER_FIELDS,
    singular_methods: CRUD,
    plural_methods: &["GET", "PUT"],
    minimum: 0,
    subsystem: Some(Subsystem::Dhcp),
    dispatcher: Dispatcher::Dhcp,
    mass_delete_dies_at: None,
    whole: server,
};

pub(super) static STATIC_MAP: Spec = Spec {
    kind: Kind::StaticMap,
    singular: "services/dhcp_server/static_mapping",
    plural: "services/dhcp_server/static_mappings",
    fields: STATIC_MAP_FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::Dhcp),
    dispatcher: Dispatcher::Dhcp,
    mass_delete_dies_at: Some(100),
    whole: |_, _| Ok(()),
};

const LEASE: i64 = 60;

const SERVER_FIELDS: &[Field] = &[
    Field::text("interface").required().unique().choices(Choices::Interfaces),
    Field::bool("enable"),
    Field::text("range_from"),
    Field::text("range_to"),
    Field::text("domain").range(0, 255),
    Field::text("failover_peerip").range(0, 255),
    Field::joined("mac_allow").check(checks::mac),
    Field::joined("mac_deny").check(checks::mac),
    Field::joined("domainsearchlist").range(0, 255),
    Field::int("defaultleasetime").or(Default::Int(7200)).range(LEASE, i64::MAX),
    Field::int("maxleasetime").or(Default::Int(86400)).range(LEASE, i64::MAX),
    Field::text("gateway").check(checks::ip_address),
    Field::listed("dnsserver").check(checks::ip_address),
    Field::listed("winsserver").check(checks::ip_address),
    Field::listed("ntpserver"),
    Field::bool("staticarp"),
    Field::bool("ignorebootp"),
    Field::bool("ignoreclientuids"),
    Field::bool("nonak"),
    Field::bool("disablepingcheck"),
    Field::bool("dhcpleaseinlocaltime"),
    Field::bool("statsgraph"),
    Field::nullable("denyunknown").one_of(&["enabled", "class"]),
    Field::objects("pool", POOL_FIELDS),
    Field::objects("numberoptions", OPTION_FIELDS),
];

const POOL_FIELDS: &[Field] = &[
    Field::text("range_from").required().check(checks::ip_address),
    Field::text("range_to").required().check(checks::ip_address),
    Field::text("domain").range(0, 255),
    Field::joined("mac_allow").check(checks::mac),
    Field::joined("mac_deny").check(checks::mac),
    Field::joined("domainsearchlist").range(0, 255),
    Field::int("defaultleasetime").or(Default::Int(7200)).range(LEASE, i64::MAX),
    Field::int("maxleasetime").or(Default::Int(86400)).range(LEASE, i64::MAX),
    Field::text("gateway").check(checks::ip_address),
    Field::listed("dnsserver").check(checks::ip_address),
    Field::listed("winsserver").check(checks::ip_address),
    Field::listed("ntpserver"),
    Field::bool("ignorebootp"),
    Field::bool("ignoreclientuids"),
    Field::nullable("denyunknown").one_of(&["enabled", "class"]),
];

const OPTION_FIELDS: &[Field] = &[
    Field::int("number").required().range(1, 254),
    Field::text("type").required().one_of(&[
        "text",
        "string",
        "boolean",
        "unsigned integer 8",
        "unsigned integer 16",
        "unsigned integer 32",
        "signed integer 8",
        "signed integer 16",
        "signed integer 32",
        "ip-address",
    ]),
    Field::text("value").required(),
];

const STATIC_MAP_FIELDS: &[Field] = &[
    Field::text("mac").required().unique().check(checks::mac),
    Field::nullable("ipaddr").check(ipaddr),
    Field::nullable("cid"),
    Field::nullable("hostname").check(checks::hostname),
    Field::text("domain").range(0, 255),
    Field::joined("domainsearchlist").range(0, 255),
    Field::int("defaultleasetime").or(Default::Int(7200)).range(LEASE, i64::MAX),
    Field::int("maxleasetime").or(Default::Int(86400)).range(LEASE, i64::MAX),
    Field::text("gateway").check(checks::ip_address),
    Field::listed("dnsserver").check(checks::ip_address),
    Field::listed("winsserver").check(checks::ip_address),
    Field::listed("ntpserver"),
    Field::bool("arp_table_static_entry"),
    Field::text("descr").range(0, 255),
];

fn v4(value: &str) -> Option<Ipv4Addr> {
    value.parse().ok()
}

/// The subnet of an interface.
fn subnet_of(config: &Config, interface: &str) -> Option<(Ipv4Addr, u32)> {
    let row = config.interface(interface)?;
    let bits = row.get("subnet").and_then(Value::as_u64)?;
    Some((v4(text(row, "ipaddr"))?, u32::try_from(bits).ok()?))
}

/// Inside the interface's subnet, outside the server's pools, on no virtual IP. The interface's own address passes.
fn ipaddr(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    checks::ip_address(scope, field, value)?;
    let (Some(parent), Some(address)) = (scope.parent, v4(value)) else { return Ok(()) };
    let subnet = subnet_of(scope.config, parent);
    if subnet.is_some_and(|(network, bits)| !checks::in_subnet(address, network, bits)) {
        let message = "Field `ipaddr` must be within the interface's subnet.";
        return Err(ApiError::bad("DHCP_SERVER_STATIC_MAPPING_IPADDR_NOT_WITHIN_SUBNET", message));
    }
    let overlaps = |what: &str, id: usize| {
        let message = format!("Field `ipaddr` overlaps existing {what} with ID `{id}`.");
        Err(ApiError::new(409, "DHCP_SERVER_STATIC_MAPPING_IPADDR_OVERLAPS_EXISTING_OBJECT", message))
    };
    if pools(scope.config, parent).iter().any(|(from, to)| (*from..=*to).contains(&address)) {
        // The package names the mapping being written, not the pool.
        return overlaps("DHCP Server Static Mapping", scope.id());
    }
    let vips = scope.config.table(Kind::Vip, None);
    match vips.iter().position(|vip| v4(text(vip, "subnet")) == Some(address)) {
        Some(id) => overlaps("Virtual IP", id),
        None => Ok(()),
    }
}

/// The ranges that the server on an interface hands out.
fn pools(config: &Config, interface: &str) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let servers = config.table(Kind::DhcpServer, None);
    let Some(server) = servers.iter().find(|row| text(row, "interface") == interface) else {
        return Vec::new();
    };
    let range = |row: &Map<String, Value>| Some((v4(text(row, "range_from"))?, v4(text(row, "range_to"))?));
    let more =
        server.get("pool").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    std::iter::once(&**server).chain(more).filter_map(range).collect()
}

fn server(scope: &Scope<'_>, row: &mut Map<String, Value>) -> ApiResult<()> {
    let subnet = subnet_of(scope.config, text(row, "interface"));
    let inside = |name: &str| match (subnet, v4(text(row, name))) {
        (Some((network, bits)), Some(address)) => checks::in_subnet(address, network, bits),
        _ => false,
    };
    for (name, id) in [
        ("range_from", "DHCP_SERVER_RANGE_FROM_OUTSIDE_OF_SUBNET"),
        ("range_to", "DHCP_SERVER_RANGE_TO_OUTSIDE_OF_SUBNET"),
    ] {
        if !inside(name) {
            let message = format!("DHCP server `{name}` must lie within the interface's subnet.");
            return Err(ApiError::bad(id, message));
        }
    }
    if v4(text(row, "range_from")) > v4(text(row, "range_to")) {
        let message = "DHCP server `range_from` cannot be greater than `range_to`.";
        return Err(ApiError::bad("DHCP_SERVER_RANGE_FROM_CANNOT_BE_GREATER_THAN_RANGE_TO", message));
    }
    for (name, fields) in [("pool", POOL_FIELDS), ("numberoptions", OPTION_FIELDS)] {
        let Some(Value::Array(items)) = row.get(name).cloned() else { continue };
        let valid = items.iter().filter_map(Value::as_object).map(|item| {
            let item = validate(fields, scope, None, item).map_err(|error| nested(name, error))?;
            Ok(Value::Object(item))
        });
        let valid = valid.collect::<ApiResult<Vec<_>>>()?;
        row.insert(name.to_owned(), Value::Array(valid));
    }
    Ok(())
}

fn nested(field: &str, mut error: ApiError) -> ApiError {
    error.message = format!("Field `{field}` encountered a nested validation error: {}", error.message);
    error
}

/// The static mappings of a server given as one list, each validated against those before it.
///
/// Gives them as the answer shows them and as they are kept, both in their final order.
pub(super) fn static_maps(
    scope: &Scope<'_>,
    interface: &str,
    items: &[Value],
) -> ApiResult<(Vec<Value>, Vec<Row>)> {
    let (mut kept, mut shown) = (Vec::<Row>::new(), Vec::new());
    for item in items {
        let Some(item) = item.as_object() else {
            let message = "Field `staticmap` must be of type `array`.";
            return Err(ApiError::bad("FIELD_INVALID_MANY_VALUE", message));
        };
        let inner = Scope {
            op: Op::Replace,
            kind: Kind::StaticMap,
            siblings: &kept,
            own: None,
            parent: Some(interface),
            ..*scope
        };
        let row =
            validate(STATIC_MAP_FIELDS, &inner, None, item).map_err(|error| nested("staticmap", error))?;
        shown.push(row.clone());
        kept.push(stored(STATIC_MAP_FIELDS, Op::Create, row));
    }
    kept.sort_by(by_ipaddr);
    shown.sort_by(|a, b| text(a, "ipaddr").cmp(text(b, "ipaddr")));
    let shown =
        shown.into_iter().enumerate().map(|(id, row)| shown_static_map(interface, id, &row)).collect();
    Ok((shown, kept))
}

/// Static mappings are kept in the order of their addresses as texts, those without one first.
pub(super) fn by_ipaddr(a: &Row, b: &Row) -> std::cmp::Ordering {
    text(a, "ipaddr").cmp(text(b, "ipaddr"))
}

pub(super) fn shown_static_map(interface: &str, id: usize, row: &Map<String, Value>) -> Value {
    let mut shown = Map::new();
    shown.insert("parent_id".to_owned(), json!(interface));
    shown.insert("id".to_owned(), json!(id));
    shown.extend(row.iter().map(|(name, value)| (name.clone(), value.clone())));
    shown.into()
}

/// A server as it is shown: with its static mappings, and lists of nested objects never null but for the options.
pub(super) fn shown_server(
    config: &Config,
    row: &Map<String, Value>,
    staticmap: Option<Vec<Value>>,
) -> Value {
    let interface = text(row, "interface");
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(interface));
    shown.extend(row.iter().map(|(name, value)| (name.clone(), value.clone())));
    if shown.get("pool").is_some_and(Value::is_null) {
        shown.insert("pool".to_owned(), json!([]));
    }
    for name in ["pool", "numberoptions"] {
        for (id, item) in shown.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            let mut with_ids =
                Map::from_iter([("parent_id".to_owned(), json!(interface)), ("id".to_owned(), json!(id))]);
            with_ids.extend(item.as_object().cloned().unwrap_or_default());
            *item = Value::Object(with_ids);
        }
    }
    let maps = staticmap.unwrap_or_else(|| {
        let rows = config.table(Kind::StaticMap, Some(interface)).iter().enumerate();
        rows.map(|(id, row)| shown_static_map(interface, id, row)).collect()
    });
    shown.insert("staticmap".to_owned(), Value::Array(maps));
    shown.into()
}
