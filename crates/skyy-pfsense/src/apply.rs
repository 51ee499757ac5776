//! Making stored changes real.
//!
//! A write changes only the stored configuration. An apply loads it; ours wait until that is done. What is said to be
//! pending is a hint: rule changes never show there, and a change made during a reload loses its sign. So apply after
//! every batch of writes, whatever is said to be pending. Must not know rows.

use std::fmt;

use serde_json::json;
use skyy_http::Call;

use crate::client::{PfSense, decode};
use crate::error::PfSenseError;
use crate::system::ApplyState;
use crate::write::LONG;

/// A part of the box that is loaded as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subsystem {
    /// Rules, translations and aliases.
    Firewall,
    /// Virtual IPs; loads the filter as well.
    VirtualIps,
    /// DHCP servers and reservations.
    Dhcp,
}

impl Subsystem {
    /// All parts.
    pub const ALL: [Subsystem; 3] = [Subsystem::Firewall, Subsystem::VirtualIps, Subsystem::Dhcp];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Subsystem::Firewall => "/api/v2/firewall/apply",
            Subsystem::VirtualIps => "/api/v2/firewall/virtual_ip/apply",
            Subsystem::Dhcp => "/api/v2/services/dhcp_server/apply",
        }
    }
}

impl fmt::Display for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subsystem::Firewall => "firewall",
            Subsystem::VirtualIps => "virtual IPs",
            Subsystem::Dhcp => "DHCP",
        })
    }
}

/// What the box says is stored but not loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Rules, translations, aliases. Rule changes never show here.
    pub firewall: ApplyState,
    /// Virtual IPs.
    pub virtual_ips: ApplyState,
    /// DHCP.
    pub dhcp: ApplyState,
}

impl PfSense {
    /// Loads the filter and waits for it.
    pub async fn apply_firewall(&self) -> Result<ApplyState, PfSenseError> {
        self.apply(Subsystem::Firewall).await
    }

    /// Configures virtual IPs and waits for it. Apply before deleting a virtual IP below one just made: what is pending
    /// is kept by position.
    pub async fn apply_virtual_ips(&self) -> Result<ApplyState, PfSenseError> {
        self.apply(Subsystem::VirtualIps).await
    }

    /// Loads the DHCP servers and waits for it.
    pub async fn apply_dhcp(&self) -> Result<ApplyState, PfSenseError> {
        self.apply(Subsystem::Dhcp).await
    }

    /// Loads one part, waits for it, and reads back whether anything is pending still.
    pub async fn apply(&self, subsystem: Subsystem) -> Result<ApplyState, PfSenseError> {
        let call = Call::post(subsystem.path()).json(&json!({"async": false})).timeout(LONG);
        let answered: ApplyState = self.ask(call, decode).await?;
        // The answer for virtual IPs and DHCP is the state before; for the filter it is right where it says "applied".
        if subsystem == Subsystem::Firewall && answered.applied {
            return Ok(answered);
        }
        self.apply_state(subsystem).await.map_err(|cause| PfSenseError::ReadBack(Box::new(cause)))
    }

    /// Whether something of this part is stored but not loaded, as far as the box says.
    pub async fn apply_state(&self, subsystem: Subsystem) -> Result<ApplyState, PfSenseError> {
        self.ask(Call::get(subsystem.path()), decode).await
    }

    /// What the box says is pending in all parts.
    pub async fn pending(&self) -> Result<Pending, PfSenseError> {
        Ok(Pending {
            firewall: self.apply_state(Subsystem::Firewall).await?,
            virtual_ips: self.apply_state(Subsystem::VirtualIps).await?,
            dhcp: self.apply_state(Subsystem::Dhcp).await?,
        })
    }
}
