//! What goes back over the wire: envelopes, error bodies, reason phrases. Knows no state.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde_json::{Map, Value, json};

/// What a handler gives.
pub(crate) type Reply = Result<Answer, Fault>;

/// A successful answer: `data` and what stands beside it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) data: Value,
    pub(crate) beside: Map<String, Value>,
}

impl Answer {
    /// An answer with more keys beside `data`.
    pub(crate) fn with(data: Value, beside: Map<String, Value>) -> Self {
        Self { data, beside }
    }
}

impl From<Value> for Answer {
    fn from(data: Value) -> Self {
        Self { data, beside: Map::new() }
    }
}

/// `{"data": null}`.
pub(crate) fn nothing() -> Reply {
    Ok(Value::Null.into())
}

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: FaultBody,
    /// How long the client waits for it.
    pub(crate) delay_ms: u64,
    /// Try again until then before giving this answer: a lock that another holds.
    pub(crate) patience_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum FaultBody {
    Empty,
    Plain(String),
    Message { message: String, errors: Option<Box<Map<String, Value>>> },
}

impl Fault {
    fn new(status: u16, reason: &str, body: FaultBody) -> Self {
        Self { status, reason: reason.to_string(), body, delay_ms: 0, patience_ms: 0 }
    }

    /// No body, only a status line.
    pub(crate) fn bare(status: u16, reason: &str) -> Self {
        Self::new(status, reason, FaultBody::Empty)
    }

    /// A body of plain text.
    pub(crate) fn plain(status: u16, reason: &str, text: &str) -> Self {
        Self::new(status, reason, FaultBody::Plain(text.to_string()))
    }

    /// A Perl `die`: 500 and the text.
    pub(crate) fn die(text: impl AsRef<str>) -> Self {
        Self::status(500, text)
    }

    /// Any status with a message.
    pub(crate) fn status(status: u16, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        Self::new(status, text, FaultBody::Message { message: format!("{text}\n"), errors: None })
    }

    /// 403 with what is missing: `/vms/100, VM.Audit`.
    pub(crate) fn perm(what: impl AsRef<str>) -> Self {
        match what.as_ref() {
            "" => Self::status(403, "Permission check failed"),
            what => Self::status(403, format!("Permission check failed ({what})")),
        }
    }

    /// 400 about one parameter.
    pub(crate) fn param(name: &str, text: impl Into<String>) -> Self {
        Self::params(Map::from_iter([(name.to_string(), Value::String(text.into()))]))
    }

    /// 400 about parameters.
    pub(crate) fn params(errors: Map<String, Value>) -> Self {
        let reason = "Parameter verification failed.";
        Self::new(
            400,
            reason,
            FaultBody::Message { message: format!("{reason}\n"), errors: Some(Box::new(errors)) },
        )
    }

    /// 501; this one message has no line end.
    pub(crate) fn unimplemented(verb: &str, path: &str) -> Self {
        let text = format!("Method '{verb} {path}' not implemented");
        Self::new(501, &text, FaultBody::Message { message: text.clone(), errors: None })
    }

    /// The same, but only after the client has waited.
    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }

    /// The same, but only if it still holds after that time.
    pub(crate) fn unless_within(mut self, ms: u64) -> Self {
        self.patience_ms = ms;
        self
    }
}

/// How the client wants its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formatter {
    Json,
    ExtJs,
}

/// Makes the HTTP response.
pub(crate) fn respond(reply: Reply, formatter: Formatter) -> Response {
    match reply {
        Ok(answer) => {
            let mut body = Map::from_iter([("data".to_string(), answer.data)]);
            body.extend(answer.beside);
            if formatter == Formatter::ExtJs {
                body.insert("success".into(), json!(1));
            }
            build(200, "", Some(("application/json;charset=UTF-8", Value::Object(body).to_string())))
        }
        Err(fault) => refuse(fault, formatter),
    }
}

fn refuse(fault: Fault, formatter: Formatter) -> Response {
    match fault.body {
        FaultBody::Empty => build(fault.status, &fault.reason, None),
        FaultBody::Plain(text) => build(fault.status, &fault.reason, Some(("", text))),
        FaultBody::Message { message, errors } => {
            let mut body = json!({"data": null, "message": message});
            if let Some(errors) = errors {
                body["errors"] = Value::Object(*errors);
            }
            // The web interface's formatter hides the status in the body; a bad login alone keeps it.
            if formatter == Formatter::ExtJs && fault.status != 401 {
                body["success"] = json!(0);
                body["status"] = json!(fault.status);
                return build(200, "", Some(("application/json;charset=UTF-8", body.to_string())));
            }
            build(fault.status, &fault.reason, Some(("application/json;charset=UTF-8", body.to_string())))
        }
    }
}

fn build(status: u16, reason: &str, body: Option<(&'static str, String)>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    if status >= 400 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((content_type, text)) = body {
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        *response.body_mut() = Body::from(text);
    }
    let line = reason.lines().next().unwrap_or_default();
    if !line.is_empty()
        && let Ok(phrase) = ReasonPhrase::try_from(line.as_bytes())
    {
        response.extensions_mut().insert(phrase);
    }
    response
}
