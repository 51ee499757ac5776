//! Who we are to the cluster: a token, or a ticket that is bought with a password and renewed.
//!
//! A refusal is remembered: until new credentials come (a new [`Cluster`](crate::Cluster)) or a pause has passed, nothing
//! more is sent. Must not know calls other than the login.

use std::time::Duration;

use serde::Deserialize;
use skyy_http::{Call, Secret};
use tokio::time::Instant;

use crate::problem::AuthFailure;

/// Credentials.
#[derive(Clone, Debug)]
pub enum Auth {
    /// An API token: the normal case.
    Token {
        /// `USER@REALM!NAME`.
        id: String,
        /// The token's secret.
        secret: Secret,
    },
    /// A user's password: only for what no token may do (joining a cluster).
    Ticket {
        /// `USER@REALM`.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// How long nothing is sent after a refusal.
pub(crate) const HOLD: Duration = Duration::from_mins(10);
/// A ticket lives two hours; it is renewed well before, and given up as soon as it might be too old.
const RENEW_AFTER: Duration = Duration::from_hours(1);
const GIVE_UP_AFTER: Duration = Duration::from_mins(115);

/// A ticket with the token that writes need beside it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    cookie: Secret,
    csrf: Secret,
    since: Instant,
}

/// What `/access/ticket` answers.
#[derive(Deserialize)]
pub(crate) struct TicketAnswer {
    #[serde(default)]
    ticket: String,
    #[serde(default, rename = "CSRFPreventionToken")]
    csrf: String,
    #[serde(default, rename = "NeedTFA")]
    second_factor: Option<serde_json::Value>,
}

impl TicketAnswer {
    pub(crate) fn ticket(self, now: Instant) -> Result<Ticket, AuthFailure> {
        let second_factor = self.second_factor.as_ref().and_then(crate::lenient::read_flag).unwrap_or(false);
        if second_factor || self.ticket.starts_with("PVE:!tfa!") {
            return Err(AuthFailure::SecondFactor);
        }
        if self.ticket.is_empty() || self.csrf.is_empty() {
            return Err(AuthFailure::Other("the login gave no ticket".to_owned()));
        }
        Ok(Ticket { cookie: Secret::new(self.ticket), csrf: Secret::new(self.csrf), since: now })
    }
}

/// What a refusal leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) failure: AuthFailure,
    pub(crate) until: Instant,
}

/// What is known about our standing.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) hold: Option<Hold>,
}

impl Standing {
    /// The refusal that still keeps us from asking.
    pub(crate) fn held(&mut self, now: Instant) -> Option<AuthFailure> {
        self.hold = self.hold.take().filter(|hold| now < hold.until);
        self.hold.as_ref().map(|hold| hold.failure.clone())
    }

    pub(crate) fn refused(&mut self, failure: AuthFailure, now: Instant) {
        self.ticket = None;
        self.hold = Some(Hold { failure, until: now + HOLD });
    }
}

/// The next step towards credentials.
pub(crate) enum Step {
    /// Use this.
    Use(Ticket),
    /// Log in with this password: the real one, or the ticket that is about to end.
    LogIn(Secret),
}

impl Ticket {
    /// What to do, given what there is.
    pub(crate) fn step(current: Option<&Self>, password: &Secret, now: Instant) -> Step {
        match current {
            Some(ticket) if now.duration_since(ticket.since) < RENEW_AFTER => Step::Use(ticket.clone()),
            Some(ticket) if now.duration_since(ticket.since) < GIVE_UP_AFTER => {
                Step::LogIn(ticket.cookie.clone())
            }
            _ => Step::LogIn(password.clone()),
        }
    }

    /// Whether this is the very ticket that a call was refused with.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.cookie == other.cookie
    }
}

/// The login call.
pub(crate) fn login(user: &str, password: &Secret) -> Call {
    let body = serde_json::json!({"username": user, "password": password.expose()});
    Call::post("/api2/json/access/ticket").json(&body).secret(password).changes_nothing()
}

/// Credentials in the shape of one call.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    Token { id: String, secret: Secret },
    Ticket(Ticket),
}

impl Credentials {
    /// Puts them into a call. The CSRF token goes only with a ticket, and only where something is written.
    pub(crate) fn put_into(&self, call: Call, is_read: bool) -> Call {
        match self {
            Self::Token { id, secret } => {
                call.secret_header("authorization", &format!("PVEAPIToken={id}="), secret)
            }
            Self::Ticket(Ticket { cookie, csrf, since: _ }) => {
                let call = call.secret_header("cookie", "PVEAuthCookie=", cookie);
                if is_read { call } else { call.secret_header("csrfpreventiontoken", "", csrf) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(since: Instant) -> Ticket {
        Ticket { cookie: Secret::new("PVE:1"), csrf: Secret::new("c"), since }
    }

    #[test]
    fn a_refusal_is_remembered_for_a_while() {
        let now = Instant::now();
        let mut standing = Standing { ticket: Some(ticket(now)), hold: None };
        assert_eq!(standing.held(now), None);
        standing.refused(AuthFailure::Refused, now);
        assert!(standing.ticket.is_none());
        assert_eq!(standing.held(now + HOLD - Duration::from_secs(1)), Some(AuthFailure::Refused));
        assert_eq!(standing.held(now + HOLD), None);
        assert_eq!(standing.held(now), None, "once over, it is over");
    }

    #[test]
    fn a_ticket_is_renewed_with_itself_before_it_ends_and_never_after() {
        let (now, password) = (Instant::now(), Secret::new("hunter2"));
        let check = |age: Duration, expected: &str| {
            let shown = match Ticket::step(Some(&ticket(now)), &password, now + age) {
                Step::Use(_) => "use".to_owned(),
                Step::LogIn(with) => with.expose().to_owned(),
            };
            assert_eq!(shown, expected, "{age:?}");
        };
        check(Duration::ZERO, "use");
        check(Duration::from_mins(59), "use");
        check(RENEW_AFTER, "PVE:1");
        check(GIVE_UP_AFTER, "hunter2");
        assert!(GIVE_UP_AFTER < Duration::from_hours(2));
        assert!(matches!(Ticket::step(None, &password, now), Step::LogIn(with) if with == password));
    }
}
