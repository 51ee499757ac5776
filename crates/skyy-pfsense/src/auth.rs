//! Credentials, and the guard that keeps a refused login from becoming a ban.
//!
//! The box counts every 401 and bans the address after three or four. So the first call with new credentials goes alone,
//! and after a refusal nothing is sent until the credentials change or a long time has passed. Must not know paths.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyy_http::{Call, Secret};

/// How we say who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A key of the REST package; its method must be allowed in the package's settings.
    ApiKey(Secret),
    /// User and password of the box.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl Auth {
    pub(crate) fn authorize(&self, call: Call) -> Call {
        match self {
            Auth::ApiKey(key) => call.secret_header("x-api-key", "", key),
            Auth::Basic { user, password } => call.basic_auth(user, password),
        }
    }
}

/// Lets calls pass, one at a time until the credentials have proved good, none after they were refused.
#[derive(Debug)]
pub(crate) struct Guard {
    state: Mutex<State>,
    first: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    auth: Auth,
    proven: bool,
    refused: Option<Instant>,
    hold: Duration,
}

/// Permission for one call with these credentials.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) auth: Auth,
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

/// No call may be made.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) hold: Duration,
}

impl Guard {
    pub(crate) fn new(auth: Auth, hold: Duration) -> Self {
        Self {
            state: Mutex::new(State { auth, proven: false, refused: None, hold }),
            first: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits while another call tries the credentials out.
    pub(crate) async fn enter(&self) -> Result<Pass<'_>, Held> {
        if let Some(auth) = self.proven()? {
            return Ok(Pass { auth, _alone: None });
        }
        let alone = self.first.lock().await;
        // The one before may have been accepted or refused.
        if let Some(auth) = self.proven()? {
            return Ok(Pass { auth, _alone: None });
        }
        let auth = self.state().auth.clone();
        Ok(Pass { auth, _alone: Some(alone) })
    }

    pub(crate) fn accepted(&self, pass: &Pass<'_>) {
        let mut state = self.state();
        if state.auth == pass.auth && state.refused.is_none() {
            state.proven = true;
        }
    }

    pub(crate) fn refused(&self, pass: &Pass<'_>) {
        let mut state = self.state();
        // An old call must not condemn credentials set since.
        if state.auth == pass.auth {
            state.proven = false;
            state.refused = Some(Instant::now());
        }
    }

    /// Takes new credentials; the same ones again do not lift a hold.
    pub(crate) fn change(&self, auth: Auth) -> bool {
        let mut state = self.state();
        let changed = state.auth != auth;
        if changed {
            *state = State { auth, proven: false, refused: None, hold: state.hold };
        }
        changed
    }

    pub(crate) fn lift(&self) {
        self.state().refused = None;
    }

    fn proven(&self) -> Result<Option<Auth>, Held> {
        let mut state = self.state();
        if let Some(since) = state.refused {
            if since.elapsed() < state.hold {
                return Err(Held { hold: state.hold });
            }
            state.refused = None;
        }
        Ok(state.proven.then(|| state.auth.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is replaced in single steps: a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
