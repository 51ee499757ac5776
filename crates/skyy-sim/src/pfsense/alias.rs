//! Aliases.

use serde_json::{Map, Value};

use super::{
    checks,
    config::{Kind, Row, text},
    envelope::{ApiError, ApiResult},
    fields::{Field, Scope},
    spec::{CRUD, Dispatcher, GET_PUT_DELETE, Spec, Subsystem},
};

pub(super) static SPEC: Spec = Spec {
    kind: Kind::Alias,
    singular: "firewall/alias",
    plural: "firewall/aliases",
    fields: FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_PUT_DELETE,
    minimum: 0,
    subsystem: Some(Subsystem::Aliases),
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: None,
    whole,
};

const FIELDS: &[Field] = &[
    Field::text("name").required().fixed().unique().range(0, 31).check(name),
    Field::text("type").required().one_of(&["host", "network", "port"]),
    Field::text("descr"),
    Field::joined("address"),
    Field::joined("detail"),
];

fn name(scope: &Scope<'_>, _: &Field, value: &str) -> ApiResult<()> {
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let message = format!(
            "Field `name` cannot be `{value}` because it contains invalid characters. Only A-Z, a-z, 0-9, and _ are \
             allowed."
        );
        return Err(ApiError::bad("FILTER_NAME_VALIDATOR_INVALID_CHARACTERS", message));
    }
    if scope.config.interface(value).is_some() {
        let message =
            format!("Field `name` cannot be `{value}` because it is in use by an existing interface.");
        return Err(ApiError::bad("FILTER_NAME_VALIDATOR_NAME_IN_USE_BY_INTERFACE", message));
    }
    Ok(())
}

fn items<'a>(row: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    row.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn whole(scope: &Scope<'_>, row: &mut Map<String, Value>) -> ApiResult<()> {
    let ty = text(row, "type");
    let addresses = items(row, "address");
    for value in &addresses {
        let of_type = |row: &Row| text(row, "name") == *value && text(row, "type") == ty;
        let known = scope.siblings.iter().any(of_type);
        let (fits, id, message) = match ty {
            "host" => {
                let message =
                    format!("Host alias `address` value `{value}` is not a valid IP, FQDN, or alias.");
                (checks::ip(value).is_some() || checks::is_fqdn(value), "INVALID_HOST_ALIAS_ADDRESS", message)
            }
            "network" => {
                let message =
                    format!("Network alias `address` value `{value}` is not a valid CIDR, FQDN, or alias.");
                (checks::is_subnet(value) || checks::is_fqdn(value), "INVALID_NETWORK_ALIAS_ADDRESS", message)
            }
            _ => {
                let message =
                    format!("Port alias `address` value `{value}` is not a valid port, range, or alias.");
                (checks::is_port_or_range(value), "INVALID_PORT_ALIAS_ADDRESS", message)
            }
        };
        if !fits && !known {
            return Err(ApiError::bad(id, message));
        }
    }
    if items(row, "detail").len() > addresses.len() {
        let message = "Aliases cannot contain more `detail` items than `address` items.";
        return Err(ApiError::bad("TOO_MANY_ALIAS_DETAILS", message));
    }
    Ok(())
}
