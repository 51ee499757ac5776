//! Simulators of the systems that Skyy-Command drives: Proxmox VE, pfSense behind its REST package, and the Ceph manager.
//!
//! They answer as the recorded real software did, keep state, and fail on command. They share no types with our
//! clients: a misreading of the vendor's API must not be able to hide on both sides of the wire.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use skyy_sim::{Fault, Match, Sim, pfsense::{Options, Pfsense}};
//!
//! let sim = Sim::builder(Arc::new(Pfsense::new(Options::golden()))).start().await?;
//! sim.faults().add(Fault::status(Match::next("POST", "/api/v2/firewall/*"), 503, Some(1)));
//! println!("{} {}", sim.url(), sim.counts().writes());
//! # Ok(())
//! # }
//! ```

pub mod ceph;
pub mod clock;
mod control;
pub mod counter;
pub mod fault;
pub mod hook;
pub mod matching;
pub mod pfsense;
pub mod product;
pub mod proxmox;
pub mod server;
pub mod state_file;
pub mod tls;

pub use clock::Clock;
pub use counter::Counts;
pub use fault::{Fault, FaultKind};
pub use hook::{Hook, Stored, When};
pub use matching::Match;
pub use product::{NoAnswer, Peer, Product};
pub use server::{Running, Server, Sim, SimError};
pub use state_file::StateFile;
pub use tls::Certificate;
