//! What every simulated product gives to the server that carries it, and the two marks they exchange.
//!
//! It must not know any product.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;

/// One simulated product: its HTTP surface and its state.
///
/// The carrying server adds what is the same for all: listening, TLS, counters, faults, saving the state.
pub trait Product: Send + Sync + 'static {
    /// The vendor's HTTP API, paths as the vendor has them.
    ///
    /// Paths below `/_sim/` that the server does not serve itself end here too; they are not counted.
    fn router(self: Arc<Self>) -> Router;

    /// The whole state as JSON, so that a later start can go on from it.
    fn snapshot(&self) -> serde_json::Value;

    /// Takes over a state that `snapshot` gave; the text says why it could not.
    fn restore(&self, state: serde_json::Value) -> Result<(), String>;
}

/// Where a request came from; the server puts it into the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Put into the extensions of a response, makes the server close the connection without answering.
#[derive(Debug, Clone, Copy)]
pub struct NoAnswer;
