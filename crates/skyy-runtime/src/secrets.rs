//! Secrets that objects name: each is watched by itself, so that the operator may read only those it is told of, and a
//! changed one is used without a restart.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use skyy_api::{Reason, SecretKeyRef};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::failure::Failure;

/// How long a first look may take.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// What is known of one Secret.
#[derive(Clone, Default)]
enum Seen {
    /// Not looked at yet.
    #[default]
    NotYet,
    /// It is not there.
    Absent,
    /// It could not be read; the text says why.
    Unreadable(String),
    /// It is there, in this version.
    Present(Arc<Secret>),
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "NotYet",
            Self::Absent => "Absent",
            Self::Unreadable(_) => "Unreadable",
            Self::Present(_) => "Present(***)",
        })
    }
}

/// A value out of a Secret, with the version by which a change is told.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue {
    /// The value, without white space at its ends.
    pub value: String,
    /// The Secret's uid and resource version.
    pub version: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue").field("value", &"***").field("version", &self.version).finish()
    }
}

struct Watched {
    seen: watch::Receiver<Seen>,
    _stop: DropGuard,
}

type Changed = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The Secrets that are watched.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    watched: Arc<Mutex<HashMap<(String, String), Watched>>>,
    changed: Changed,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Watches by this client; tells each change by namespace and name.
    pub fn new(client: Client, changed: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self { client, watched: Arc::default(), changed: Arc::new(changed) }
    }

    /// The value behind the reference, as it is now.
    pub async fn get(&self, reference: &SecretKeyRef) -> Result<SecretValue, Failure> {
        let SecretKeyRef { namespace, name, key } = reference;
        let mut seen = self.follow(namespace, name);
        let known =
            tokio::time::timeout(FIRST_LOOK, seen.wait_for(|seen| !matches!(seen, Seen::NotYet))).await;
        let known = match known {
            Ok(Ok(known)) => known.clone(),
            Ok(Err(_)) | Err(_) => Seen::Unreadable("the API server did not answer in time".into()),
        };
        let missing = |what: String| Failure::waiting(Reason::SecretMissing, what);
        match known {
            Seen::NotYet => Err(missing(format!("Secret {namespace}/{name} has not been looked at yet"))),
            Seen::Absent => Err(missing(format!(
                "Secret {namespace}/{name} does not exist; create it with the key {key}"
            ))),
            Seen::Unreadable(why) => Err(missing(format!("Secret {namespace}/{name} cannot be read: {why}"))),
            Seen::Present(secret) => {
                let data = secret.data.as_ref().and_then(|data| data.get(key));
                let Some(data) = data else {
                    let mut keys: Vec<&str> =
                        secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
                    keys.sort_unstable();
                    let has = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
                    return Err(missing(format!("Secret {namespace}/{name} has no key {key}; it has {has}")));
                };
                let value = std::str::from_utf8(&data.0)
                    .map_err(|_| missing(format!("Secret {namespace}/{name}, key {key} is not text")))?
                    .trim();
                if value.is_empty() {
                    return Err(missing(format!("Secret {namespace}/{name}, key {key} is empty")));
                }
                let version = format!(
                    "{}/{}",
                    secret.uid().unwrap_or_default(),
                    secret.resource_version().unwrap_or_default()
                );
                Ok(SecretValue { value: value.to_owned(), version })
            }
        }
    }

    /// Begins to watch a Secret, unless it is watched already.
    fn follow(&self, namespace: &str, name: &str) -> watch::Receiver<Seen> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = watched.entry((namespace.to_owned(), name.to_owned())).or_insert_with(|| {
            let (sender, seen) = watch::channel(Seen::NotYet);
            let stop = CancellationToken::new();
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let (changed, stopped) = (self.changed.clone(), stop.clone());
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            tokio::spawn(async move {
                let mut versions = std::pin::pin!(
                    watcher::watch_object(api, &name).default_backoff().take_until(stopped.cancelled())
                );
                while let Some(version) = versions.next().await {
                    let now = match version {
                        Ok(Some(secret)) => Seen::Present(Arc::new(secret)),
                        Ok(None) => Seen::Absent,
                        // What was read stays good through a break of the watch.
                        Err(_) if matches!(&*sender.borrow(), Seen::Present(_)) => continue,
                        Err(error) => Seen::Unreadable(error.to_string()),
                    };
                    sender.send_replace(now);
                    changed(&namespace, &name);
                }
            });
            Watched { seen, _stop: stop.drop_guard() }
        });
        entry.seen.clone()
    }
}
