//! What every simulated product gives to the server that carries it.

use std::sync::Arc;

use axum::Router;

/// One simulated product: its HTTP surface and its state.
///
/// The carrying server adds what is the same for all: listening, TLS, counters, faults, saving the state.
pub trait Product: Send + Sync + 'static {
    /// The vendor's HTTP API, paths as the vendor has them.
    fn router(self: Arc<Self>) -> Router;

    /// The whole state as JSON, so that a later start can go on from it.
    fn snapshot(&self) -> serde_json::Value;

    /// Takes over a state that `snapshot` gave; the text says why it could not.
    fn restore(&self, state: serde_json::Value) -> Result<(), String>;
}
