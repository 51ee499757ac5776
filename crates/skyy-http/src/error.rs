//! Why a call failed, who must act, and whether it may have had an effect.
//!
//! Texts in here are already cleaned of secrets. Must not know any provider's error texts.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::Url;

use crate::trust::{Fingerprint, PinMismatch};

/// Who must act before it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Time heals: unreachable, timed out, overloaded, restarting.
    Transient,
    /// The credentials must change: trying on may lock the account or ban the address.
    Auth,
    /// The endpoint understood and said no, or the call cannot be sent as it is.
    Refused,
    /// The server did not prove to be the one expected: certificate or pin must be looked at.
    Untrusted,
    /// The answer is not what this API answers: wrong address, wrong version, something in between.
    Protocol,
}

/// Whether a failed call may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// It certainly had none: it may be repeated as it is.
    No,
    /// It may have had: look before anything is repeated.
    Maybe,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The call cannot be sent as described: a mistake in this program or in a value given.
    #[error("cannot be sent: {0}")]
    BadCall(String),
    /// The body is longer than the endpoint takes.
    #[error("the body of {size} bytes is longer than the {limit} bytes this endpoint takes")]
    RequestTooLarge {
        /// How long it is.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Too many calls before this one.
    #[error("got no turn within {} s: earlier calls still run", .waited.as_secs_f32())]
    NoTurn {
        /// How long it waited.
        waited: Duration,
    },
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// TLS failed: the certificate is not trusted, or the peer speaks no TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The certificate is not a pinned one.
    #[error("the server's certificate has the fingerprint {seen}, pinned is {}: if the certificate was renewed, pin the new one",
            list(.expected))]
    Pin {
        /// The pins.
        expected: Vec<Fingerprint>,
        /// What the server showed.
        seen: Fingerprint,
    },
    /// No answer in time.
    #[error("no answer within {} s", .after.as_secs_f32())]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
    /// The connection ended before the answer was complete.
    #[error("the connection ended before the answer: {0}")]
    Dropped(String),
    /// The answer is longer than allowed.
    #[error("the answer is longer than {limit} bytes")]
    AnswerTooLarge {
        /// How long it may be.
        limit: usize,
    },
    /// A redirect; none is followed.
    #[error("answered {status}, a redirect to {}: redirects are not followed, give the final address",
            .location.as_deref().unwrap_or("nowhere"))]
    Redirect {
        /// The status.
        status: StatusCode,
        /// Where to.
        location: Option<String>,
    },
    /// An error status.
    #[error("answered {} {reason}{}", .status.as_u16(), shortened(.body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The reason phrase as sent; some servers put their message there.
        reason: String,
        /// The media type of the body, without parameters.
        content_type: Option<String>,
        /// The beginning of the body, cleaned of secrets.
        body: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Success, but the body is no JSON.
    #[error("answered {content_type} where JSON was expected{}", shortened(.start))]
    NotJson {
        /// The media type sent.
        content_type: String,
        /// How the body begins.
        start: String,
    },
    /// Success and JSON, but not of the expected shape.
    #[error("answered JSON of another shape than expected: {0}")]
    WrongShape(String),
}

/// A failed call: which one, and the [`Problem`].
#[derive(Debug)]
pub struct HttpError(Box<Failed>);

#[derive(Debug)]
struct Failed {
    place: Place,
    problem: Problem,
}

/// Which call, for texts: an endpoint's name, its address, method and path template.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) base: Url,
    pub(crate) method: Method,
    pub(crate) template: &'static str,
}

impl HttpError {
    pub(crate) fn new(place: Place, problem: Problem) -> Self {
        Self(Box::new(Failed { place, problem }))
    }

    /// What went wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The method of the call.
    pub fn method(&self) -> &Method {
        &self.0.place.method
    }

    /// The path template of the call.
    pub fn template(&self) -> &'static str {
        self.0.place.template
    }

    /// The base URL that was called.
    pub fn base(&self) -> &Url {
        &self.0.place.base
    }

    /// The call in words, for a more telling error: `POST /x at pfsense/edge (https://…)`.
    pub fn call(&self) -> String {
        self.0.place.to_string()
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        match self.0.problem {
            Problem::Status { status, .. } | Problem::Redirect { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The body of an error status, bounded and cleaned of secrets.
    pub fn body(&self) -> Option<&str> {
        match &self.0.problem {
            Problem::Status { body, .. } => Some(body),
            _ => None,
        }
    }

    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.problem {
            Problem::Status { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// Who must act.
    pub fn class(&self) -> Class {
        match &self.0.problem {
            Problem::NoTurn { .. } | Problem::Connect(_) | Problem::Timeout { .. } | Problem::Dropped(_) => {
                Class::Transient
            }
            Problem::Tls(_) | Problem::Pin { .. } => Class::Untrusted,
            Problem::BadCall(_) | Problem::RequestTooLarge { .. } => Class::Refused,
            Problem::AnswerTooLarge { .. }
            | Problem::Redirect { .. }
            | Problem::NotJson { .. }
            | Problem::WrongShape(_) => Class::Protocol,
            Problem::Status { status, .. } => match status.as_u16() {
                401 | 403 | 407 => Class::Auth,
                408 | 425 | 429 | 500.. => Class::Transient,
                400..=499 => Class::Refused,
                _ => Class::Protocol,
            },
        }
    }

    /// Whether the call may have had an effect.
    pub fn sent(&self) -> Sent {
        match &self.0.problem {
            Problem::BadCall(_)
            | Problem::RequestTooLarge { .. }
            | Problem::NoTurn { .. }
            | Problem::Connect(_)
            | Problem::Tls(_)
            | Problem::Pin { .. }
            | Problem::Redirect { .. } => Sent::No,
            // A server that says 4xx did not do it; one that says 5xx may have stopped half-way.
            Problem::Status { status, .. } if status.is_client_error() => Sent::No,
            Problem::Timeout { .. }
            | Problem::Dropped(_)
            | Problem::AnswerTooLarge { .. }
            | Problem::NotJson { .. }
            | Problem::WrongShape(_)
            | Problem::Status { .. } => Sent::Maybe,
        }
    }

    /// Whether no connection came about: another address of the same endpoint may do.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.0.problem, Problem::Connect(_))
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.place, self.0.problem)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { endpoint, base, method, template } = self;
        write!(f, "{method} {template} at {endpoint} ({})", base.as_str().trim_end_matches('/'))
    }
}

impl std::error::Error for HttpError {}

/// What a failure of the HTTP library means.
pub(crate) fn problem_of(cause: &reqwest::Error) -> Problem {
    if let Some(tls) = find_tls(cause) {
        if let rustls::Error::Other(other) = tls
            && let Some(mismatch) = other.0.downcast_ref::<PinMismatch>()
        {
            return Problem::Pin { expected: mismatch.expected.clone(), seen: mismatch.seen };
        }
        // After the handshake a TLS error is a broken connection, nothing about trust.
        if cause.is_connect() {
            return Problem::Tls(tls.to_string());
        }
    }
    if cause.is_builder() {
        return Problem::BadCall(chain(cause));
    }
    if cause.is_connect() { Problem::Connect(chain(cause)) } else { Problem::Dropped(chain(cause)) }
}

fn find_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    // An io::Error's source() skips the error it wraps.
    if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return find_tls(inner);
    }
    find_tls(error.source()?)
}

/// An error with its causes on one line, without what is already said and without the URL.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    // The outermost text is "error sending request" with the URL: it says nothing more.
    let mut texts: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() { "the HTTP library gives no reason".to_owned() } else { texts.join(": ") }
}

fn list(pins: &[Fingerprint]) -> String {
    pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// A body for a one-line message: white space folded, cut.
fn shortened(body: &str) -> String {
    const LONGEST: usize = 300;
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return String::new();
    }
    let mut cut: String = line.chars().take(LONGEST).collect();
    if cut.len() < line.len() {
        cut.push('…');
    }
    format!(": {cut}")
}
