//! A scripted server on loopback: it answers what a test says and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skyy_http::{Endpoint, HttpClient, Limits};
use skyy_proxmox::{Auth, Cluster, limits};
use tokio::sync::Semaphore;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    reason: &'static str,
    body: String,
    content_type: &'static str,
    held_back: bool,
}

impl Reply {
    pub(crate) fn data(data: Value) -> Self {
        Self::text(200, "OK", json!({ "data": data }).to_string())
    }

    pub(crate) fn text(status: u16, reason: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            body: body.into(),
            content_type: "application/json;charset=UTF-8",
            held_back: false,
        }
    }

    /// Waits until the test lets it through.
    pub(crate) fn held_back(self) -> Self {
        Self { held_back: true, ..self }
    }

    pub(crate) fn html(status: u16, body: &str) -> Self {
        Self { content_type: "text/html", ..Self::text(status, "OK", body) }
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    /// Replies that are held back wait for a permit here.
    gate: Semaphore,
    /// How many calls to a path are under way, and how many ever were at once.
    under_way: Mutex<BTreeMap<String, (usize, usize)>>,
}

/// A running server; it stops when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).expect("requests are UTF-8");
    let path = uri.path().to_owned();
    let seen = Seen { method, path, query: uri.query().unwrap_or_default().to_owned(), headers, body };
    let reply = (shared.script)(&seen);
    let path = seen.path.clone();
    {
        let mut under_way = shared.under_way.lock().unwrap();
        let (now, most) = under_way.entry(path.clone()).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }
    shared.seen.lock().unwrap().push(seen);
    if reply.held_back {
        shared.gate.acquire().await.expect("the gate is never closed").forget();
    }
    if let Some((now, _)) = shared.under_way.lock().unwrap().get_mut(&path) {
        *now -= 1;
    }
    let status = StatusCode::from_u16(reply.status).expect("a status");
    let mut response = (status, [("content-type", reply.content_type)], reply.body).into_response();
    response.extensions_mut().insert(hyper::ext::ReasonPhrase::from_static(reply.reason.as_bytes()));
    response
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_gated(script, 0).await
    }

    /// Lets this many held-back replies through from the start.
    pub(crate) async fn start_gated(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        permits: usize,
    ) -> Self {
        let (seen, under_way, gate) = (Mutex::default(), Mutex::default(), Semaphore::new(permits));
        let shared = Arc::new(Shared { script: Box::new(script), seen, gate, under_way });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        // Proxmox VE takes 512 KiB; this server takes anything, so that a limit seen is the client's.
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, shared, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub(crate) fn most_under_way(&self) -> BTreeMap<String, usize> {
        let under_way = self.shared.under_way.lock().unwrap();
        under_way.iter().map(|(path, (_, most))| (path.clone(), *most)).collect()
    }

    pub(crate) fn let_through(&self, answers: usize) {
        self.shared.gate.add_permits(answers);
    }

    pub(crate) fn client(&self) -> HttpClient {
        client(&self.url)
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(vec![self.client()], token())
    }
}

pub(crate) fn client(url: &str) -> HttpClient {
    client_with(url, limits())
}

pub(crate) fn client_with(url: &str, limits: Limits) -> HttpClient {
    Endpoint::new("proxmox", "lab").url(url).allow_plain_http(true).limits(limits).build().expect("a client")
}

pub(crate) fn token() -> Auth {
    Auth::Token { id: "root@pam!ops".to_owned(), secret: "0123-secret".into() }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}
