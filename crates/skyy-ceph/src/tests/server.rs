//! A manager that gives prepared answers in order and keeps what it was sent. Logins succeed unless prepared otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use skyy_http::Endpoint;
use tokio::task::JoinHandle;

use crate::{Ceph, Credentials, limits};

/// One prepared answer.
#[derive(Clone)]
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    location: Option<String>,
    body: String,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let content_type =
            if status < 300 { "application/vnd.ceph.api.v1.0+json" } else { "application/json" };
        let body = if status == 204 { String::new() } else { body.to_string() };
        Self { status, content_type, location: None, body }
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/html;charset=utf-8", location: None, body: body.into() }
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self { location: Some(to.to_owned()), ..Self::html(303, "elsewhere") }
    }

    /// An error of the web framework.
    pub(super) fn refused(status: u16, detail: &str) -> Self {
        Self::json(status, &json!({"status": format!("{status} X"), "detail": detail, "request_id": "1"}))
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) call: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
}

#[derive(Clone, Default)]
struct Shared {
    logins: Arc<Mutex<VecDeque<Reply>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    tokens: Arc<Mutex<usize>>,
}

pub(super) struct Server {
    pub(super) url: String,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Shared::default();
        shared.replies.lock().unwrap().extend(replies);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    pub(super) fn client(&self) -> Ceph {
        client_of([self.url.as_str()])
    }

    /// What the next logins get instead of a token.
    pub(super) fn then_login(&self, reply: Reply) {
        self.shared.logins.lock().unwrap().push_back(reply);
    }

    pub(super) fn then(&self, reply: Reply) {
        self.shared.replies.lock().unwrap().push_back(reply);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// `METHOD path?query` of all requests.
    pub(super) fn calls(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.call).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn client_of<'a>(urls: impl IntoIterator<Item = &'a str>) -> Ceph {
    let http = Endpoint::new("ceph", "c").urls(urls).allow_plain_http(true).limits(limits()).build().unwrap();
    Ceph::new(http, Credentials { username: "admin".into(), password: "s3cret-pw".into() })
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let call = format!("{} {}", parts.method, parts.uri);
    let is_login = call == "POST /api/auth";
    shared.seen.lock().unwrap().push(Seen {
        call,
        headers: parts.headers,
        body: (!bytes.is_empty()).then(|| serde_json::from_slice(&bytes).unwrap()),
    });
    let prepared = if is_login { &shared.logins } else { &shared.replies };
    let prepared = prepared.lock().unwrap().pop_front();
    let reply = match prepared {
        Some(reply) => reply,
        None if is_login => {
            let mut tokens = shared.tokens.lock().unwrap();
            *tokens += 1;
            Reply::json(201, &json!({"token": format!("jwt-{tokens}"), "pwdUpdateRequired": false}))
        }
        None => Reply::html(599, "the script is at its end"),
    };
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    response.headers_mut().insert("content-type", reply.content_type.parse().unwrap());
    // A client that keeps this would send it instead of its token.
    response.headers_mut().insert("set-cookie", "token=stale.stale.stale; path=/".parse().unwrap());
    if let Some(location) = reply.location {
        response.headers_mut().insert("location", location.parse().unwrap());
    }
    response
}
