//! An API server of which each test writes the answers: calls in, answers out. Knows no kind.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::Value;

use crate::server::lock;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

/// One answer.
pub(crate) enum Answer {
    Json(u16, Value),
    /// What a watch says before it ends.
    Lines(Vec<Value>),
    /// Nothing, for as long as the test lasts.
    Silence,
}

/// Serves by this function until the test ends; the list is of the calls so far.
pub(crate) fn serve(
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (Client, Arc<Mutex<Vec<Asked>>>) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some((request, send)) = handle.next_request().await {
            let (head, body) = request.into_parts();
            let bytes = body.collect_bytes().await.expect("a body");
            let asked = Asked {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let (code, text) = match answer(&asked) {
                Answer::Json(code, value) => (code, value.to_string()),
                Answer::Lines(lines) => {
                    (200, lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect())
                }
                Answer::Silence => {
                    unanswered.push(send);
                    lock(&seen).push(asked);
                    continue;
                }
            };
            lock(&seen).push(asked);
            let response = Response::builder().status(code).body(Body::from(text.into_bytes()));
            send.send_response(response.expect("a response"));
        }
    });
    (Client::new(service, "default"), calls)
}
