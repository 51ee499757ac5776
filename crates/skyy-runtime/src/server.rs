//! `/metrics`, `/healthz` and `/readyz`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What `/readyz` answers, told by the wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet, and why.
    NotYet(String),
    /// Ready: leading, or standing by.
    Ready(&'static str),
}

/// The server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for metrics and health: {cause}. Choose another address with --listen")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    readiness: Arc<watch::Receiver<Readiness>>,
}

/// Listens, and serves until told to stop. Returns the address, for a port of the system's choice.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    readiness: watch::Receiver<Readiness>,
    stop: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |cause| ListenError { address, cause };
    let listener = listen(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Shared { metrics, readiness: Arc::new(readiness) });
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the metrics and health server ended");
        }
    });
    Ok(bound)
}

/// A process that was killed a moment ago may still hold the port.
async fn listen(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
    for _ in 0..20 {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            other => return other,
        }
    }
    TcpListener::bind(address).await
}

async fn metrics_text(
    State(shared): State<Shared>,
) -> Result<([(&'static str, &'static str); 1], String), StatusCode> {
    let text = shared.metrics.text().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match &*shared.readiness.borrow() {
        Readiness::Ready(how) => (StatusCode::OK, format!("{how}\n")),
        Readiness::NotYet(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
