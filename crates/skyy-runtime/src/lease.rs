//! Who writes: one replica holds a Lease, the others stand by.

use kube::{Client, Config};
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
    let task = tokio::spawn(async move {
        match task.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(LeaseError(LeaseManagerError::to_string(&error))),
            Err(error) => Err(LeaseError(error.to_string())),
        }
    });
    Ok((leading, task))
}
