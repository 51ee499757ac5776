//! The driver against a scripted API server and a kind that does as it is told. Every status that any test sees is held
//! against the rules for conditions.

// The lints let tests panic, but not what tests are built of.
#![allow(clippy::expect_used, clippy::panic)]

mod bench;
mod conditions;
mod deletion;
mod passes;
mod script;
mod server;
mod trouble;
mod watching;
