//! Keeps the state of the simulated products in one file, so that a later start goes on from it.
//!
//! Saved a moment after a change and at the end, always by renaming a complete file into place.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::{product::Product, tls::Certificate};

/// How long changes are gathered before they are saved.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// The member of the file that is no product.
const CERTIFICATE: &str = "certificate";

/// What can go wrong with the state file.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("state file {path} cannot be read or written; give another one with --state")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not what was saved.
    #[error("state file {path} is not JSON; remove it to start anew")]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A product does not take its part of the file.
    #[error("state file {path}: {product} cannot go on from it: {reason}; remove it to start anew")]
    Restore {
        /// The file.
        path: PathBuf,
        /// The product.
        product: String,
        /// The reason.
        reason: String,
    },
}

/// One file with the state of several products.
pub struct StateFile {
    path: PathBuf,
    parts: Mutex<Parts>,
    changed: Notify,
}

struct Parts {
    /// What the file held at the start and no product has claimed yet; it is kept.
    kept: Map<String, Value>,
    products: Vec<(String, Arc<dyn Product>)>,
    saved: Option<String>,
}

impl StateFile {
    /// Opens the file; one that does not exist yet is made by the first save.
    pub fn open(path: &Path) -> Result<Arc<Self>, StateError> {
        let io = |source| StateError::Io { path: path.to_owned(), source };
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StateError::Json { path: path.to_owned(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(io(error)),
        };
        let parts = Mutex::new(Parts { kept, products: Vec::new(), saved: None });
        Ok(Arc::new(Self { path: path.to_owned(), parts, changed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `product` go on from what the file holds under `name`, and keeps it there from now on.
    pub fn attach(&self, name: &str, product: Arc<dyn Product>) -> Result<(), StateError> {
        let mut parts = self.lock();
        if let Some(state) = parts.kept.get(name) {
            let restore = product.restore(state.clone());
            restore.map_err(|reason| StateError::Restore {
                path: self.path.clone(),
                product: name.to_owned(),
                reason,
            })?;
        }
        parts.products.push((name.to_owned(), product));
        Ok(())
    }

    /// The certificate kept in the file, so that a pin survives a restart.
    pub fn certificate(&self) -> Option<Certificate> {
        serde_json::from_value(self.lock().kept.get(CERTIFICATE)?.clone()).ok()
    }

    /// Keeps a certificate in the file.
    pub fn keep_certificate(&self, certificate: &Certificate) {
        if let Ok(value) = serde_json::to_value(certificate) {
            self.lock().kept.insert(CERTIFICATE.to_owned(), value);
        }
        self.changed();
    }

    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Saves now, unless nothing has changed since the last time.
    pub fn save(&self) -> Result<(), StateError> {
        let mut parts = self.lock();
        let mut whole = parts.kept.clone();
        for (name, product) in &parts.products {
            whole.insert(name.clone(), product.snapshot());
        }
        let text = Value::Object(whole).to_string();
        if parts.saved.as_ref() == Some(&text) {
            return Ok(());
        }
        let io = |source| StateError::Io { path: self.path.clone(), source };
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(".new");
        std::fs::write(&fresh, &text).map_err(io)?;
        std::fs::rename(&fresh, &self.path).map_err(io)?;
        parts.saved = Some(text);
        Ok(())
    }

    /// Saves after changes, for ever. A save that fails is logged and tried again with the next change.
    pub async fn save_on_change(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(DEBOUNCE).await;
            if let Err(error) = self.save() {
                tracing::warn!(%error, "the state could not be saved");
            }
        }
    }
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFile").field("path", &self.path).finish_non_exhaustive()
    }
}
