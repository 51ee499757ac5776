//! What is counted about calls.
//!
//! Labels come from closed sets: product, method, path template, outcome. Never an object's name, a host or a secret.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::{Class, HttpError, Problem, Sent};

/// How a call ended, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// A 2xx answer.
    Ok,
    /// The credentials were refused.
    Auth,
    /// Another 4xx, or a call that could not be made.
    Refused,
    /// 429 or 503 and the like: asked to come later, or broken, or overloaded.
    ServerError,
    /// Nothing was sent: no connection, no turn.
    Unreachable,
    /// The certificate was not accepted.
    Untrusted,
    /// Sent, and no complete answer.
    Lost,
    /// An answer of a kind that this API does not give.
    Protocol,
}

impl Outcome {
    pub(crate) fn of(error: &HttpError) -> Self {
        match (error.class(), error.problem()) {
            (Class::Auth, _) => Self::Auth,
            (Class::Refused, _) => Self::Refused,
            (Class::Untrusted, _) => Self::Untrusted,
            (Class::Protocol, _) => Self::Protocol,
            (Class::Transient, Problem::Status { .. }) => Self::ServerError,
            (Class::Transient, _) if error.sent() == Sent::No => Self::Unreachable,
            (Class::Transient, _) => Self::Lost,
        }
    }
}

/// One finished call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The kind of endpoint (`pfsense`).
    pub product: &'static str,
    /// The method.
    pub method: Method,
    /// The path template.
    pub template: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, waiting included.
    pub took: Duration,
    /// Bytes of the request's body.
    pub bytes_sent: u64,
    /// Bytes of the answer's body.
    pub bytes_received: u64,
}

/// Is told about each finished call. Must be quick and must not fail.
pub trait CallObserver: fmt::Debug + Send + Sync {
    /// One call has ended.
    fn finished(&self, call: &CallRecord);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    endpoint: &'static str,
    method: String,
    path: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

/// The Prometheus metrics of all clients of one process; make one and give it to each [`Endpoint`](crate::Endpoint).
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<CallLabels, Counter>,
    seconds: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    sent: Family<EndpointLabels, Counter>,
    received: Family<EndpointLabels, Counter>,
}

impl HttpMetrics {
    /// Registers the metrics as `http_client_…`.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0])
            }),
            sent: Family::default(),
            received: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("http_client");
        registry.register("requests", "Calls to endpoints by how they ended", metrics.requests.clone());
        registry.register("request_seconds", "How long calls to endpoints took", metrics.seconds.clone());
        registry.register("sent_bytes", "Bytes of request bodies", metrics.sent.clone());
        registry.register("received_bytes", "Bytes of answers", metrics.received.clone());
        Arc::new(metrics)
    }
}

impl CallObserver for HttpMetrics {
    fn finished(&self, call: &CallRecord) {
        let labels = CallLabels {
            endpoint: call.product,
            method: call.method.to_string(),
            path: call.template,
            outcome: call.outcome,
        };
        self.requests.get_or_create(&labels).inc();
        let endpoint = EndpointLabels { endpoint: call.product };
        self.seconds.get_or_create(&endpoint).observe(call.took.as_secs_f64());
        self.sent.get_or_create(&endpoint).inc_by(call.bytes_sent);
        self.received.get_or_create(&endpoint).inc_by(call.bytes_received);
    }
}

/// Plain counters of one client.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    /// Requests tried, repeats included.
    pub requests: u64,
    /// Of these, the ones that change something.
    pub writes: u64,
    /// Calls that ended in an error.
    pub failures: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers' bodies.
    pub bytes_received: u64,
}

impl Counters {
    /// Reads all counters.
    pub fn snapshot(&self) -> CountersSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountersSnapshot {
            requests: read(&self.requests),
            writes: read(&self.writes),
            failures: read(&self.failures),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_hold_closed_labels_only() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        metrics.finished(&CallRecord {
            product: "pfsense",
            method: Method::GET,
            template: "/nodes/{node}",
            outcome: Outcome::Lost,
            took: Duration::from_millis(30),
            bytes_sent: 0,
            bytes_received: 12,
        });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = r#"http_client_requests_total{endpoint="pfsense",method="GET",path="/nodes/{node}",outcome="Lost"} 1"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains(r#"http_client_received_bytes_total{endpoint="pfsense"} 12"#), "{text}");
    }
}
