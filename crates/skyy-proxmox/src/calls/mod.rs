//! The calls, by what they are about. Each is one request; none waits for a task.

mod access;
mod apt;
mod cluster;
mod guests;
mod hardware;
mod network;
mod node;
mod power;
mod snapshots;
mod storage;
mod tasks;

pub use apt::RepositoryPlace;
pub use guests::{CloneRequest, ConfigChange, DeleteOptions};
pub use hardware::NewPciMapping;
pub use network::InterfaceSpec;
pub use node::NodeConfigChange;
pub use power::{MigrateOptions, Shutdown};
pub use tasks::{FindTask, TaskFilter};
