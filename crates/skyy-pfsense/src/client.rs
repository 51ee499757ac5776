//! The client: one box, its credentials, and the way of every call.
//!
//! Must not know tables or rows.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use skyy_http::{Call, HttpClient, Limits};

use crate::auth::{Auth, Guard};
use crate::error::PfSenseError;

/// How long nothing is sent after a refused login.
const HOLD: Duration = Duration::from_mins(30);

/// A client of one pfSense. Clones share the connection and the guard against bans.
///
/// The box does not notice two writers at once: whoever holds this must write one call after the other.
#[derive(Clone, Debug)]
pub struct PfSense {
    http: HttpClient,
    guard: Arc<Guard>,
}

/// The limits that suit this API, for the [`Endpoint`](skyy_http::Endpoint).
pub fn limits() -> Limits {
    Limits {
        // A small machine: reads may overlap, more only queues up there.
        concurrency: 2,
        // A list may take long where there are many rows.
        total: Duration::from_mins(1),
        ..Limits::default()
    }
}

impl PfSense {
    /// A client with these credentials. Sends nothing.
    pub fn new(http: HttpClient, auth: Auth) -> Self {
        Self::with_hold(http, auth, HOLD)
    }

    /// As [`new`](Self::new), with another time to stay away after a refused login.
    pub fn with_hold(http: HttpClient, auth: Auth, hold: Duration) -> Self {
        Self { http, guard: Arc::new(Guard::new(auth, hold)) }
    }

    /// The HTTP client, for its counters.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Takes these credentials from now on and says whether they differ from the ones before. Only others lift the hold
    /// after a refused login.
    pub fn set_credentials(&self, auth: Auth) -> bool {
        self.guard.change(auth)
    }

    /// Lifts the hold after a refused login: something else that made the login fail has changed (a user was enabled).
    pub fn credentials_changed(&self) {
        self.guard.lift();
    }

    /// Sends a call and reads `data` of the answer with `read`, which says what is wrong with its shape.
    pub(crate) async fn ask<T>(
        &self,
        call: Call,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, PfSenseError> {
        let pass = self.guard.enter().await.map_err(|held| PfSenseError::LoginHeld { hold: held.hold })?;
        let answer = match self.http.send(pass.auth.authorize(call)).await {
            Ok(answer) => answer,
            Err(error) => {
                let error = PfSenseError::of_call(error);
                match error {
                    PfSenseError::AuthRefused { .. } => {
                        tracing::warn!(
                            endpoint = self.http.name(),
                            "login refused, nothing more is sent for now"
                        );
                        self.guard.refused(&pass);
                    }
                    PfSenseError::Forbidden { .. }
                    | PfSenseError::NotFound { .. }
                    | PfSenseError::Invalid { .. } => self.guard.accepted(&pass),
                    _ => {}
                }
                return Err(error);
            }
        };
        self.guard.accepted(&pass);
        let Envelope { data } = answer.json()?;
        read(data).map_err(|why| answer.wrong_shape(&why).into())
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Value,
}

/// Reads what serde can read by itself.
pub(crate) fn decode<T: DeserializeOwned>(data: Value) -> Result<T, String> {
    serde_json::from_value(data).map_err(|cause| cause.to_string())
}
