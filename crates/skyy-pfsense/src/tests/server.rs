//! A server that gives prepared answers in order and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use skyy_http::Endpoint;
use tokio::task::JoinHandle;

use crate::{Auth, PfSense, limits};

/// One prepared answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) retry_after: Option<&'static str>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json".into(), retry_after: None, body: body.to_string() }
    }

    pub(super) fn data(data: Value) -> Self {
        Self::json(
            200,
            &json!({"code": 200, "status": "ok", "response_id": "SUCCESS", "message": "", "data": data}),
        )
    }

    pub(super) fn error(status: u16, response_id: &str, message: &str) -> Self {
        Self::json(
            status,
            &json!({"code": status, "status": "x", "response_id": response_id, "message": message, "data": []}),
        )
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/html".into(), retry_after: None, body: body.into() }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
}

#[derive(Clone, Default)]
struct Shared {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(super) struct Server {
    url: String,
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

    pub(super) fn client(&self) -> PfSense {
        PfSense::new(self.http(), Auth::ApiKey("k3y".into()))
    }

    pub(super) fn http(&self) -> skyy_http::HttpClient {
        Endpoint::new("pfsense", "fw").url(&self.url).allow_plain_http(true).limits(limits()).build().unwrap()
    }

    pub(super) fn then(&self, reply: Reply) {
        self.shared.replies.lock().unwrap().push_back(reply);
    }

    /// Forgets the answers not yet given.
    pub(super) fn clear(&self) {
        self.shared.replies.lock().unwrap().clear();
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// `METHOD path` of all requests.
    pub(super) fn calls(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = to_bytes(body, usize::MAX).await.unwrap();
    shared.seen.lock().unwrap().push(Seen {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: (!bytes.is_empty()).then(|| serde_json::from_slice(&bytes).unwrap()),
    });
    let reply = shared.replies.lock().unwrap().pop_front();
    let reply = reply.unwrap_or_else(|| Reply::html(599, "the script is at its end"));
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    response.headers_mut().insert("content-type", reply.content_type.parse().unwrap());
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    response
}
