//! Why a call to the Ceph manager failed, and who must act.
//!
//! Must not know what the caller wanted to achieve.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use skyy_http::{Class, HttpError, Problem, Sent};

/// A failed call to the Ceph manager.
#[derive(Debug, thiserror::Error)]
pub enum CephError {
    /// The login was refused, or the account is disabled. No further login is tried: ten refusals disable an account.
    #[error(
        "{call}: the login of {username:?} was refused: check name and password, and that the account is enabled"
    )]
    LoginRefused {
        /// The call.
        call: String,
        /// The user.
        username: String,
    },
    /// A login was refused before; not sent.
    #[error("not sent, as a login was refused: change the credentials, or wait {} hours after that", .hold.as_secs().div_ceil(3600))]
    LoginHeld {
        /// How long the hold lasts from the refusal on.
        hold: Duration,
    },
    /// The user must change the password before anything else.
    #[error(
        "{call}: the user {username:?} must change the password first: do so in the dashboard, then update the Secret"
    )]
    PasswordExpired {
        /// The call.
        call: String,
        /// The user.
        username: String,
    },
    /// The login works, but its token is not taken.
    #[error("{call}: a token just got was refused: look at the managers' clocks and log")]
    TokenRefused {
        /// The call.
        call: String,
    },
    /// The user's roles do not allow the call.
    #[error(
        "{call}: not allowed: give the user a role that may (administrator, or cluster-manager with pool-manager)"
    )]
    Forbidden {
        /// The call.
        call: String,
    },
    /// What the call is about does not exist.
    #[error("{call}: {detail}")]
    NotFound {
        /// The call.
        call: String,
        /// The manager's text.
        detail: String,
    },
    /// The pool exists already; creating it again would silently change it.
    #[error("the pool {0:?} exists already: not created, as that would change it")]
    PoolExists(String),
    /// The cluster refuses what was asked.
    #[error("{call}: {detail}")]
    Refused {
        /// The call.
        call: String,
        /// The manager's text.
        detail: String,
        /// Its code, often an errno (`2`) or a word.
        code: String,
        /// Which part refuses (`pool`, `osd`).
        component: String,
    },
    /// The manager has no version of this answer that we understand.
    #[error("{call}: this release answers in a version that is not understood ({detail})")]
    Version {
        /// The call.
        call: String,
        /// The manager's text.
        detail: String,
    },
    /// The call needs an orchestrator, and the cluster has none.
    #[error("{call}: the cluster has no orchestrator for this: {detail}")]
    NoOrchestrator {
        /// The call.
        call: String,
        /// The manager's text.
        detail: String,
    },
    /// No manager is active at the moment; it takes some seconds until another takes over.
    #[error("{call}: no active manager: {detail}")]
    NoActiveManager {
        /// The call.
        call: String,
        /// What was seen.
        detail: String,
    },
    /// The manager failed. What it had begun may be half done.
    #[error("{call}: the manager failed with status {status}: {detail}")]
    Server {
        /// The call.
        call: String,
        /// The status.
        status: u16,
        /// Its text.
        detail: String,
    },
    /// No answer, or none that can be used.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// All three error bodies of the API in one: the web framework's, a handler's, a task's.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    detail: String,
    code: Option<Value>,
    #[serde(default)]
    component: Option<String>,
}

impl CephError {
    /// Who must act.
    pub fn class(&self) -> Class {
        match self {
            Self::LoginRefused { .. }
            | Self::LoginHeld { .. }
            | Self::PasswordExpired { .. }
            | Self::TokenRefused { .. }
            | Self::Forbidden { .. } => Class::Auth,
            Self::NotFound { .. }
            | Self::PoolExists(_)
            | Self::Refused { .. }
            | Self::NoOrchestrator { .. } => Class::Refused,
            Self::Version { .. } => Class::Protocol,
            Self::NoActiveManager { .. } | Self::Server { .. } => Class::Transient,
            Self::Http(cause) => cause.class(),
        }
    }

    /// Whether the call may have had an effect.
    pub fn sent(&self) -> Sent {
        match self {
            Self::LoginRefused { .. }
            | Self::LoginHeld { .. }
            | Self::PasswordExpired { .. }
            | Self::TokenRefused { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::PoolExists(_)
            | Self::Version { .. }
            | Self::NoOrchestrator { .. }
            | Self::NoActiveManager { .. } => Sent::No,
            // A creation or a change is several commands to the monitors; a later one may be what is refused.
            Self::Refused { .. } | Self::Server { .. } => Sent::Maybe,
            Self::Http(cause) => cause.sent(),
        }
    }

    /// How long the manager asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http(cause) => cause.retry_after(),
            _ => None,
        }
    }

    /// Reads an error status as the API means it.
    pub(crate) fn of_call(error: HttpError) -> Self {
        let Problem::Status { status, body, .. } = error.problem() else {
            return Self::Http(error);
        };
        let (status, call) = (status.as_u16(), error.call());
        let Ok(Body { detail, code, component }) = serde_json::from_str::<Body>(body) else {
            // Something in between, or a standby that is set to answer with an error page.
            return Self::Http(error);
        };
        let code = match code {
            Some(Value::String(code)) => code,
            Some(code) => code.to_string(),
            None => String::new(),
        };
        match status {
            401 => Self::TokenRefused { call },
            403 => Self::Forbidden { call },
            404 => Self::NotFound { call, detail },
            415 => Self::Version { call, detail },
            503 if component.as_deref() == Some("orchestrator") => Self::NoOrchestrator { call, detail },
            408 | 429 => Self::Http(error),
            400..=499 => Self::Refused { call, detail, code, component: component.unwrap_or_default() },
            _ => Self::Server { call, status, detail },
        }
    }
}
