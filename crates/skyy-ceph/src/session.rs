//! Logging in, once for all callers, and staying away after a refused login.
//!
//! A token lasts for hours and survives a change of the active manager. Ten refused logins disable the account even for
//! the right password, so one refusal is the last until the credentials change. Must not know calls other than the login.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyy_http::Secret;

/// A user of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// The credentials with what became of them.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    /// Held while a login is under way.
    pub(crate) login: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    credentials: Credentials,
    token: Option<Secret>,
    refused: Option<Instant>,
    hold: Duration,
}

impl Session {
    pub(crate) fn new(credentials: Credentials, hold: Duration) -> Self {
        let state = State { credentials, token: None, refused: None, hold };
        Self { state: Mutex::new(state), login: tokio::sync::Mutex::new(()) }
    }

    /// The token; `Err` with the length of the hold while logins are held back.
    pub(crate) fn token(&self) -> Result<Option<Secret>, Duration> {
        let mut state = self.lock();
        if let Some(since) = state.refused {
            if since.elapsed() < state.hold {
                return Err(state.hold);
            }
            state.refused = None;
        }
        Ok(state.token.clone())
    }

    pub(crate) fn credentials(&self) -> Credentials {
        self.lock().credentials.clone()
    }

    /// Keeps the token got with these credentials, unless they have been changed meanwhile.
    pub(crate) fn accepted(&self, with: &Credentials, token: Secret) {
        let mut state = self.lock();
        if state.credentials == *with {
            state.token = Some(token);
        }
    }

    pub(crate) fn refused(&self, with: &Credentials) {
        let mut state = self.lock();
        if state.credentials == *with {
            tracing::warn!(user = with.username, "login at Ceph refused, no other is tried for now");
            state.refused = Some(Instant::now());
        }
    }

    /// Forgets this token; another one got meanwhile stays.
    pub(crate) fn drop_token(&self, token: &Secret) {
        let mut state = self.lock();
        if state.token.as_ref() == Some(token) {
            state.token = None;
        }
    }

    pub(crate) fn change(&self, credentials: Credentials) -> bool {
        let mut state = self.lock();
        let changed = state.credentials != credentials;
        if changed {
            *state = State { credentials, token: None, refused: None, hold: state.hold };
        }
        changed
    }

    pub(crate) fn lift(&self) {
        self.lock().refused = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced in single steps: a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
