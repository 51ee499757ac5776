//! What a failed call to Proxmox VE means for an object.

use skyy_api::Reason;
use skyy_http::Class;
use skyy_proxmox::{Problem, ProxmoxError};
use skyy_runtime::Failure;

use crate::endpoint;

/// What a failed call means for an object of this cluster.
pub fn failure(cluster: &str, error: &ProxmoxError) -> Failure {
    let text = format!("{cluster}: {error}");
    match error.problem() {
        Problem::Unauthenticated(_) | Problem::Held(_) => Failure::terminal(
            Reason::LoginRefused,
            format!("{text}. Not trying again until the Secret changes or a long pause has passed"),
        ),
        Problem::Forbidden { .. } | Problem::RootOnly(_) => Failure::terminal(Reason::PrivilegeMissing, text),
        Problem::NoQuorum(_) => Failure::transient(Reason::NoQuorum, text),
        Problem::NodeUnreachable { .. } => Failure::transient(Reason::NodeOffline, text),
        Problem::ParameterInvalid { .. }
        | Problem::TooLarge(_)
        | Problem::Protected(_)
        | Problem::NotImplemented(_) => Failure::terminal(Reason::Refused, text),
        Problem::Transport(cause) => endpoint::failure(cause),
        _ => match error.class() {
            Class::Transient => Failure::transient(Reason::EndpointUnavailable, text),
            Class::Auth => Failure::terminal(Reason::LoginRefused, text),
            Class::Untrusted => Failure::terminal(Reason::CertificateMismatch, text),
            Class::Protocol => Failure::transient(Reason::EndpointNotUnderstood, text),
            // A refusal in words that nobody knows yet may pass: a person reads it meanwhile.
            Class::Refused => Failure::transient(Reason::Refused, text),
        },
    }
}
