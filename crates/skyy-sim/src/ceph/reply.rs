//! What the simulated manager answers: status, content type, body, and its three shapes of error.
//!
//! Knows nothing of the cluster's state.

use serde_json::{Value, json};

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// The body of an answer, and with it its content type.
#[derive(Debug)]
pub(super) enum Body {
    /// Of the endpoint's own media type.
    Versioned(Value),
    /// An error of the framework or the dashboard: plain `application/json`.
    Plain(Value),
    /// What a standby says.
    Html(String),
    /// 204.
    Empty,
    /// The connection breaks without an answer.
    Dropped,
}

impl Reply {
    fn with(status: u16, body: Body) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn ok(value: Value) -> Self {
        Self::with(200, Body::Versioned(value))
    }

    /// A list of which `total` entries exist.
    pub(super) fn page(value: Value, total: usize) -> Self {
        Self { headers: vec![("x-total-count", total.to_string())], ..Self::ok(value) }
    }

    pub(super) fn created(value: Value) -> Self {
        Self::with(201, Body::Versioned(value))
    }

    /// The work goes on: found by name and metadata, there is no id.
    pub(super) fn accepted(name: &str, metadata: &Value) -> Self {
        Self::with(202, Body::Versioned(json!({ "name": name, "metadata": metadata })))
    }

    pub(super) fn no_content() -> Self {
        Self::with(204, Body::Empty)
    }

    pub(super) fn dropped() -> Self {
        Self::with(200, Body::Dropped)
    }

    pub(super) fn redirect(to: &str) -> Self {
        let page = format!("This resource can be found at <a href=\"{to}\">{to}</a>.");
        Self { headers: vec![("location", to.to_owned())], ..Self::with(303, Body::Html(page)) }
    }

    pub(super) fn html(page: &str) -> Self {
        Self::with(200, Body::Html(page.to_owned()))
    }

    /// The web framework's error.
    pub(super) fn http_error(status: u16, detail: &str) -> Self {
        let body = json!({ "status": format!("{status} {}", phrase(status)), "detail": detail, "request_id": uuid() });
        Self::with(status, Body::Plain(body))
    }

    pub(super) fn unauthorized() -> Self {
        Self::http_error(401, "You are not authorized to access that resource")
    }

    /// What an exception that nobody caught becomes: it tells nothing.
    pub(super) fn opaque() -> Self {
        Self::http_error(
            500,
            "The server encountered an unexpected condition which prevented it from fulfilling the request.",
        )
    }

    pub(super) fn no_route(path: &str) -> Self {
        let mut reply = Self::http_error(404, &format!("The path '{path}' was not found."));
        reply.headers.push(("content-language", "en-US".to_owned()));
        reply.headers.push(("cache-control", "no-cache".to_owned()));
        reply
    }

    /// A thing that is not there, as most of the dashboard says it: as if a path were missing.
    pub(super) fn no_such(what: &str) -> Self {
        Self::http_error(404, &format!("The path 'No such {what}' was not found."))
    }

    pub(super) fn nothing_matches() -> Self {
        Self::http_error(404, "Nothing matches the given URI")
    }

    /// The dashboard's own error.
    pub(super) fn dashboard(status: u16, detail: &str, code: &str, component: Option<&str>) -> Self {
        Self::with(status, Body::Plain(json!({ "detail": detail, "code": code, "component": component })))
    }

    pub(super) fn no_orchestrator() -> Self {
        Self::dashboard(
            503,
            "Orchestrator is unavailable",
            "orchestrator_status_unavailable",
            Some("orchestrator"),
        )
    }

    /// An error that came out of a task: an integer `status`, the task, and the endpoint's own media type.
    pub(super) fn task_error(
        status: u16,
        detail: &str,
        code: Value,
        component: Option<&str>,
        task: Value,
    ) -> Self {
        Self::with(
            status,
            Body::Versioned(json!({
                "detail": detail, "code": code, "component": component, "status": status, "task": task,
            })),
        )
    }
}

/// A refusal of a command by the monitors: errno (positive) and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MonError {
    pub(super) errno: i32,
    pub(super) text: String,
}

impl MonError {
    pub(super) fn new(errno: i32, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(22, text)
    }

    pub(super) fn detail(&self) -> String {
        format!("[errno -{}] {}", self.errno, self.text)
    }

    /// As handlers without a component of their own report it.
    pub(super) fn reply(&self) -> Reply {
        Reply::dashboard(400, &self.detail(), "SendCommandError", None)
    }

    /// As handlers with a component report it.
    pub(super) fn reply_as(&self, component: &str) -> Reply {
        Reply::dashboard(400, &self.detail(), &self.errno.to_string(), Some(component))
    }
}

fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error")
}

/// A random UUID (version 4).
pub(super) fn uuid() -> String {
    let mut b: [u8; 16] = rand::random();
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let h = hex::encode(b);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}
