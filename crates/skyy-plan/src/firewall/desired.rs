//! Specs to rows: parsed once, or refused with the field that is wrong.
//!
//! Specs are taken apart without `..`, so that a new field cannot be forgotten here.

use std::net::{IpAddr, Ipv4Addr};

use skyy_api::{
    DhcpReservationSpec, FirewallRuleSpec, NatMappingSpec, VirtualIpSpec,
    address::{parse_cidr, parse_ip, parse_network},
    firewall_rule::{IpFamily, RuleEnd, RuleProtocol},
    virtual_ip::VipMode,
};

use super::{Address, DhcpRow, End, NatRow, RuleRow, VipRow, firewall_rule::canonical_ports};
use crate::Invalid;

/// The row that a VirtualIP asks for.
pub fn desired_vip(spec: &VirtualIpSpec) -> Result<VipRow, Invalid> {
    let VirtualIpSpec {
        firewall: _,
        address,
        interface,
        mode,
        vhid,
        description,
        adopt: _,
        deletion_policy: _,
    } = spec;
    let net = parse_cidr(address).map_err(|wrong| Invalid::new("address", wrong))?;
    if net.prefix_len() == 0 {
        return Err(Invalid::new("address", "a virtual IP needs a prefix length of 1 or more"));
    }
    if *mode == VipMode::CARP && vhid.is_none() {
        return Err(Invalid::new("vhid", "is required when mode is CARP"));
    }
    Ok(VipRow {
        address: net.addr(),
        prefix: net.prefix_len(),
        interface: interface.clone(),
        mode: *mode,
        vhid: vhid.filter(|_| *mode == VipMode::CARP),
        text: description.clone(),
    })
}

/// The row that a NatMapping asks for.
pub fn desired_nat(spec: &NatMappingSpec) -> Result<NatRow, Invalid> {
    let NatMappingSpec {
        firewall: _,
        interface,
        external,
        internal,
        destination,
        reflection,
        enabled,
        description,
        adopt: _,
        deletion_policy: _,
    } = spec;
    let external = parse_ip(external).map_err(|wrong| Invalid::new("external", wrong))?;
    let internal = parse_ip(internal).map_err(|wrong| Invalid::new("internal", wrong))?;
    if external.is_ipv4() != internal.is_ipv4() {
        let message = format!("{internal} and {external} must both be IPv4 or both IPv6");
        return Err(Invalid::new("internal", message));
    }
    let (destination, inverted) = address("destination", destination)?;
    if inverted {
        return Err(Invalid::new("destination", "cannot be inverted with \"!\""));
    }
    same_family("destination", &destination, external.is_ipv4())?;
    Ok(NatRow {
        external,
        internal,
        interface: interface.clone(),
        destination,
        reflection: *reflection,
        enabled: *enabled,
        text: description.clone(),
    })
}

/// The row that a DhcpReservation asks for.
pub fn desired_dhcp(spec: &DhcpReservationSpec) -> Result<DhcpRow, Invalid> {
    let DhcpReservationSpec {
        firewall: _,
        interface,
        mac,
        address,
        hostname,
        domain,
        gateway,
        dns_servers,
        description,
        adopt: _,
        deletion_policy: _,
    } = spec;
    let servers = dns_servers.iter().enumerate();
    Ok(DhcpRow {
        interface: interface.clone(),
        mac: mac.parse().map_err(|wrong: skyy_api::address::AddressError| Invalid::new("mac", wrong))?,
        address: ipv4("address", address)?,
        hostname: hostname.clone().unwrap_or_default(),
        domain: domain.clone().unwrap_or_default(),
        gateway: gateway.as_deref().map(|gateway| ipv4("gateway", gateway)).transpose()?,
        dns_servers: servers
            .map(|(n, server)| ipv4(&format!("dnsServers[{n}]"), server))
            .collect::<Result<_, _>>()?,
        text: description.clone(),
    })
}

/// The row that a FirewallRule asks for.
pub fn desired_rule(spec: &FirewallRuleSpec) -> Result<RuleRow, Invalid> {
    let FirewallRuleSpec {
        firewall: _,
        interfaces,
        action,
        ip_family,
        protocol,
        source,
        destination,
        log,
        enabled,
        priority: _,
        description,
        deletion_policy: _,
    } = spec;
    if interfaces.is_empty() {
        return Err(Invalid::new("interfaces", "names no interface"));
    }
    let mut distinct = interfaces.clone();
    distinct.sort_unstable();
    distinct.dedup();
    Ok(RuleRow {
        interfaces: distinct,
        action: *action,
        family: *ip_family,
        protocol: *protocol,
        source: end("source", source, *protocol, *ip_family)?,
        destination: end("destination", destination, *protocol, *ip_family)?,
        log: *log,
        enabled: *enabled,
        text: description.clone(),
    })
}

fn end(field: &str, spec: &RuleEnd, protocol: RuleProtocol, family: IpFamily) -> Result<End, Invalid> {
    let RuleEnd { address: text, invert, ports } = spec;
    let (parsed, inverted) = address(&format!("{field}.address"), text)?;
    if inverted {
        return Err(Invalid::new(format!("{field}.address"), "set invert: true instead of \"!\""));
    }
    match family {
        IpFamily::IPv4 => same_family(&format!("{field}.address"), &parsed, true)?,
        IpFamily::IPv6 => same_family(&format!("{field}.address"), &parsed, false)?,
        IpFamily::Both if matches!(parsed, Address::Net(_)) => {
            let message = "an address is IPv4 or IPv6: set ipFamily to the one it is";
            return Err(Invalid::new(format!("{field}.address"), message));
        }
        IpFamily::Both => {}
    }
    let ports = match ports {
        None => None,
        Some(_) if !matches!(protocol, RuleProtocol::TCP | RuleProtocol::UDP | RuleProtocol::TCPUDP) => {
            return Err(Invalid::new(format!("{field}.ports"), "ports need protocol TCP, UDP or TCPUDP"));
        }
        Some(text) => Some(ports_of(&format!("{field}.ports"), text)?),
    };
    Ok(End { address: parsed, invert: *invert, ports })
}

fn ports_of(field: &str, text: &str) -> Result<String, Invalid> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Invalid::new(field, format!("{text:?} is not a port from 1 to 65535")))
    };
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (port(from)?, port(to)?);
    if from > to {
        return Err(Invalid::new(field, format!("the range {text} runs backwards: write {to}:{from}")));
    }
    Ok(canonical_ports(&format!("{from}:{to}")))
}

fn address(field: &str, text: &str) -> Result<(Address, bool), Invalid> {
    let (parsed, inverted) = Address::read(text);
    match &parsed {
        Address::Net(_) => {
            let bare = text.trim().trim_start_matches('!');
            parse_network(bare.trim()).map_err(|wrong| Invalid::new(field, wrong))?;
        }
        Address::Named(name) => {
            let bare = name.strip_suffix(":ip").unwrap_or(name);
            let word = !bare.is_empty()
                && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !bare.bytes().all(|b| b.is_ascii_digit());
            if !word {
                let message = format!("{text:?} is not an address, a network, an interface or an alias");
                return Err(Invalid::new(field, message));
            }
        }
        Address::Any | Address::Firewall => {}
    }
    Ok((parsed, inverted))
}

fn same_family(field: &str, address: &Address, v4: bool) -> Result<(), Invalid> {
    let Address::Net(net) = address else { return Ok(()) };
    if net.addr().is_ipv4() == v4 {
        return Ok(());
    }
    let family = if v4 { "IPv4" } else { "IPv6" };
    Err(Invalid::new(field, format!("{address} is not {family}, as the rest is")))
}

fn ipv4(field: &str, text: &str) -> Result<Ipv4Addr, Invalid> {
    match parse_ip(text).map_err(|wrong| Invalid::new(field, wrong))? {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(Invalid::new(field, format!("{text:?} is not an IPv4 address"))),
    }
}
