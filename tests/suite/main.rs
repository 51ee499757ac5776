//! The operator on a real Kubernetes API server, against simulated endpoints: every promise made to a person, as a test
//! that fails without it.
//!
//! A test knows the operator as a person does: it applies manifests, reads statuses and events, and looks at what stands
//! on the endpoint. It must not reach into the operator.

// Everything here is a test or helps one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod firewall;
mod process;
mod world;
