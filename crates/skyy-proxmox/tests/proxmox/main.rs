//! The client from outside: what it sends, held against the published schema; how it bears failures.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of it is test code"
)]

mod life;
mod requests;
mod schema;
mod server;
mod simulator;
mod transport;
