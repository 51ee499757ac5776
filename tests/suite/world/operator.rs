//! The operator in this process, as its program runs it once it holds the Lease.

use kube::Client;
use skyy_controllers::{Options, StartError};
use skyy_runtime::metrics::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::INSTALLATION;

/// A running operator.
pub(crate) struct Operator {
    pub(crate) metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
}

impl Operator {
    pub(super) fn start(client: Client) -> Self {
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let options = Options { installation: Some(INSTALLATION.into()), instance: Some("suite-0".into()) };
        let task = tokio::spawn(skyy_controllers::run(client, metrics.clone(), options, stop.clone()));
        Self { metrics, stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(super::PATIENCE, self.task).await;
        ended.expect("the operator ends when told to").unwrap().unwrap();
    }
}
