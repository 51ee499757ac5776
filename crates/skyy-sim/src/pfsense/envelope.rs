//! The package's answer envelope and its errors.
//!
//! It must not know any collection; whoever refuses a request says why with an [`ApiError`].

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// A refusal in the package's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) id: &'static str,
    pub(super) message: String,
    /// The PHP process died: the answer is no envelope at all.
    pub(super) crashed: bool,
}

pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub(super) fn new(status: u16, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into(), crashed: false }
    }

    pub(super) fn bad(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, id, message)
    }

    pub(super) fn not_found(id: &Value) -> Self {
        Self::new(404, "MODEL_OBJECT_NOT_FOUND", format!("Object with ID `{}` does not exist.", plain(id)))
    }

    pub(super) fn required(field: &str) -> Self {
        Self::bad("FIELD_IS_REQUIRED", format!("Field `{field}` is required."))
    }

    /// What PHP answers when a value of the wrong type reaches a typed property.
    pub(super) fn unexpected(what: &str) -> Self {
        Self::new(500, "ENDPOINT_RECEIVED_UNEXPECTED_ERROR", what)
    }

    /// PHP's memory limit: no JSON, HTTP 500.
    pub(super) fn crash() -> Self {
        let message = "<pre>PHP ERROR: Type: 1, File: /usr/local/pkg/RESTAPI/Core/ModelSet.inc, Line: 206, \
                       Message: Allowed memory size of 536870912 bytes exhausted</pre>";
        Self { status: 500, id: "", message: message.to_owned(), crashed: true }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        if self.crashed {
            return html(self.status, self.message);
        }
        let mut response =
            envelope(self.status, self.id, &self.message.replace(['\'', '"'], "`"), &json!([]));
        if self.id == "DISPATCHER_TOO_MANY_QUEUED_PROCESSES" {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("300"));
        }
        response
    }
}

/// An answer with data.
pub(super) fn success(data: &Value) -> Response<Body> {
    envelope(200, "SUCCESS", "", data)
}

fn envelope(status: u16, id: &str, message: &str, data: &Value) -> Response<Body> {
    let phrase = match status {
        200 => "ok",
        400 => "bad request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        406 => "not acceptable",
        409 => "conflict",
        415 => "unsupported media type",
        503 => "service unavailable",
        _ => "internal server error",
    };
    let body = json!({"code": status, "status": phrase, "response_id": id, "message": message, "data": data});
    response(status, "application/json", body.to_string())
}

/// What nginx answers where the package has no endpoint.
pub(super) fn nginx_not_found() -> Response<Body> {
    let page = "<html><head><title>404 Not Found</title></head><body><center><h1>404 Not Found</h1></center><hr>\
                <center>nginx</center></body></html>\n";
    html(404, page.to_owned())
}

fn html(status: u16, page: String) -> Response<Body> {
    response(status, "text/html;charset=UTF-8", page)
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A value as PHP puts it into a text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "1".to_owned(),
        Value::Null | Value::Bool(false) => String::new(),
        other => other.to_string(),
    }
}
