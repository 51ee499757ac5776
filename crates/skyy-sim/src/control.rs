//! The server's own HTTP surface below `/_sim/`: faults, hooks, counters, log, state, plug.
//!
//! What it does not serve itself below `/_sim/` goes to the product, uncounted.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response as AxumResponse},
    routing::{delete, get, post},
};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    counter::{Counts, Logged},
    fault::{ActiveFault, Fault},
    hook::{ActiveHook, Hook},
    server::Inner,
};

type Shared = State<Arc<Inner>>;

/// Answers one request below `/_sim`.
pub(crate) async fn handle(inner: &Arc<Inner>, request: Request<Body>) -> Option<Response<Bytes>> {
    let router = Router::new()
        .route("/_sim", get(index))
        .route("/_sim/", get(index))
        .route("/_sim/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/_sim/faults/{id}", delete(remove_fault))
        .route("/_sim/hook", get(list_hooks).post(add_hook).delete(clear_hooks))
        .route("/_sim/counters", get(counters))
        .route("/_sim/counters/reset", post(reset_counters))
        .route("/_sim/requests", get(requests))
        .route("/_sim/state", get(snapshot).put(restore))
        .route("/_sim/unplug", post(unplug))
        .route("/_sim/plug", post(plug))
        .route("/_sim/certificate", get(certificate))
        .fallback(product)
        .with_state(Arc::clone(inner));
    let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    if answer.extensions().get::<crate::product::NoAnswer>().is_some() {
        return None;
    }
    let (parts, body) = answer.into_parts();
    Some(Response::from_parts(parts, body.collect().await.ok()?.to_bytes()))
}

async fn index() -> Json<Value> {
    Json(json!({
        "GET|POST|DELETE /_sim/faults": "faults in force; POST {method?, path?, nth?, count?, chance?, kind, ...}",
        "DELETE /_sim/faults/{id}": "takes one fault back",
        "GET|POST|DELETE /_sim/hook": "POST {method?, path?, nth?, count?, when: before|after, request: {method, path, body?, headers?}}",
        "GET /_sim/counters": "calls by method and path",
        "POST /_sim/counters/reset": "starts counting anew",
        "GET /_sim/requests": "the last requests",
        "GET|PUT /_sim/state": "the whole state",
        "POST /_sim/unplug": "{ms}: closes every connection for that long",
        "POST /_sim/plug": "ends that early",
        "GET /_sim/certificate": "the certificate under TLS, as PEM",
    }))
}

async fn list_faults(State(inner): Shared) -> Json<Vec<ActiveFault>> {
    Json(inner.faults.list())
}

async fn add_fault(State(inner): Shared, Json(fault): Json<Fault>) -> Json<Value> {
    Json(json!({"id": inner.faults.add(fault)}))
}

async fn clear_faults(State(inner): Shared) -> StatusCode {
    inner.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(inner): Shared, Path(id): Path<u64>) -> StatusCode {
    if inner.faults.remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn list_hooks(State(inner): Shared) -> Json<Vec<ActiveHook>> {
    Json(inner.hooks.list())
}

async fn add_hook(State(inner): Shared, Json(hook): Json<Hook>) -> AxumResponse {
    match inner.hooks.add(hook) {
        Ok(id) => Json(json!({"id": id})).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, reason).into_response(),
    }
}

async fn clear_hooks(State(inner): Shared) -> StatusCode {
    inner.hooks.clear();
    StatusCode::NO_CONTENT
}

async fn counters(State(inner): Shared) -> Json<Counts> {
    Json(inner.counters.counts())
}

async fn reset_counters(State(inner): Shared) -> StatusCode {
    inner.counters.reset();
    StatusCode::NO_CONTENT
}

async fn requests(State(inner): Shared) -> Json<Vec<Logged>> {
    Json(inner.counters.requests())
}

async fn snapshot(State(inner): Shared) -> Json<Value> {
    Json(inner.product.snapshot())
}

async fn restore(State(inner): Shared, Json(state): Json<Value>) -> AxumResponse {
    match inner.product.restore(state) {
        Ok(()) => {
            inner.changed();
            StatusCode::NO_CONTENT.into_response()
        }
        Err(reason) => (StatusCode::BAD_REQUEST, reason).into_response(),
    }
}

#[derive(Deserialize)]
struct Unplug {
    ms: u64,
}

async fn unplug(State(inner): Shared, Json(Unplug { ms }): Json<Unplug>) -> StatusCode {
    // New requests are refused from here on; cutting the open connections would lose this answer too, so it comes after.
    let pulled = inner.unplug(Duration::from_millis(ms));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        pulled.cancel();
    });
    StatusCode::NO_CONTENT
}

async fn plug(State(inner): Shared) -> StatusCode {
    inner.plug();
    StatusCode::NO_CONTENT
}

async fn certificate(State(inner): Shared) -> AxumResponse {
    match &inner.certificate {
        Some(certificate) => {
            ([(header::CONTENT_TYPE, "application/x-pem-file")], certificate.pem().to_owned()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "this endpoint does not speak TLS").into_response(),
    }
}

async fn product(State(inner): Shared, request: Request<Body>) -> AxumResponse {
    let changes = request.method() != http::Method::GET;
    let answer = inner.call(request).await;
    if changes {
        inner.changed();
    }
    answer.map_or_else(
        || StatusCode::BAD_GATEWAY.into_response(),
        |answer| answer.map(Body::from).into_response(),
    )
}
