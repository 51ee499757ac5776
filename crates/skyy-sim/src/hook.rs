//! Hooks: a stored request runs against the product right before or after a client's request.
//!
//! So a test lets "a person" edit between a client's read and its write, at the one moment that matters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::matching::{Match, Tally};

/// A request to be run at the right moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The client's requests that set it off.
    #[serde(flatten)]
    pub on: Match,
    /// Whether it runs before or after them.
    #[serde(default)]
    pub when: When,
    /// What is run.
    pub request: Stored,
}

/// On which side of the client's request a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the product sees the client's request.
    #[default]
    Before,
    /// After the product has executed the client's request, before the client has the answer.
    After,
}

/// A request as a hook keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The method.
    pub method: String,
    /// The path, with a query if one is wanted.
    pub path: String,
    /// The JSON body, none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Headers; without a login of its own it uses the client's.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub headers: std::collections::BTreeMap<String, String>,
}

impl Stored {
    /// A request with the client's own login.
    pub fn new(method: &str, path: &str, body: Option<Value>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            body,
            headers: std::collections::BTreeMap::new(),
        }
    }

    /// The request to run; the text says what of it is no HTTP.
    pub(crate) fn build(&self, client: &HeaderMap) -> Result<Request<Body>, String> {
        let body = self.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.path.as_str())
            .body(body)
            .map_err(|error| format!("hook request {} {}: {error}", self.method, self.path))?;
        let headers = request.headers_mut();
        for login in ["authorization", "x-api-key", "cookie", "csrfpreventiontoken"] {
            if let Some(value) = client.get(login) {
                headers.insert(HeaderName::from_static(login), value.clone());
            }
        }
        if self.body.is_some() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.headers {
            let parsed = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
            let (Ok(name), Ok(value)) = parsed else {
                return Err(format!("hook request header {name} is malformed"));
            };
            headers.insert(name, value);
        }
        Ok(request)
    }
}

/// A hook in force, how often it ran, and what came of the last run.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveHook {
    /// The number to remove it by.
    pub id: u64,
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// How often it fitted and ran.
    #[serde(flatten)]
    pub tally: Tally,
    /// The status that the last run was answered with.
    pub last_status: Option<u16>,
}

/// The hooks in force at one endpoint. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hooks(Arc<Mutex<(u64, Vec<ActiveHook>)>>);

impl Hooks {
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<ActiveHook>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a hook in force and gives its number. The text says what of its request is no HTTP.
    pub fn add(&self, hook: Hook) -> Result<u64, String> {
        hook.request.build(&HeaderMap::new())?;
        let mut inner = self.lock();
        inner.0 += 1;
        let id = inner.0;
        inner.1.push(ActiveHook { id, hook, tally: Tally::default(), last_status: None });
        Ok(id)
    }

    /// Takes all hooks back.
    pub fn clear(&self) {
        self.lock().1.clear();
    }

    /// All hooks with their tallies, spent ones included.
    pub fn list(&self) -> Vec<ActiveHook> {
        self.lock().1.clone()
    }

    /// Notes a client's request and gives what to run around it.
    pub(crate) fn due(&self, method: &str, path: &str) -> Vec<(u64, When, Stored)> {
        let mut due = Vec::new();
        for active in &mut self.lock().1 {
            if active.hook.on.fits(method, path) && active.tally.note(&active.hook.on) {
                due.push((active.id, active.hook.when, active.hook.request.clone()));
            }
        }
        due
    }

    pub(crate) fn ran(&self, id: u64, status: u16) {
        if let Some(active) = self.lock().1.iter_mut().find(|active| active.id == id) {
            active.last_status = Some(status);
        }
    }
}
