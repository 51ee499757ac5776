//! What a refusal means. Proxmox VE answers nearly everything with 500 and a sentence; this is the one place that reads
//! the sentences. Each pattern is as exact as the recorded text allows: a pattern that is too wide turns an outage into
//! "the guest is gone".
//!
//! Must not know HTTP clients or which call was made.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use skyy_http::{Class, HttpError, Sent};

use crate::ids::{GuestAt, GuestKind, NodeName, Vmid};
use crate::lenient::read_text;

/// Why a call, or the task it started, did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The credentials were refused.
    #[error("{0}")]
    Unauthenticated(AuthFailure),
    /// Nothing was sent: the credentials were refused before, and asking again may lock the account or ban the address.
    #[error("not asked: {0} before; trying again only with new credentials or after a pause")]
    Held(AuthFailure),
    /// A privilege is missing. Never a sign that something does not exist.
    #[error("{}", forbidden(.path.as_deref(), .any_of, .text))]
    Forbidden {
        /// The path the privilege is needed on.
        path: Option<String>,
        /// The privileges of which one would do.
        any_of: Vec<String>,
        /// The refusal as sent.
        text: String,
    },
    /// Only a login as root@pam may do it; no token can.
    #[error("{0} (only root@pam with a password may; no API token can)")]
    RootOnly(String),
    /// The guest is not on that node. It may be on another.
    #[error("guest {kind}/{vmid} is not on {node}")]
    GuestMissing {
        /// The node that was asked.
        node: NodeName,
        /// The kind that was asked for.
        kind: GuestKind,
        /// The guest.
        vmid: Vmid,
    },
    /// The guest to be cloned is not on that node.
    #[error("the guest to clone, {vmid}, is not on {node}")]
    CloneSourceMissing {
        /// The node that was asked.
        node: NodeName,
        /// The source.
        vmid: Vmid,
    },
    /// The id is taken.
    #[error("the id {vmid} is taken{}", .node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default())]
    AlreadyExists {
        /// The id.
        vmid: Vmid,
        /// The node that has it, if it was said.
        node: Option<NodeName>,
    },
    /// An operation holds the guest.
    #[error("the guest is locked ({lock})")]
    Locked {
        /// The operation: `clone`, `backup`, `migrate`, …
        lock: String,
    },
    /// Somebody else held a lock file or a storage for too long.
    #[error("{0}")]
    LockTimeout(String),
    /// The configuration changed since it was read.
    #[error("the configuration was changed by somebody else since it was read")]
    DigestMismatch,
    /// The cluster has no quorum: configuration cannot be written.
    #[error("the cluster has no quorum ({0})")]
    NoQuorum(String),
    /// The node that should answer cannot be reached from the endpoint.
    #[error("the node cannot be reached: {text}")]
    NodeUnreachable {
        /// 595 (no connection), 596 (lost after it), 599, or 500 for a name that cannot be looked up.
        status: u16,
        /// What was said.
        text: String,
    },
    /// Parameters were refused.
    #[error("{}", parameters(.errors))]
    ParameterInvalid {
        /// What is wrong, by parameter.
        errors: BTreeMap<String, String>,
    },
    /// The node does not know the task (any more): its log was rotated away, or it is another node's.
    #[error("the node does not know this task")]
    TaskUnknown,
    /// This version has no such call.
    #[error("{0}; this version of Proxmox VE may not have it")]
    NotImplemented(String),
    /// The body is longer than the API takes (512 KiB).
    #[error("{0}")]
    TooLarge(String),
    /// The guest must run for this.
    #[error("{0}")]
    NotRunning(String),
    /// The guest runs already.
    #[error("{0}")]
    AlreadyRunning(String),
    /// The guest is protected from removal.
    #[error("{0}")]
    Protected(String),
    /// The guest agent is not configured or does not answer.
    #[error("{0}")]
    NoAgent(String),
    /// Earlier calls to the same node still run; nothing was sent.
    #[error("got no turn: earlier calls to {0} still run")]
    Busy(String),
    /// No connection, no answer, no trust, no sense in the answer.
    #[error("{0}")]
    Transport(HttpError),
    /// Any other refusal.
    #[error("answered {status}: {text}")]
    Other {
        /// The status; 0 for the end of a task.
        status: u16,
        /// What was said.
        text: String,
    },
}

/// Which check the credentials failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// There were none, or in a form the server does not know.
    NoTicket,
    /// The token or ticket was refused.
    Refused,
    /// User name or password were refused.
    Login,
    /// The CSRF token was refused.
    Csrf,
    /// The account asks for a second factor, which an operator cannot give.
    SecondFactor,
    /// Another reason.
    Other(String),
}

impl AuthFailure {
    fn of(text: &str) -> Self {
        match text {
            "No ticket" => Self::NoTicket,
            "Authentication failed!" | "permission denied - invalid PVE ticket" => Self::Refused,
            "authentication failure" => Self::Login,
            "Permission denied - invalid csrf token" => Self::Csrf,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTicket => f.write_str("the server saw no credentials (No ticket)"),
            Self::Refused => f.write_str("the token or ticket was refused"),
            Self::Login => f.write_str("user name or password were refused"),
            Self::Csrf => f.write_str("the CSRF token was refused"),
            Self::SecondFactor => {
                f.write_str("the account asks for a second factor; use an API token instead")
            }
            Self::Other(text) => write!(f, "the credentials were refused: {text}"),
        }
    }
}

fn forbidden(path: Option<&str>, any_of: &[String], text: &str) -> String {
    match path {
        Some(path) if !any_of.is_empty() => {
            format!("the privilege {} is missing on {path}", any_of.join(" or "))
        }
        _ => text.to_owned(),
    }
}

fn parameters(errors: &BTreeMap<String, String>) -> String {
    if errors.is_empty() {
        return "the parameters were refused".to_owned();
    }
    errors.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Problem {
    /// Reads an answer that is not a success. `reason` is the reason phrase: the only text where the body is empty.
    pub(crate) fn of_answer(status: u16, reason: &str, body: &str) -> Self {
        let json = serde_json::from_str::<Value>(body).ok();
        let message = json.as_ref().and_then(|json| json.get("message")).and_then(read_text);
        let text = fold(message.as_deref().unwrap_or(reason));
        let errors = json.as_ref().map(errors).unwrap_or_default();
        match status {
            401 => Self::Unauthenticated(AuthFailure::of(&text)),
            403 => forbidden_of(text),
            400 if errors.get("upid").is_some_and(|why| why == "no such task") => Self::TaskUnknown,
            400 if errors.values().any(|why| why == "Only root may use this option.") => {
                Self::RootOnly(parameters(&errors))
            }
            400 => Self::ParameterInvalid {
                errors: if errors.is_empty() { one("request", text) } else { errors },
            },
            501 if text == "for data too large" => {
                Self::TooLarge("the request is longer than the 512 KiB the API takes".to_owned())
            }
            501 => Self::NotImplemented(text),
            595..=599 => Self::NodeUnreachable { status, text },
            500 => match Self::of_text(&text) {
                Self::Other { text, .. } => Self::Other { status, text },
                Self::NodeUnreachable { text, .. } => Self::NodeUnreachable { status, text },
                known => known,
            },
            _ => Self::Other { status, text },
        }
    }

    /// Reads a sentence, be it of an answer 500 or of a task's end: the same refusal comes in both.
    pub(crate) fn of_text(text: &str) -> Self {
        let text = fold(text);
        if let Some(problem) =
            guest_missing(&text).or_else(|| clone_source_missing(&text)).or_else(|| taken(&text))
        {
            return problem;
        }
        if let Some(lock) = between(&text, " is locked (", ")")
            && (text.starts_with("VM ") || text.starts_with("CT "))
        {
            return Self::Locked { lock: lock.to_owned() };
        }
        let has = |part: &str| text.contains(part);
        if (has("can't lock file") && has("got timeout")) || has("got lock request timeout") {
            return Self::LockTimeout(text);
        }
        if has("checksum mismatch (file change by other user?)")
            || has("detected modified configuration - file changed by other user?")
        {
            return Self::DigestMismatch;
        }
        let read_only =
            text.starts_with("unable to open file '/etc/pve/") && text.ends_with("Permission denied");
        if has("cluster not ready - no quorum?") || text.ends_with("error: no quorum!") || read_only {
            return Self::NoQuorum(text);
        }
        if text.starts_with("hostname lookup '") && has("' failed") {
            return Self::NodeUnreachable { status: 0, text };
        }
        if text.starts_with("only root can set '") {
            return Self::RootOnly(text);
        }
        if text.ends_with("protection mode enabled") {
            return Self::Protected(text);
        }
        if text == "No QEMU guest agent configured" || has("QEMU guest agent is not running") {
            return Self::NoAgent(text);
        }
        match guest_then(&text) {
            Some("is not running" | "not running") => Self::NotRunning(text),
            Some("already running") => Self::AlreadyRunning(text),
            _ => Self::Other { status: 0, text },
        }
    }

    /// Who must act before it makes sense to try again.
    pub fn class(&self) -> Class {
        match self {
            Self::Locked { .. }
            | Self::LockTimeout(_)
            | Self::DigestMismatch
            | Self::NoQuorum(_)
            | Self::NodeUnreachable { .. }
            | Self::Busy(_)
            | Self::TaskUnknown
            | Self::NoAgent(_)
            // A 500 that nobody here knows may pass or not: trying again slowly finds out.
            | Self::Other { status: 500.. | 0 | 408 | 425 | 429, .. } => Class::Transient,
            Self::Unauthenticated(_) | Self::Held(_) | Self::Forbidden { .. } | Self::RootOnly(_) => Class::Auth,
            Self::GuestMissing { .. }
            | Self::CloneSourceMissing { .. }
            | Self::AlreadyExists { .. }
            | Self::ParameterInvalid { .. }
            | Self::NotImplemented(_)
            | Self::TooLarge(_)
            | Self::NotRunning(_)
            | Self::AlreadyRunning(_)
            | Self::Protected(_) => Class::Refused,
            Self::Transport(error) => error.class(),
            // The API gives no other status: something else answers there.
            Self::Other { .. } => Class::Protocol,
        }
    }

    /// Whether a write that ended so may have had an effect.
    pub fn sent(&self) -> Sent {
        match self {
            Self::Transport(error) => error.sent(),
            // 595 is a connection that never came about; 596 and later come after it. A name that cannot be looked up
            // is no connection either.
            Self::NodeUnreachable { status: 0 | 500 | 595, .. } => Sent::No,
            // Seen: the disk was already grown or gone when the configuration could not be written.
            Self::NoQuorum(text) if text.ends_with("Permission denied") => Sent::Maybe,
            Self::NodeUnreachable { .. } | Self::Other { .. } => Sent::Maybe,
            _ => Sent::No,
        }
    }

    /// Whether it says that exactly this guest is not on exactly this node.
    pub fn is_missing(&self, at: &GuestAt) -> bool {
        matches!(self, Self::GuestMissing { node, kind, vmid } if (node, *kind, *vmid) == (&at.node, at.kind, at.vmid))
    }

    /// Whether a lock stood in the way: trying again with jitter is the cure.
    pub fn is_lock(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::LockTimeout(_))
    }
}

/// One line, bounded.
fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(1000).collect()
}

fn one(name: &str, why: String) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), why)])
}

fn errors(body: &Value) -> BTreeMap<String, String> {
    let fields = body.get("errors").and_then(Value::as_object);
    fields
        .into_iter()
        .flatten()
        .filter_map(|(name, why)| Some((name.clone(), fold(&read_text(why)?))))
        .collect()
}

fn forbidden_of(text: String) -> Problem {
    let inside = text.strip_prefix("Permission check failed (").and_then(|rest| rest.strip_suffix(')'));
    let (path, any_of) = match inside.and_then(|inside| inside.split_once(", ")) {
        Some((path, privileges)) if path.starts_with('/') => {
            (Some(path.to_owned()), privileges.split('|').map(str::to_owned).collect())
        }
        _ => (None, Vec::new()),
    };
    Problem::Forbidden { path, any_of, text }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// `Configuration file 'nodes/N/qemu-server/V.conf' does not exist`, whole and nothing around it.
fn guest_missing(text: &str) -> Option<Problem> {
    let path = text.strip_prefix("Configuration file 'nodes/")?.strip_suffix("' does not exist")?;
    let mut parts = path.split('/');
    let (node, folder, file) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = match folder {
        "qemu-server" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ => return None,
    };
    let vmid = file.strip_suffix(".conf")?.parse().ok()?;
    parts.next().is_none().then_some(())?;
    Some(Problem::GuestMissing { node: NodeName::new(node).ok()?, kind, vmid })
}

fn clone_source_missing(text: &str) -> Option<Problem> {
    let rest = text.strip_prefix("unable to find configuration file for VM ");
    let rest = rest.or_else(|| text.strip_prefix("unable to find configuration file for CT "))?;
    let (vmid, rest) = rest.split_once(" on node '")?;
    let node = NodeName::new(rest.strip_suffix('\'')?).ok()?;
    Some(Problem::CloneSourceMissing { node, vmid: vmid.parse().ok()? })
}

/// `unable to create VM 200 - VM 200 already exists on node 'pve1'`, `unable to create VM 230: config file already exists`.
fn taken(text: &str) -> Option<Problem> {
    let rest =
        text.strip_prefix("unable to create VM ").or_else(|| text.strip_prefix("unable to create CT "))?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, why) = rest.split_at_checked(end)?;
    let vmid: Vmid = number.parse().ok()?;
    if why == ": config file already exists" {
        return Some(Problem::AlreadyExists { vmid, node: None });
    }
    let why = why.strip_prefix(" - VM ").or_else(|| why.strip_prefix(" - CT "))?;
    let rest = why.strip_prefix(number)?.strip_prefix(" already exists on node '")?;
    Some(Problem::AlreadyExists { vmid, node: NodeName::new(rest.strip_suffix('\'')?).ok() })
}

/// What follows `VM 100 ` or `CT 100 `.
fn guest_then(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("VM ").or_else(|| text.strip_prefix("CT "))?;
    let (vmid, rest) = rest.split_once(' ')?;
    vmid.chars().all(|c| c.is_ascii_digit()).then_some(rest)
}

#[cfg(test)]
mod tests;
