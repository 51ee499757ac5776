//! What makes an address, a port, a MAC or a name valid to the package.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    config::{Kind, text},
    envelope::{ApiError, ApiResult},
    fields::{Field, Scope},
};

/// An address as PHP's `is_ipaddr` takes it: no leading zeros, no zone.
pub(super) fn ip(value: &str) -> Option<IpAddr> {
    // Rust refuses leading zeros in IPv4 as PHP does.
    value.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| value.parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}

/// An address with a prefix length; host bits are welcome.
pub(super) fn is_subnet(value: &str) -> bool {
    let Some((address, bits)) = value.split_once('/') else { return false };
    let (Some(address), Ok(bits)) = (ip(address), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

/// Whether `address` lies in the subnet of `network` with `bits`.
pub(super) fn in_subnet(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
    address.to_bits() & mask == network.to_bits() & mask
}

pub(super) fn is_fqdn(value: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = value.rsplit('.').next().unwrap_or_default();
    value.contains('.') && value.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok_and(|port| port > 0) && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// A port or a range of ports; the range may run backward.
pub(super) fn is_port_or_range(value: &str) -> bool {
    value.split_once(':').map_or_else(|| is_port(value), |(from, to)| is_port(from) && is_port(to))
}

pub(super) fn ip_address(_: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    if ip(value).is_some() {
        return Ok(());
    }
    let message = format!("Field `{}` must be a valid IPv4 address, received `{value}`.", field.name);
    Err(ApiError::bad("IP_ADDRESS_VALIDATOR_FAILED", message))
}

pub(super) fn mac(_: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let byte = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    if value.split(':').count() == 6 && value.split(':').all(byte) {
        return Ok(());
    }
    let message = format!("Field `{}` must be a valid MAC address, received `{value}`.", field.name);
    Err(ApiError::bad("MAC_ADDRESS_VALIDATOR_FAILED", message))
}

pub(super) fn hostname(_: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.bytes().all(allowed) {
        return Ok(());
    }
    let message = format!("Field `{}` must be a valid hostname, received `{value}`.", field.name);
    Err(ApiError::bad("HOSTNAME_VALIDATOR_FAILED", message))
}

/// What an address field takes besides what all take.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a table of what is allowed")]
pub(super) struct Takes {
    pub(super) interface: bool,
    pub(super) ip: bool,
    pub(super) subnet: bool,
    pub(super) alias: bool,
    pub(super) keywords: &'static [&'static str],
    pub(super) invert: bool,
}

/// Refuses a value that is none of what the field takes, and lists what it takes.
pub(super) fn address(
    scope: &Scope<'_>,
    field: &Field,
    value: &str,
    takes: Takes,
    id: &'static str,
) -> ApiResult<()> {
    let bare = if takes.invert { value.strip_prefix('!').unwrap_or(value) } else { value };
    let interface = bare.strip_suffix(":ip").unwrap_or(bare);
    if takes.interface && scope.config.interface(interface).is_some()
        || takes.ip && ip(bare).is_some()
        || takes.subnet && is_subnet(bare)
        || takes.alias && scope.config.alias(bare).is_some()
        || takes.keywords.contains(&bare)
    {
        return Ok(());
    }
    let mut options = Vec::new();
    let kinds = [
        (takes.interface, "an existing interface"),
        (takes.ip, "an IP address"),
        (takes.subnet, "a subnet CIDR"),
        (takes.alias, "an existing alias"),
    ];
    options.extend(kinds.iter().filter(|(taken, _)| *taken).map(|(_, name)| (*name).to_owned()));
    options.extend(takes.keywords.iter().map(|keyword| format!("`{keyword}`")));
    let message = format!(
        "Field `{}` value `{value}` is invalid. Valid options are: {}",
        field.name,
        options.join(", ")
    );
    Err(ApiError::bad(id, message))
}

/// A port, a range or a port alias.
pub(super) fn port(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let alias = |row: &_| text(row, "type") == "port";
    if is_port_or_range(value) || scope.config.alias(value).is_some_and(|row| alias(row)) {
        return Ok(());
    }
    let message = format!(
        "Field `{}` contains invalid port value `{value}`. Valid options are: a TCP/UDP port number, a TCP/UDP port \
         range separated by `:`, an existing port type firewall alias",
        field.name
    );
    Err(ApiError::bad("PORT_FIELD_INVALID", message))
}

/// A name of something else that this box has none of (queues, schedules), or a gateway.
pub(super) fn foreign(_: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let (model, known) = match field.name {
        "gateway" => ("RoutingGateway", super::fixed::GATEWAYS),
        "sched" => ("FirewallSchedule", &[] as &[&str]),
        _ => ("TrafficShaperQueue", &[] as &[&str]),
    };
    if known.contains(&value) {
        return Ok(());
    }
    let message =
        format!("Field `{}` could not locate `{model}` object with `name` set to `{value}`", field.name);
    Err(ApiError::new(404, "FOREIGN_MODEL_FIELD_VALUE_NOT_FOUND", message))
}

/// The interface whose own address this is.
pub(super) fn interface_of(scope: &Scope<'_>, address: &str) -> Option<String> {
    let interfaces = scope.config.table(Kind::Interface, None);
    let own = |row: &_, name| text(row, name) == address;
    interfaces
        .iter()
        .find(|row| own(row, "ipaddr") || own(row, "ipaddrv6"))
        .map(|row| text(row, "id").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(test: fn(&str) -> bool, cases: &[(&str, bool)]) {
        for (value, expected) in cases {
            assert_eq!(test(value), *expected, "{value}");
        }
    }

    #[test]
    fn addresses() {
        check(
            |v| ip(v).is_some(),
            &[("10.0.0.1", true), ("10.0.0.01", false), ("2001:DB8::1", true), ("10.0.0.1/8", false)],
        );
        check(
            is_subnet,
            &[("10.20.0.5/24", true), ("10.20.0.5/33", false), ("2001:db8::/64", true), ("10.0.0.1", false)],
        );
        assert!(in_subnet("10.20.255.255".parse().unwrap(), "10.20.0.1".parse().unwrap(), 16));
        assert!(!in_subnet("10.21.0.0".parse().unwrap(), "10.20.0.1".parse().unwrap(), 16));
    }

    #[test]
    fn ports() {
        check(
            is_port_or_range,
            &[
                ("22", true),
                ("0", false),
                ("70000", false),
                ("22:80", true),
                ("8100:8000", true),
                ("22-80", false),
                ("+5", false),
            ],
        );
    }

    #[test]
    fn names() {
        check(
            is_fqdn,
            &[("a.example", true), ("10.20.1.300", false), ("host", false), ("-a.example", false)],
        );
    }
}
