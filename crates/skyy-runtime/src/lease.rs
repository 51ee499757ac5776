//! Who writes: one replica holds a Lease, the others stand by.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle};

/// Where the Lease stands, and as whom this replica asks for it.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This replica's name.
    pub identity: String,
    /// How long the Lease is good for when its holder falls silent.
    pub seconds: u64,
}

/// The Lease could not be asked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask for the Lease: {0}")]
pub struct LeaseError(String);

/// Asks for the Lease, now and as long as the receiver lives; the receiver says whether this replica holds it.
///
/// The Lease has a client of its own: the usual one repeats a failed call for minutes, and a renewal must not wait for that.
pub async fn campaign(
    mut config: Config,
    settings: &LeaseSettings,
) -> Result<(watch::Receiver<bool>, JoinHandle<Result<(), LeaseError>>), LeaseError> {
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| LeaseError(error.to_string()))?;
    let grace = (settings.seconds / 3).max(1);
    let lease: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let manager = LeaseManagerBuilder::new(client, &settings.name)
        .with_namespace(&settings.namespace)
        .with_identity(&settings.identity)
        .with_duration(settings.seconds)
        .with_grace(grace)
        .with_field_manager(crate::status::FIELD_MANAGER)
        .build()
        .await
        .map_err(|error| LeaseError(error.to_string()))?;
    let (leading, task) = manager.watch().await;
    let leading = watched(leading, lease, settings);
    let task = tokio::spawn(async move {
        match task.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(LeaseError(LeaseManagerError::to_string(&error))),
            Err(error) => Err(LeaseError(error.to_string())),
        }
    });
    Ok((leading, task))
}

/// Whether this replica leads *and has lately seen* that it does.
///
/// A holder that cannot reach the API server does not hear that another one took the Lease. It must take it as lost before
/// anybody else can have it: when it has not seen itself as the holder for as long as the Lease is good.
fn watched(
    mut leading: watch::Receiver<bool>,
    lease: Api<Lease>,
    settings: &LeaseSettings,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let settings = settings.clone();
    let pause = Duration::from_millis(settings.seconds * 1000 / 4);
    let good_for = Duration::from_secs(settings.seconds);
    tokio::spawn(async move {
        let mut confirmed = Instant::now();
        loop {
            tokio::select! {
                () = sender.closed() => return,
                changed = leading.changed() => {
                    if changed.is_err() {
                        sender.send_replace(false);
                        return;
                    }
                    confirmed = Instant::now();
                }
                () = tokio::time::sleep(pause) => {}
            }
            if !*leading.borrow_and_update() {
                sender.send_replace(false);
                continue;
            }
            let asked = Instant::now();
            let seen = tokio::time::timeout(pause, lease.get(&settings.name)).await;
            let ours = match &seen {
                Ok(Ok(lease)) => {
                    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                    Some(holder == Some(settings.identity.as_str()))
                }
                Ok(Err(_)) | Err(_) => None,
            };
            match ours {
                Some(true) => confirmed = asked,
                Some(false) => {
                    sender.send_replace(false);
                    continue;
                }
                None => tracing::warn!("the Lease cannot be read; it counts as lost when that lasts"),
            }
            sender.send_replace(confirmed.elapsed() < good_for);
        }
    });
    receiver
}
