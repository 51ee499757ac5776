//! Sends calls to a cluster through whichever endpoint answers: fail-over, turns per node, credentials.
//!
//! Must not know what any call means.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use skyy_http::{Answer, Call, Class, HttpClient, HttpError, Limits, Secret, Sent};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::ask::Ask;
use crate::auth::{Auth, Credentials, Standing, Step, Ticket, TicketAnswer, login};
use crate::error::ProxmoxError;
use crate::ids::NodeName;
use crate::problem::{AuthFailure, Problem};
use crate::upid::Upid;

/// Calls under way to one node at most: its daemons have three workers, and each call blocks one.
const TURNS_PER_NODE: usize = 3;
/// The limit for reads that the endpoint answers by itself, so that a silent endpoint is left in good time. Calls that
/// are passed on to a node need longer: a dead one takes 30 s to be noticed.
const OWN_READ: Duration = Duration::from_secs(15);

/// The limits a client of Proxmox VE must have: it closes idle connections after 5 s, passes calls on for up to 30 s, and
/// takes 512 KiB.
pub fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(40),
        idle: Duration::from_secs(4),
        response_bytes: 32 << 20,
        request_bytes: Some(512 << 10),
        // The true limit is per node, in here.
        concurrency: 64,
    }
}

/// A client of one cluster. Clones share connections, turns and credentials.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    endpoints: Vec<Member>,
    preferred: AtomicUsize,
    auth: Auth,
    standing: AsyncMutex<Standing>,
    /// Whether the endpoint has taken the credentials. Until then one call goes at a time, so that wrong ones are refused
    /// once and not once per caller.
    proven: AtomicBool,
    proving: AsyncMutex<()>,
    turns: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

struct Member {
    client: HttpClient,
    /// Why the last call that tried it did not get through, if it did not.
    failure: Mutex<Option<(Class, String)>>,
}

/// How an endpoint did when it was last tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Its address.
    pub url: String,
    /// Why it did not answer, and who must act; `None` when it answered or was not tried yet. For a certificate that does
    /// not match its pin the text shows both fingerprints.
    pub failure: Option<(Class, String)>,
    /// Whether calls go to it first.
    pub preferred: bool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.endpoints.iter().map(|member| &member.client)).finish()
    }
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Cluster {
    /// A client that speaks to any of these endpoints, the first one first. They should have [`limits`]. New credentials
    /// mean a new client. Without an endpoint every call fails.
    pub fn new(endpoints: Vec<HttpClient>, auth: Auth) -> Self {
        let member = |client| Member { client, failure: Mutex::default() };
        Self(Arc::new(Inner {
            endpoints: endpoints.into_iter().map(member).collect(),
            preferred: AtomicUsize::new(0),
            auth,
            standing: AsyncMutex::default(),
            proven: AtomicBool::new(false),
            proving: AsyncMutex::default(),
            turns: Mutex::default(),
        }))
    }

    /// Who we are, as task lists name it: `USER@REALM`, with a token `USER@REALM!NAME`. For [`FindTask`](crate::FindTask).
    pub fn user(&self) -> &str {
        match &self.0.auth {
            Auth::Token { id, secret: _ } => id,
            Auth::Ticket { user, password: _ } => user,
        }
    }

    /// How the endpoints did when they were last tried.
    pub fn endpoints(&self) -> Vec<EndpointHealth> {
        let preferred = self.0.preferred.load(Ordering::Relaxed);
        let health = |(index, member): (usize, &Member)| EndpointHealth {
            url: member.client.base().to_string(),
            failure: locked(&member.failure).clone(),
            preferred: index == preferred,
        };
        self.0.endpoints.iter().enumerate().map(health).collect()
    }

    /// Why nothing is sent at present, where credentials were refused.
    pub async fn held(&self) -> Option<AuthFailure> {
        self.0.standing.lock().await.held(Instant::now())
    }

    /// The requests and writes of all endpoints together.
    pub fn requests(&self) -> (u64, u64) {
        let counters = self.0.endpoints.iter().map(|member| member.client.counters().snapshot());
        counters.fold((0, 0), |(requests, writes), count| (requests + count.requests, writes + count.writes))
    }

    /// Sends a call and reads `data`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ProxmoxError> {
        Ok(self.ask_whole::<Envelope<T>>(ask).await?.data)
    }

    /// Sends a call and reads the whole body.
    pub(crate) async fn ask_whole<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ProxmoxError> {
        let failed = |problem| ProxmoxError::new(ask.operation.clone(), problem);
        let answer = self.send(&ask).await.map_err(failed)?;
        answer.json().map_err(|error| failed(Problem::Transport(error)))
    }

    /// Sends a call whose answer says nothing.
    pub(crate) async fn tell(&self, ask: Ask) -> Result<(), ProxmoxError> {
        self.ask::<serde::de::IgnoredAny>(ask).await.map(drop)
    }

    /// Sends a call that starts a task.
    pub(crate) async fn start_task(&self, ask: Ask) -> Result<Upid, ProxmoxError> {
        self.ask(ask).await
    }

    async fn send(&self, ask: &Ask) -> Result<Answer, Problem> {
        let _turn = self.turn(ask).await?;
        let _alone = self.proof().await?;
        let mut renewed = false;
        loop {
            let credentials = self.credentials().await?;
            let outcome = self.send_with(ask, &credentials).await;
            // Any other answer means that the credentials were looked at and taken.
            let refused = matches!(outcome, Err(Problem::Unauthenticated(_)));
            if !refused && !matches!(outcome, Err(Problem::Transport(_))) {
                self.0.proven.store(true, Ordering::Relaxed);
            }
            let problem = match outcome {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            let Problem::Unauthenticated(failure) = &problem else { return Err(problem) };
            self.0.proven.store(false, Ordering::Relaxed);
            let mut standing = self.0.standing.lock().await;
            // Tickets end, also before their time (the key they are signed with changes). A 401 comes before anything is
            // done, so that the call may be made again with a new one, once.
            if let Credentials::Ticket(used) = &credentials
                && !renewed
            {
                standing.ticket = standing.ticket.take().filter(|current| !current.is(used));
                renewed = true;
            } else {
                standing.refused(failure.clone(), Instant::now());
                return Err(problem);
            }
        }
    }

    /// The right to be the one call that tries credentials nobody has taken yet; `None` once they were taken.
    async fn proof(&self) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, Problem> {
        if self.0.proven.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match timeout(self.limit(), self.0.proving.lock()).await {
            Ok(_) if self.0.proven.load(Ordering::Relaxed) => Ok(None),
            Ok(alone) => Ok(Some(alone)),
            Err(_) => Err(Problem::Busy("the endpoint".to_owned())),
        }
    }

    fn limit(&self) -> Duration {
        self.0.endpoints.first().map_or(OWN_READ, |member| member.client.limits().total)
    }

    /// One turn at the node that will do the work, or at the endpoint when that does it.
    async fn turn(&self, ask: &Ask) -> Result<OwnedSemaphorePermit, Problem> {
        let name = ask.node.as_ref().map_or("the endpoint", NodeName::as_str).to_owned();
        let semaphore = {
            let mut turns = locked(&self.0.turns);
            Arc::clone(turns.entry(name.clone()).or_insert_with(|| Arc::new(Semaphore::new(TURNS_PER_NODE))))
        };
        match timeout(self.limit(), semaphore.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            // The semaphore is never closed, so this is the time limit.
            _ => Err(Problem::Busy(name)),
        }
    }

    async fn credentials(&self) -> Result<Credentials, Problem> {
        let mut standing = self.0.standing.lock().await;
        if let Some(failure) = standing.held(Instant::now()) {
            return Err(Problem::Held(failure));
        }
        let (user, password) = match &self.0.auth {
            Auth::Token { id, secret } => {
                return Ok(Credentials::Token { id: id.clone(), secret: secret.clone() });
            }
            Auth::Ticket { user, password } => (user, password),
        };
        // The lock is held while logging in: one login, however many wait for it.
        let problem = match Ticket::step(standing.ticket.as_ref(), password, Instant::now()) {
            Step::Use(ticket) => return Ok(Credentials::Ticket(ticket)),
            Step::LogIn(with) => match self.log_in(user, &with).await {
                Ok(ticket) => return Ok(Credentials::Ticket(standing.ticket.insert(ticket).clone())),
                // A ticket that is no longer taken as a password is no refusal of the password itself.
                Err(Problem::Unauthenticated(_)) if with != *password => {
                    match self.log_in(user, password).await {
                        Ok(ticket) => return Ok(Credentials::Ticket(standing.ticket.insert(ticket).clone())),
                        Err(problem) => problem,
                    }
                }
                Err(problem) => problem,
            },
        };
        if let Problem::Unauthenticated(failure) = &problem {
            standing.refused(failure.clone(), Instant::now());
        }
        Err(problem)
    }

    async fn log_in(&self, user: &str, password: &Secret) -> Result<Ticket, Problem> {
        let secrets = std::slice::from_ref(password);
        let answer = self.through_endpoints(&login(user, password), Retry::UnlessSent, secrets).await?;
        let envelope: Envelope<TicketAnswer> = answer.json().map_err(Problem::Transport)?;
        envelope.data.ticket(Instant::now()).map_err(Problem::Unauthenticated)
    }

    async fn send_with(&self, ask: &Ask, credentials: &Credentials) -> Result<Answer, Problem> {
        let mut call = credentials.put_into(ask.call(), ask.is_read());
        let retry = match (ask.is_read(), ask.node.is_some()) {
            (false, _) => Retry::UnlessSent,
            (true, true) => Retry::UnlessSlow,
            (true, false) => {
                call = call.timeout(OWN_READ.min(self.limit()));
                Retry::Always
            }
        };
        self.through_endpoints(&call, retry, ask.secrets()).await
    }

    /// Tries the endpoints in turn, beginning with the one that last worked.
    async fn through_endpoints(
        &self,
        call: &Call,
        retry: Retry,
        secrets: &[Secret],
    ) -> Result<Answer, Problem> {
        let members = &self.0.endpoints;
        let first = self.0.preferred.load(Ordering::Relaxed);
        let mut last = None;
        for step in 0..members.len() {
            let index = (first + step) % members.len();
            let Some(member) = members.get(index) else { break };
            let outcome = member.client.send(call.clone()).await.and_then(json_only);
            *locked(&member.failure) = outcome.as_ref().err().and_then(endpoint_failure);
            match outcome {
                Ok(answer) => {
                    self.0.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if retry.allows(&error) => {
                    tracing::debug!(%error, "trying the next endpoint");
                    // The first failure that concerns trust is what a person must see, not that the others are down.
                    if last.as_ref().is_none_or(|kept: &HttpError| kept.class() != Class::Untrusted) {
                        last = Some(error);
                    }
                }
                Err(error) => return Err(problem_of(error, secrets)),
            }
        }
        Err(last.map_or_else(
            || Problem::Other { status: 0, text: "no endpoint is configured".to_owned() },
            Problem::Transport,
        ))
    }
}

/// A 200 with a page instead of JSON comes from something else at that address.
fn json_only(answer: Answer) -> Result<Answer, HttpError> {
    let media_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|media_type| media_type.starts_with("application/json")) {
        answer.json::<serde::de::IgnoredAny>()?;
    }
    Ok(answer)
}

/// When the next endpoint may be asked the same.
#[derive(Clone, Copy)]
enum Retry {
    /// A write: only when nothing was sent.
    UnlessSent,
    /// A read that is passed on to a node: not after a timeout, which is more likely that node's.
    UnlessSlow,
    /// A read that the endpoint answers itself.
    Always,
}

impl Retry {
    fn allows(self, error: &HttpError) -> bool {
        use skyy_http::Problem as Http;
        match error.problem() {
            // Nothing another endpoint could do better; an answer is an answer.
            Http::BadCall(_)
            | Http::RequestTooLarge { .. }
            | Http::NoTurn { .. }
            | Http::AnswerTooLarge { .. }
            | Http::WrongShape(_)
            | Http::Status { .. } => false,
            Http::Timeout { .. } => matches!(self, Self::Always),
            _ => error.sent() == Sent::No || !matches!(self, Self::UnlessSent),
        }
    }
}

/// What a failure says about the endpoint itself, as opposed to the call.
fn endpoint_failure(error: &HttpError) -> Option<(Class, String)> {
    use skyy_http::Problem as Http;
    match error.problem() {
        Http::Connect(_)
        | Http::Tls(_)
        | Http::Pin { .. }
        | Http::Timeout { .. }
        | Http::Dropped(_)
        | Http::Redirect { .. }
        | Http::NotJson { .. } => Some((error.class(), error.problem().to_string())),
        _ => None,
    }
}

fn problem_of(error: HttpError, secrets: &[Secret]) -> Problem {
    match error.problem() {
        skyy_http::Problem::Status { status, reason, body, .. } => {
            Problem::of_answer(status.as_u16(), reason, &without(body, secrets))
        }
        skyy_http::Problem::RequestTooLarge { size, .. } => {
            Problem::TooLarge(format!("the request has {size} bytes, the API takes 512 KiB"))
        }
        _ => Problem::Transport(error),
    }
}

/// The body without secrets inside its texts. What is echoed as it was sent is already gone; what is echoed *within* a
/// JSON text is escaped once more, and must be looked for after the text is read.
fn without(body: &str, secrets: &[Secret]) -> String {
    fn clean(value: Value, hidden: &[String]) -> Value {
        match value {
            Value::String(text) => {
                Value::String(hidden.iter().fold(text, |text, secret| text.replace(secret, "***")))
            }
            Value::Array(items) => Value::Array(items.into_iter().map(|item| clean(item, hidden)).collect()),
            Value::Object(fields) => {
                Value::Object(fields.into_iter().map(|(key, value)| (key, clean(value, hidden))).collect())
            }
            other => other,
        }
    }
    let plain = secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty());
    let forms = plain.flat_map(|secret| {
        let json = Value::from(secret).to_string();
        [json.get(1..json.len() - 1).unwrap_or_default().to_owned(), secret.to_owned()]
    });
    let hidden: Vec<String> = forms.filter(|form| !form.is_empty()).collect();
    match serde_json::from_str::<Value>(body) {
        Ok(json) if !hidden.is_empty() => clean(json, &hidden).to_string(),
        _ => body.to_owned(),
    }
}

/// A lock that a panic elsewhere cannot poison: what it guards is always whole.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
