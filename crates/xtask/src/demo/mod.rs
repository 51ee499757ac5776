//! The demo: a real API server, simulated endpoints, the operator as a program of its own, and what becomes of
//! `desired_state/demo`. Everything is looked at from outside; nothing here shares code with the operator but the
//! names of its kinds.

pub mod checks;
pub mod converge;
pub mod endpoints;
pub mod manifests;
pub mod operator;
pub mod stages;
pub mod summary;
pub mod table;
pub mod world;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Result, bail};

/// How a demo is to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everybody listens.
    pub ports: Ports,
    /// How many times as fast as real time the simulated systems live.
    pub speed: f64,
    /// How long the whole of it may take to become Ready.
    pub timeout: Duration,
}

/// The ports on loopback; the API server and its database take free ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The simulated firewall.
    pub pfsense: u16,
    /// The simulated cluster of hosts.
    pub proxmox: u16,
    /// The simulated Ceph.
    pub ceph: u16,
    /// The operator's metrics and health.
    pub operator: u16,
}

impl Ports {
    /// The ones that `desired_state/demo` names.
    pub const DEFAULT: Self = Self { pfsense: 18443, proxmox: 18006, ceph: 18080, operator: 18090 };

    /// Four in a row; `None` where there is no room for four.
    pub fn from_base(base: u16) -> Option<Self> {
        let operator = base.checked_add(3)?;
        Some(Self { pfsense: base, proxmox: base + 1, ceph: base + 2, operator })
    }

    /// An error that names the port that somebody else has.
    pub fn must_be_free(self) -> Result<()> {
        let all = [
            ("the simulated pfSense", self.pfsense),
            ("the simulated Proxmox VE", self.proxmox),
            ("the simulated Ceph", self.ceph),
            ("the operator's metrics", self.operator),
        ];
        for (what, port) in all {
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                bail!(
                    "port {port} on 127.0.0.1 is wanted for {what}: {error}. Choose four others with --port-base N, \
                     or free it"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ports_in_a_row() {
        assert_eq!(
            Ports::from_base(20_000),
            Some(Ports { pfsense: 20_000, proxmox: 20_001, ceph: 20_002, operator: 20_003 })
        );
        assert!(Ports::from_base(65_532).is_some());
        assert_eq!(Ports::from_base(65_533), None);
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Ports { ceph: port, ..Ports { pfsense: 0, proxmox: 0, ceph: 0, operator: 0 } }
            .must_be_free()
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("port {port}")) && error.contains("--port-base"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
