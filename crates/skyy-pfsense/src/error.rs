//! Why a call to pfSense failed, in the words of its REST package, and who must act.
//!
//! Must not know what the caller wanted to achieve.

use std::time::Duration;

use serde::Deserialize;
use skyy_http::{Class, HttpError, Problem, Sent};

use crate::fields::FieldsError;
use crate::privilege::privilege;
use crate::table::Table;

/// How long to stay away where the box is busy and does not say for how long.
const BUSY: Duration = Duration::from_mins(5);

/// A failed call to pfSense.
#[derive(Debug, thiserror::Error)]
pub enum PfSenseError {
    /// 401. Nothing more is sent with these credentials: the box bans after three or four of these.
    #[error(
        "{call}: the credentials were refused: check the key or password, and that its method is allowed in the REST API's settings"
    )]
    AuthRefused {
        /// The call.
        call: String,
    },
    /// A login was refused before; not sent.
    #[error("not sent, as a login was refused: change the credentials, or wait {} minutes after that", .hold.as_secs().div_ceil(60))]
    LoginHeld {
        /// How long the hold lasts from the refusal on.
        hold: Duration,
    },
    /// 403: the user lacks a privilege.
    #[error("{call}: not allowed: give the user the privilege {privilege}")]
    Forbidden {
        /// The call.
        call: String,
        /// The privilege that this call needs.
        privilege: String,
    },
    /// 403 before any login: our address or the interface we come in by is not allowed.
    #[error("{call}: {message} ({response_id}): allow this address and interface in the REST API's settings")]
    AccessDenied {
        /// The call.
        call: String,
        /// The package's name for it.
        response_id: String,
        /// Its text.
        message: String,
    },
    /// The REST package is in read-only mode.
    #[error(
        "{call}: the REST API is in read-only mode: switch it off in the REST API's settings in the web interface"
    )]
    ReadOnly {
        /// The call.
        call: String,
    },
    /// The row, or what it hangs on, does not exist.
    #[error("{call}: {message}")]
    NotFound {
        /// The call.
        call: String,
        /// The package's name for it.
        response_id: String,
        /// Its text.
        message: String,
    },
    /// The package refuses what was sent. Nothing was changed.
    #[error("{call}: {message}")]
    Invalid {
        /// The call.
        call: String,
        /// The package's name for it.
        response_id: String,
        /// The field that it names.
        field: Option<String>,
        /// Its text.
        message: String,
    },
    /// Ten reloads are queued already.
    #[error("{call}: too many reloads are waiting, the box asks for {} s of peace", .retry_after.as_secs())]
    Busy {
        /// The call.
        call: String,
        /// How long to stay away.
        retry_after: Duration,
    },
    /// A lock file was left behind by a crash; every write waits a minute and fails.
    #[error(
        "{call}: the configuration stays locked: remove /tmp/.RESTAPI.write_config.lock on the box, or restart it"
    )]
    WriteLocked {
        /// The call.
        call: String,
    },
    /// The package failed. What it had begun may be half done.
    #[error("{call}: the REST API failed with status {status}: {message}")]
    Server {
        /// The call.
        call: String,
        /// The status.
        status: u16,
        /// The package's name for it, where its answer had one.
        response_id: Option<String>,
        /// Its text.
        message: String,
    },
    /// The address answers, but not as the REST package does.
    #[error(
        "{call}: this is not the REST API, version 2 ({what}): check the URL, and that the package is installed"
    )]
    NotTheApi {
        /// The call.
        call: String,
        /// What came.
        what: String,
    },
    /// A row holds what cannot be read.
    #[error("among the {table}, {why}")]
    Unreadable {
        /// Which table.
        table: Table,
        /// What is wrong.
        why: String,
    },
    /// An apply was done, but its outcome could not be read.
    #[error("applied, but the outcome could not be read back: {0}")]
    ReadBack(Box<PfSenseError>),
    /// Replacing a list by nothing would wipe it; not sent.
    #[error(
        "not sent: replacing all {0} by none would delete every one of them, also those of others: delete rows singly"
    )]
    EmptyReplace(Table),
    /// This list cannot be replaced as a whole; not sent.
    #[error("not sent: {0} cannot be replaced as a whole")]
    NoReplace(Table),
    /// The fields cannot be stored; not sent.
    #[error("{table}: not sent: {why}")]
    Fields {
        /// Which table.
        table: Table,
        /// What is wrong.
        why: FieldsError,
    },
    /// No answer, or none that can be used.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// The error body of the package.
#[derive(Deserialize)]
struct Envelope {
    response_id: String,
    #[serde(default)]
    message: String,
}

impl PfSenseError {
    /// Who must act.
    pub fn class(&self) -> Class {
        match self {
            Self::AuthRefused { .. }
            | Self::LoginHeld { .. }
            | Self::Forbidden { .. }
            | Self::AccessDenied { .. } => Class::Auth,
            Self::ReadOnly { .. }
            | Self::NotFound { .. }
            | Self::Invalid { .. }
            | Self::WriteLocked { .. }
            | Self::EmptyReplace(_)
            | Self::NoReplace(_)
            | Self::Fields { .. } => Class::Refused,
            Self::Busy { .. } | Self::Server { .. } => Class::Transient,
            Self::NotTheApi { .. } | Self::Unreadable { .. } => Class::Protocol,
            Self::ReadBack(cause) => cause.class(),
            Self::Http(cause) => cause.class(),
        }
    }

    /// Whether the call may have had an effect.
    pub fn sent(&self) -> Sent {
        match self {
            Self::AuthRefused { .. }
            | Self::LoginHeld { .. }
            | Self::Forbidden { .. }
            | Self::AccessDenied { .. }
            | Self::ReadOnly { .. }
            | Self::NotFound { .. }
            | Self::Invalid { .. }
            // Rows are saved despite a full queue only where they ask for an apply; ours never do.
            | Self::Busy { .. }
            | Self::WriteLocked { .. }
            | Self::NotTheApi { .. }
            | Self::EmptyReplace(_)
            | Self::NoReplace(_)
            | Self::Fields { .. } => Sent::No,
            Self::Server { .. } | Self::Unreadable { .. } | Self::ReadBack(_) => Sent::Maybe,
            Self::Http(cause) => cause.sent(),
        }
    }

    /// How long the box asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => Some(*retry_after),
            Self::Http(cause) => cause.retry_after(),
            Self::ReadBack(cause) => cause.retry_after(),
            _ => None,
        }
    }

    /// The package's name for the error, where it gave one.
    pub fn response_id(&self) -> Option<&str> {
        match self {
            Self::AccessDenied { response_id, .. }
            | Self::NotFound { response_id, .. }
            | Self::Invalid { response_id, .. } => Some(response_id),
            Self::Server { response_id, .. } => response_id.as_deref(),
            _ => None,
        }
    }

    /// Reads an error status as the package means it.
    pub(crate) fn of_call(error: HttpError) -> Self {
        let Problem::Status { status, content_type, body, retry_after, .. } = error.problem() else {
            return Self::Http(error);
        };
        let (status, call) = (status.as_u16(), error.call());
        let Ok(Envelope { response_id, message }) = serde_json::from_str::<Envelope>(body) else {
            // nginx and PHP answer for the package: an unknown path, a crash, a time limit.
            return match status {
                401 => Self::AuthRefused { call },
                404 | 405 => Self::NotTheApi {
                    call,
                    what: format!("status {status}, {}", media(content_type.as_deref())),
                },
                _ => Self::Http(error),
            };
        };
        match (status, response_id.as_str()) {
            (401, _) => Self::AuthRefused { call },
            (403, "AUTH_AUTHORIZATION_FAILED") => {
                Self::Forbidden { call, privilege: privilege(error.method(), error.template()) }
            }
            (403, id) if id.starts_with("ENDPOINT_") => Self::AccessDenied { call, response_id, message },
            (404, _) => Self::NotFound { call, response_id, message },
            (405, "ENDPOINT_METHOD_NOT_ALLOWED_IN_READ_ONLY_MODE") => Self::ReadOnly { call },
            // Answered with 500, but it is our number that does not exist, and nothing was saved.
            (500, "MODEL_FAILED_TO_SET_PLACEMENT") => {
                Self::Invalid { call, response_id, field: Some("placement".to_owned()), message }
            }
            (503, "MODEL_WRITE_CONFIG_LOCKED") => Self::WriteLocked { call },
            (503, "DISPATCHER_TOO_MANY_QUEUED_PROCESSES") => {
                Self::Busy { call, retry_after: retry_after.unwrap_or(BUSY) }
            }
            (408 | 429, _) => Self::Http(error),
            (400..=499, _) => {
                let field = field_in(&message).map(str::to_owned);
                Self::Invalid { call, response_id, field, message }
            }
            _ => {
                let message = message.lines().next().unwrap_or_default().to_owned();
                Self::Server { call, status, response_id: Some(response_id), message }
            }
        }
    }
}

fn media(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("no media type")
}

/// The field that a message is about: the innermost "Field `x`", else the first name in backticks.
fn field_in(message: &str) -> Option<&str> {
    let after = match message.rfind("Field `") {
        Some(position) => &message[position + "Field `".len()..],
        None => message.split_once('`')?.1,
    };
    let (name, _) = after.split_once('`')?;
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: Option<&str>) {
        assert_eq!(field_in(message), expected, "{message}");
    }

    #[test]
    fn the_field_is_found_in_the_packages_texts() {
        check("Field `subnet` must be unique. Value is in use by object with ID `0`.", Some("subnet"));
        check(
            "Field `staticmap` encountered a nested validation error: Field `mac` must be unique.",
            Some("mac"),
        );
        check(
            "Virtual IP `subnet_bits` cannot exceed 32 when the `subnet` is an IPv4 address",
            Some("subnet_bits"),
        );
        check("Aliases cannot contain more `detail` items than `address` items.", Some("detail"));
        check("Object deletion denied.", None);
        check("No content handler exists for `text/html`.", None);
        check("Odd ` text", None);
    }
}
