//! The machinery that every kind shares: one driver from watch event to written status.
//!
//! Finalizer, time limit, panic guard, pause, plan-only, status, conditions, events, back-off, metrics, deletion that looks
//! again, leader lease and the health server are here, once. Nothing here knows a provider or a particular kind.

pub mod backoff;
pub mod driver;
pub mod events;
pub mod failure;
pub mod finalizer;
pub mod kind;
pub mod lease;
pub mod metrics;
pub mod scope;
pub mod secrets;
pub mod server;
pub mod status;
pub mod watch;

pub use driver::{Controller, Gate, Runtime};
pub use failure::{Class, Failure};
pub use kind::{Goal, Kind, Mode, Note, Progress};
pub use scope::ApiScope;
pub use watch::{Lookup, Wake, Waker};
