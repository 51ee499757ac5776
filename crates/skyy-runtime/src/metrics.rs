//! What the operator counts about itself. A label never holds an object's name.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// The counters of the driver, and the registry to which others add theirs.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<std::sync::Mutex<Registry>>,
    reconciles: Family<KindOutcome, Counter>,
    seconds: Family<OfKind, Histogram>,
    status_writes: Family<OfKind, Counter>,
    events: Family<OfKind, Counter>,
    undecodable: Family<OfKind, Counter>,
    leader: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("skyy");
        let reconciles = Family::default();
        registry.register("reconciles", "Passes over objects, by how they ended", reconciles.clone());
        let seconds = Family::<OfKind, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 16))
        });
        registry.register("reconcile_seconds", "How long a pass took", seconds.clone());
        let status_writes = Family::default();
        registry.register("status_writes", "Statuses written to the API server", status_writes.clone());
        let events = Family::default();
        registry.register("events", "Events written to the API server", events.clone());
        let undecodable = Family::default();
        registry.register(
            "undecodable_objects",
            "Objects that this version could not read",
            undecodable.clone(),
        );
        let leader = Gauge::default();
        registry.register("leader", "1 while this replica holds the lease", leader.clone());
        Self {
            registry: Arc::new(std::sync::Mutex::new(registry)),
            reconciles,
            seconds,
            status_writes,
            events,
            undecodable,
            leader,
        }
    }
}

impl Metrics {
    /// Lets somebody add metrics of their own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    pub(crate) fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&KindOutcome { kind, outcome }).inc();
        self.seconds.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }

    pub(crate) fn status_written(&self, kind: &'static str) {
        self.status_writes.get_or_create(&OfKind { kind }).inc();
    }

    pub(crate) fn event_written(&self, kind: &'static str) {
        self.events.get_or_create(&OfKind { kind }).inc();
    }

    pub(crate) fn undecodable(&self, kind: &'static str) {
        self.undecodable.get_or_create(&OfKind { kind }).inc();
    }

    /// This replica holds the lease, or not.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// How many statuses of this kind were written: for tests that count.
    pub fn status_writes(&self, kind: &'static str) -> u64 {
        self.status_writes.get_or_create(&OfKind { kind }).get()
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_read() {
        let metrics = Metrics::default();
        metrics.reconciled("virtualip", "settled", Duration::from_millis(3));
        metrics.reconciled("virtualip", "settled", Duration::from_millis(3));
        metrics.reconciled("virtualip", "transient", Duration::from_secs(1));
        metrics.status_written("virtualip");
        metrics.event_written("virtualip");
        metrics.undecodable("firewall");
        metrics.leading(true);
        let text = metrics.text().unwrap();
        for line in [
            r#"skyy_reconciles_total{kind="virtualip",outcome="settled"} 2"#,
            r#"skyy_reconciles_total{kind="virtualip",outcome="transient"} 1"#,
            r#"skyy_reconcile_seconds_count{kind="virtualip"} 3"#,
            r#"skyy_status_writes_total{kind="virtualip"} 1"#,
            r#"skyy_events_total{kind="virtualip"} 1"#,
            r#"skyy_undecodable_objects_total{kind="firewall"} 1"#,
            "skyy_leader 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line:?} in:\n{text}");
        }
        metrics.leading(false);
        assert!(metrics.text().unwrap().contains("skyy_leader 0"));
    }
}
