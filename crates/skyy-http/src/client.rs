//! Sends calls: one turn, one address, one answer; repeats only what is safe to repeat.
//!
//! Must not know any provider.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, beginning, media_type};
use crate::call::Call;
use crate::endpoint::{Endpoint, Limits, SetupError, checked_url};
use crate::error::{HttpError, Place, Problem, problem_of};
use crate::observe::{CallObserver, CallRecord, Counters, Outcome};
use crate::secret::redact;

/// How many base URLs are learned beside the configured ones.
const LEARNED: usize = 8;

/// How much of an error's body is kept.
const ERROR_BODY: usize = 64 << 10;

/// A client of one endpoint. Clones share connections, limits and counters.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    product: &'static str,
    name: String,
    bases: Mutex<Bases>,
    plain_http: bool,
    limits: Limits,
    turns: Semaphore,
    http: reqwest::Client,
    observer: Option<Arc<dyn CallObserver>>,
    counters: Counters,
}

struct Bases {
    list: Vec<Url>,
    configured: usize,
    preferred: usize,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpClient({} {} at {})", self.0.product, self.0.name, self.base())
    }
}

impl HttpClient {
    pub(crate) fn assemble(endpoint: Endpoint, bases: Vec<Url>, http: reqwest::Client) -> Self {
        let Endpoint { product, name, urls: _, trust: _, plain_http, limits, observer } = endpoint;
        Self(Arc::new(Inner {
            product,
            name,
            bases: Mutex::new(Bases { configured: bases.len(), list: bases, preferred: 0 }),
            plain_http,
            limits,
            turns: Semaphore::new(limits.concurrency.max(1)),
            http,
            observer,
            counters: Counters::default(),
        }))
    }

    /// The endpoint's name, as in logs.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All base URLs: the configured ones, then the learned ones.
    pub fn bases(&self) -> Vec<Url> {
        self.lock_bases().list.clone()
    }

    /// The base URL in use now.
    pub fn base(&self) -> Url {
        let bases = self.lock_bases();
        // The index is only ever taken from this list's length, which is never nothing.
        bases.list[bases.preferred].clone()
    }

    /// Uses this base URL from now on. One that is not known yet, as a member of a cluster names another, is learned: it
    /// must be encrypted like the configured ones, and must prove itself by the same [`Trust`](crate::Trust). Unencrypted
    /// ones are learned on loopback only, where they are allowed at all.
    pub fn prefer(&self, url: &str) -> Result<(), SetupError> {
        let url = checked_url(url, self.0.plain_http)?;
        let mut bases = self.lock_bases();
        if let Some(position) = bases.list.iter().position(|base| *base == url) {
            bases.preferred = position;
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if url.scheme() != "https" && !loopback {
            return Err(SetupError::PlainHttp(url.into()));
        }
        if bases.list.len() >= bases.configured + LEARNED {
            let oldest = bases.configured;
            bases.list.remove(oldest);
        }
        bases.list.push(url);
        bases.preferred = bases.list.len() - 1;
        Ok(())
    }

    /// Uses the base URL after `from` from now on; does nothing where another caller has already moved on.
    pub fn prefer_next(&self, from: &Url) {
        let mut bases = self.lock_bases();
        if bases.list[bases.preferred] == *from {
            bases.preferred = (bases.preferred + 1) % bases.list.len();
        }
    }

    fn lock_bases(&self) -> MutexGuard<'_, Bases> {
        // Each change is complete before the lock goes: a panic elsewhere leaves it sound.
        self.0.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base URLs in the order to try them.
    fn in_order(&self) -> Vec<Url> {
        let bases = self.lock_bases();
        let (before, from) = bases.list.split_at(bases.preferred);
        from.iter().chain(before).cloned().collect()
    }

    /// The limits it keeps.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Sends a call. A 2xx answer is `Ok`, all else an error.
    ///
    /// Where no connection comes about, the other base URLs are tried once each, whatever the method: nothing was sent.
    /// A GET whose connection ends before the answer begins (a pooled one gone stale) is sent once more. Nothing else is
    /// ever repeated.
    pub async fn send(&self, call: Call) -> Result<Answer, HttpError> {
        let began = Instant::now();
        let limit = call.timeout.unwrap_or(self.0.limits.total);
        let outcome = self.send_until(&call, began + limit, limit).await;
        self.report(&call, &outcome, began.elapsed());
        outcome
    }

    async fn send_until(&self, call: &Call, deadline: Instant, limit: Duration) -> Result<Answer, HttpError> {
        let fail = |base: &Url, problem| Err(HttpError::new(self.place(call, base), problem));
        let target = match call.target() {
            Ok(target) => target,
            Err(why) => return fail(&self.base(), Problem::BadCall(redact(&why, &call.secrets))),
        };
        let size = call.body.as_ref().map_or(0, |body| body.bytes.len());
        if let Some(limit) = self.0.limits.request_bytes
            && size > limit
        {
            return fail(&self.base(), Problem::RequestTooLarge { size, limit });
        }
        // The semaphore is never closed: only the time limit can end the wait.
        let Ok(Ok(_turn)) = timeout_at(deadline, self.0.turns.acquire()).await else {
            return fail(&self.base(), Problem::NoTurn { waited: limit });
        };

        let bases = self.in_order();
        let mut tried = 0;
        let mut repeated = false;
        loop {
            let base = &bases[tried];
            let error = match timeout_at(deadline, self.attempt(call, base, &target)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Attempt::Ended(error))) => return Err(error),
                Ok(Err(Attempt::NoAnswer(error))) => error,
                Err(_) => return fail(base, Problem::Timeout { after: limit }),
            };
            if error.is_unreachable() && tried + 1 < bases.len() {
                self.prefer_next(base);
                tried += 1;
            } else if matches!(error.problem(), Problem::Dropped(_))
                && call.method == Method::GET
                && !repeated
            {
                repeated = true;
            } else {
                return Err(error);
            }
        }
    }

    async fn attempt(&self, call: &Call, base: &Url, target: &str) -> Result<Answer, Attempt> {
        let place = self.place(call, base);
        let counters = &self.0.counters;
        let url = format!("{}{target}", base.as_str().trim_end_matches('/'));
        let mut request = self.0.http.request(call.method.clone(), url).header(ACCEPT, call.accept.as_ref());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, body.content_type).body(body.bytes.clone());
            counters.bytes_sent.fetch_add(body.bytes.len() as u64, Ordering::Relaxed);
        }
        counters.requests.fetch_add(1, Ordering::Relaxed);
        if call.writes {
            counters.writes.fetch_add(1, Ordering::Relaxed);
        }

        let clean = |problem| match problem {
            Problem::Connect(why) => Problem::Connect(redact(&why, &call.secrets)),
            Problem::Tls(why) => Problem::Tls(redact(&why, &call.secrets)),
            Problem::Dropped(why) => Problem::Dropped(redact(&why, &call.secrets)),
            Problem::BadCall(why) => Problem::BadCall(redact(&why, &call.secrets)),
            other => other,
        };
        let response = request
            .send()
            .await
            .map_err(|cause| Attempt::NoAnswer(HttpError::new(place.clone(), clean(problem_of(&cause)))))?;

        let status = response.status();
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned())
            .or_else(|| status.canonical_reason().map(str::to_owned))
            .unwrap_or_default();
        let headers = response.headers().clone();
        let body = self.read_body(response).await;
        let ended = |problem| Attempt::Ended(HttpError::new(place.clone(), clean(problem)));
        let text = |name: http::HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);

        if status.is_redirection() {
            let location = text(LOCATION).map(|location| redact(&location, &call.secrets));
            return Err(ended(Problem::Redirect { status, location }));
        }
        if !status.is_success() {
            // The status says more than a body that cannot be read.
            let body = redact(&beginning(&body.unwrap_or_default(), ERROR_BODY), &call.secrets);
            return Err(ended(Problem::Status {
                status,
                reason: redact(&reason, &call.secrets),
                content_type: media_type(&headers),
                body,
                retry_after: text(RETRY_AFTER)
                    .and_then(|value| value.trim().parse().ok())
                    .map(Duration::from_secs),
            }));
        }
        let body = body.map_err(ended)?;
        Ok(Answer { status, headers, body, place, secrets: call.secrets.clone() })
    }

    async fn read_body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Problem> {
        let limit = self.0.limits.response_bytes;
        let too_large = || Problem::AnswerTooLarge { limit };
        let announced = response.content_length().map(usize::try_from);
        if announced.is_some_and(|length| length.is_ok_and(|length| length > limit) || length.is_err()) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(too_large()),
                Ok(Some(chunk)) => {
                    self.0.counters.bytes_received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(body),
                Err(cause) => return Err(Problem::Dropped(crate::error::chain(&cause))),
            }
        }
    }

    fn place(&self, call: &Call, base: &Url) -> Place {
        Place {
            endpoint: self.0.name.clone(),
            base: base.clone(),
            method: call.method.clone(),
            template: call.template,
        }
    }

    fn report(&self, call: &Call, outcome: &Result<Answer, HttpError>, took: Duration) {
        let (word, status) = match outcome {
            Ok(answer) => (Outcome::Ok, Some(answer.status)),
            Err(error) => {
                self.0.counters.failures.fetch_add(1, Ordering::Relaxed);
                (Outcome::of(error), error.status())
            }
        };
        let received = match outcome {
            Ok(answer) => answer.body.len(),
            Err(error) => error.body().map_or(0, str::len),
        };
        let sent = call.body.as_ref().map_or(0, |body| body.bytes.len());
        tracing::debug!(
            product = self.0.product,
            endpoint = self.0.name,
            method = %call.method,
            path = call.template,
            status = status.map(|status| StatusCode::as_u16(&status)),
            outcome = ?word,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            sent,
            received,
            "call"
        );
        if let Some(observer) = &self.0.observer {
            observer.finished(&CallRecord {
                product: self.0.product,
                method: call.method.clone(),
                template: call.template,
                outcome: word,
                took,
                bytes_sent: sent as u64,
                bytes_received: received as u64,
            });
        }
    }
}

/// How far a failed attempt got: only what has no answer at all may be repeated.
enum Attempt {
    NoAnswer(HttpError),
    Ended(HttpError),
}
