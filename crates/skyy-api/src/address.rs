//! Addresses as people write them, parsed once: IP addresses with a prefix, and MAC addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Why a text is not an address; the sentence says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an IP address with a prefix length.
    #[error("{0:?} is not an address with a prefix length, such as 198.18.0.2/23")]
    Cidr(String),
    /// Not an IP address.
    #[error("{0:?} is not an IP address")]
    Ip(String),
    /// A network with host bits, which a firewall would silently widen.
    #[error("{given:?} has host bits set: the network is {network}")]
    HostBits {
        /// What was written.
        given: String,
        /// What the firewall would make of it.
        network: String,
    },
    /// Not a MAC address.
    #[error("{given:?} has {groups} groups; a MAC has 6, each two hexadecimal digits")]
    Mac {
        /// What was written.
        given: String,
        /// How many groups it has.
        groups: usize,
    },
}

/// An IP address with the length of its network's prefix: `198.18.0.2/23`.
pub fn parse_cidr(text: &str) -> Result<IpNet, AddressError> {
    text.parse().map_err(|_| AddressError::Cidr(text.to_owned()))
}

/// An IP address alone.
pub fn parse_ip(text: &str) -> Result<IpAddr, AddressError> {
    text.parse().map_err(|_| AddressError::Ip(text.to_owned()))
}

/// A network, or one address: `10.20.0.0/16`, `10.20.0.5`. Host bits are refused, because they would be ignored.
pub fn parse_network(text: &str) -> Result<IpNet, AddressError> {
    if !text.contains('/') {
        return Ok(IpNet::from(parse_ip(text)?));
    }
    let net = parse_cidr(text)?;
    if net.addr() == net.network() {
        Ok(net)
    } else {
        Err(AddressError::HostBits { given: text.to_owned(), network: net.trunc().to_string() })
    }
}

/// A hardware address; its text is lower case with colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let groups: Vec<&str> = text.split([':', '-']).collect();
        let wrong = || AddressError::Mac { given: text.to_owned(), groups: groups.len() };
        let mut bytes = [0; 6];
        if groups.len() != bytes.len() {
            return Err(wrong());
        }
        for (byte, group) in bytes.iter_mut().zip(&groups) {
            if group.len() != 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(group, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if n == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The address as a part of an object's name: `198-18-0-2`, `2001-db8--1`.
pub fn in_a_name(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-").trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_the_same_in_every_spelling() {
        let mac: Mac = "02-00-2E-8C-5E-78".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:2e:8c:5e:78");
        assert_eq!(mac, "02:00:2e:8c:5e:78".parse().unwrap());
    }

    #[test]
    fn a_wrong_mac_says_what_is_wrong() {
        let say = |text: &str| text.parse::<Mac>().unwrap_err().to_string();
        assert_eq!(
            say("02:00:2e:8c:5e"),
            r#""02:00:2e:8c:5e" has 5 groups; a MAC has 6, each two hexadecimal digits"#
        );
        assert!(say("02:00:2e:8c:5e:+7").contains("6 groups"));
        assert!(say("").contains("1 groups"));
    }

    #[test]
    fn host_bits_are_refused_with_the_network_that_was_meant() {
        assert_eq!(
            parse_network("10.20.1.5/24").unwrap_err().to_string(),
            r#""10.20.1.5/24" has host bits set: the network is 10.20.1.0/24"#
        );
        assert_eq!(parse_network("10.20.1.5").unwrap().to_string(), "10.20.1.5/32");
    }

    #[test]
    fn an_address_fits_into_a_name() {
        assert_eq!(in_a_name("198.18.0.2".parse().unwrap()), "198-18-0-2");
        assert_eq!(in_a_name("::1".parse().unwrap()), "1");
    }
}
