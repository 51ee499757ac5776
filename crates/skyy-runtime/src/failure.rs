//! Why a pass did not reach its end, and who must act next.

use std::time::Duration;

use skyy_api::Reason;

/// Who must act next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Time heals: try again, each time later.
    Transient,
    /// Another object must change: it is watched, and looked at again at a slow pace.
    Waiting,
    /// A person must act.
    Terminal,
}

/// Why a pass did not reach its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Who must act next.
    pub class: Class,
    /// The condition's reason.
    pub reason: Reason,
    /// One sentence for a person: what is, why, and what next. Never a secret.
    pub message: String,
    /// Not before this much time has passed, where the endpoint said so.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Time heals.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self { class: Class::Transient, reason, message: message.into(), retry_after: None }
    }
    /// Another object must change.
    pub fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self { class: Class::Waiting, reason, message: message.into(), retry_after: None }
    }
    /// A person must act.
    pub fn terminal(reason: Reason, message: impl Into<String>) -> Self {
        Self { class: Class::Terminal, reason, message: message.into(), retry_after: None }
    }
    /// The same, but not before this much time has passed.
    #[must_use]
    pub fn not_before(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        // kube's Display says its sources already.
        let message = format!("the Kubernetes API server did not do it: {}", brief(&error));
        match &error {
            kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => {
                Self::terminal(Reason::ApiServerError, message)
            }
            _ => Self::transient(Reason::ApiServerError, message),
        }
    }
}

/// kube prints an API error twice, once for people and once for programmers; people come first.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_api_servers_words_are_said_once_and_what_only_a_person_can_cure_is_terminal() {
        for (code, reason, class) in [
            (403, "Forbidden", Class::Terminal),
            (422, "Invalid", Class::Terminal),
            (404, "NotFound", Class::Transient),
            (409, "Conflict", Class::Transient),
            (500, "InternalError", Class::Transient),
            (503, "ServiceUnavailable", Class::Transient),
        ] {
            let status = Status::failure("these words", reason).with_code(code);
            let failure = Failure::from(kube::Error::Api(status.boxed()));
            assert_eq!((failure.class, failure.reason), (class, Reason::ApiServerError), "{code}");
            assert_eq!(failure.to_string().matches("these words").count(), 1, "{failure}");
        }
    }
}
