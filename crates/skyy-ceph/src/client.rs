//! The client: the managers of one cluster, and the way of every call to the active one.
//!
//! Must not know pools or health.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use skyy_http::{Answer, Call, HttpClient, HttpError, Limits, Problem, Secret, StatusCode};

use crate::error::CephError;
use crate::session::{Credentials, Session};
use crate::version::{Version, Versions, media_type};

/// How long no login is tried after a refused one: ten refusals disable an account.
const HOLD: Duration = Duration::from_hours(12);

/// How often one call may be sent on to another manager.
const HOPS: usize = 6;

/// A client of one Ceph cluster. Clones share connections, login and the knowledge of the active manager.
#[derive(Clone, Debug)]
pub struct Ceph {
    http: HttpClient,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    versions: Versions,
}

/// The limits that suit this API, for the [`Endpoint`](skyy_http::Endpoint).
pub fn limits() -> Limits {
    Limits {
        // Calls at once are slower than one after the other.
        concurrency: 2,
        // A handler waits up to five seconds by itself; a manager that takes over needs some, too.
        total: Duration::from_secs(45),
        idle: Duration::from_secs(5),
        ..Limits::default()
    }
}

impl Ceph {
    /// A client with these credentials. Sends nothing.
    pub fn new(http: HttpClient, credentials: Credentials) -> Self {
        Self::with_hold(http, credentials, HOLD)
    }

    /// As [`new`](Self::new), with another time to stay away after a refused login.
    pub fn with_hold(http: HttpClient, credentials: Credentials, hold: Duration) -> Self {
        let shared = Shared { session: Session::new(credentials, hold), versions: Versions::default() };
        Self { http, shared: Arc::new(shared) }
    }

    /// The HTTP client, for its counters.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Takes these credentials from now on and says whether they differ from the ones before. Only others lift the hold
    /// after a refused login.
    pub fn set_credentials(&self, credentials: Credentials) -> bool {
        self.shared.session.change(credentials)
    }

    /// Lifts the hold after a refused login: something else that made the login fail has changed (the account was
    /// enabled).
    pub fn credentials_changed(&self) {
        self.shared.session.lift();
    }

    /// Sends a call to the active manager, logged in, in a version that both sides understand.
    ///
    /// What was certainly not done is sent again where there is hope: to the manager that a standby names, after a new
    /// login, or in the version that the manager has; each at most once, managers apart. A read is also tried again
    /// after the opaque 500 that newer releases give to a token they cannot read.
    pub(crate) async fn ask(&self, call: Call) -> Result<Answer, CephError> {
        let mut logged_in_again = false;
        let mut version_learned = false;
        loop {
            let token = self.token().await?;
            let version = self.shared.versions.of(call.method(), call.template());
            let sent = call.clone().accept(media_type(version)).bearer(&token);
            let error = match self.to_active(sent).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match &error {
                CephError::TokenRefused { .. } if !logged_in_again => {
                    logged_in_again = true;
                    self.shared.session.drop_token(&token);
                }
                CephError::Server { status: 500, .. } if !logged_in_again && call.method().is_safe() => {
                    logged_in_again = true;
                    self.shared.session.drop_token(&token);
                }
                CephError::Version { detail, .. }
                    if !version_learned && self.learn(&call, version, detail) =>
                {
                    version_learned = true;
                }
                _ => return Err(error),
            }
        }
    }

    fn learn(&self, call: &Call, asked: Version, detail: &str) -> bool {
        self.shared.versions.learn(call.method(), call.template(), asked, detail)
    }

    /// The token, after a login where there is none. Callers at once share one login.
    async fn token(&self) -> Result<Secret, CephError> {
        let known = || self.shared.session.token().map_err(|hold| CephError::LoginHeld { hold });
        if let Some(token) = known()? {
            return Ok(token);
        }
        let _turn = self.shared.session.login.lock().await;
        if let Some(token) = known()? {
            return Ok(token);
        }
        let with = self.shared.session.credentials();
        let token = self.log_in(&with).await?;
        self.shared.session.accepted(&with, token.clone());
        Ok(token)
    }

    async fn log_in(&self, with: &Credentials) -> Result<Secret, CephError> {
        #[derive(Deserialize)]
        struct LoggedIn {
            token: String,
            #[serde(default, rename = "pwdUpdateRequired")]
            password_expired: bool,
        }
        let Credentials { username, password } = with;
        let call = Call::post("/api/auth")
            .accept(media_type((1, 0)))
            .json(&json!({"username": username, "password": password.expose()}))
            .secret(password)
            .changes_nothing();
        let answer = match self.to_active(call).await {
            Ok(answer) => answer,
            Err(CephError::Refused { call, code, .. }) if code == "invalid_credentials" => {
                self.shared.session.refused(with);
                return Err(CephError::LoginRefused { call, username: username.clone() });
            }
            Err(CephError::TokenRefused { call } | CephError::Forbidden { call }) => {
                self.shared.session.refused(with);
                return Err(CephError::LoginRefused { call, username: username.clone() });
            }
            Err(other) => return Err(other),
        };
        let LoggedIn { token, password_expired } = answer.json()?;
        if password_expired {
            self.shared.session.refused(with);
            return Err(CephError::PasswordExpired { call: answer.call(), username: username.clone() });
        }
        Ok(Secret::new(token))
    }

    /// Sends a call, to the manager that a standby names where one answers. A standby has done nothing.
    async fn to_active(&self, call: Call) -> Result<Answer, CephError> {
        let mut asked = BTreeSet::new();
        loop {
            let (standby, call_text, base) = match self.http.send(call.clone()).await {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT || is_json(&answer) => {
                    return Ok(answer);
                }
                Ok(answer) if says_nobody(&answer) => (Standby::Nobody, answer.call(), answer.base().clone()),
                Ok(answer) => return Err(answer.not_json().into()),
                Err(error) => match error.problem() {
                    Problem::Redirect { location: Some(url), .. } => {
                        (Standby::Names(url.clone()), error.call(), error.base().clone())
                    }
                    _ => return Err(self.failed(error)),
                },
            };
            asked.insert(base.clone());
            match standby {
                Standby::Names(url)
                    if asked.len() <= HOPS && !asked.iter().any(|base| same(base.as_str(), &url)) =>
                {
                    if let Err(refusal) = self.http.prefer(&url) {
                        let detail = format!("a standby names {url}, which is not called: {refusal}");
                        return Err(CephError::NoActiveManager { call: call_text, detail });
                    }
                }
                // It names one that has been asked, or nobody: they are changing over, or another one knows better.
                Standby::Names(_) | Standby::Nobody => {
                    self.http.prefer_next(&base);
                    if asked.contains(&self.http.base()) || asked.len() > HOPS {
                        let detail = "the managers name each other or nobody; one takes over within seconds"
                            .to_owned();
                        return Err(CephError::NoActiveManager { call: call_text, detail });
                    }
                }
            }
        }
    }

    fn failed(&self, error: HttpError) -> CephError {
        let base = error.base().clone();
        let error = CephError::of_call(error);
        if let CephError::Http(cause) = &error
            && cause.status().is_some_and(|status| status.is_server_error())
        {
            // An error page and no error of the API: perhaps a standby that is set to answer so. Ask another next time.
            self.http.prefer_next(&base);
        }
        error
    }
}

/// What a manager that is not the active one answers.
enum Standby {
    Names(String),
    Nobody,
}

/// With nobody active a standby says so on a page, with status 200.
fn says_nobody(answer: &Answer) -> bool {
    String::from_utf8_lossy(answer.bytes()).contains("No active ceph-mgr")
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn is_json(answer: &Answer) -> bool {
    answer.media_type().is_some_and(|media_type| media_type.ends_with("json"))
}
