//! One HTTP client set-up for every endpoint the operator drives.
//!
//! A provider's client (Proxmox, Ceph, pfSense) describes a [`Call`] and hands it to an [`HttpClient`]; this crate
//! owns what must be the same everywhere: whom to trust ([`Trust`]), limits of time, size and number, what may be
//! repeated, who must act when it fails ([`Class`]), whether a failed call may have had an effect ([`Sent`]),
//! secrets kept out of texts ([`Secret`]), one debug event and one metric per call.
//!
//! It must not know any provider's paths, bodies or error texts, nor Kubernetes.

mod answer;
mod call;
mod client;
mod endpoint;
mod error;
mod observe;
mod secret;
mod trust;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use call::Call;
pub use client::HttpClient;
pub use endpoint::{Endpoint, Limits, SetupError};
pub use error::{Class, HttpError, Problem, Sent};
pub use http::{Method, StatusCode};
pub use observe::{CallObserver, CallRecord, Counters, CountersSnapshot, HttpMetrics, Outcome};
pub use reqwest::Url;
pub use secret::Secret;
pub use trust::{Fingerprint, FingerprintError, Trust};

/// Makes ring the process-wide crypto provider, for libraries that ask for one (kube does).
///
/// The clients of this crate carry their provider themselves. Calling this more than once is harmless.
pub fn install_crypto_provider() {
    // An error only says that a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
