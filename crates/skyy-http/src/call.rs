//! One request, described before it is sent.
//!
//! The path is a static template with named places; what is put into them is encoded here, so that no value can reach
//! another path, and the template itself is the label in metrics and errors. Must not know how a call is sent.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use crate::Secret;

/// A request to be sent by [`HttpClient::send`](crate::HttpClient::send).
///
/// Mistakes in building one (a place without a value, a header that cannot be) are kept and reported by `send`, so that
/// a call reads as one expression.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) template: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) accept: Cow<'static, str>,
    pub(crate) body: Option<Body>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) writes: bool,
    path: String,
    query: Vec<(Cow<'static, str>, String)>,
    fault: Option<String>,
}

/// An encoded body with its type.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Bodies may hold secrets.
        write!(f, "{} bytes of {}", self.bytes.len(), self.content_type)
    }
}

impl Call {
    /// A call of any method to a path template such as `/nodes/{node}/tasks/{upid}`.
    pub fn new(method: Method, template: &'static str) -> Self {
        let writes = !method.is_safe();
        Self {
            method,
            template,
            headers: Vec::new(),
            accept: Cow::Borrowed("application/json"),
            body: None,
            secrets: Vec::new(),
            timeout: None,
            writes,
            path: template.to_owned(),
            query: Vec::new(),
            fault: None,
        }
    }

    /// A GET.
    pub fn get(template: &'static str) -> Self {
        Self::new(Method::GET, template)
    }

    /// A POST.
    pub fn post(template: &'static str) -> Self {
        Self::new(Method::POST, template)
    }

    /// A PUT.
    pub fn put(template: &'static str) -> Self {
        Self::new(Method::PUT, template)
    }

    /// A PATCH.
    pub fn patch(template: &'static str) -> Self {
        Self::new(Method::PATCH, template)
    }

    /// A DELETE.
    pub fn delete(template: &'static str) -> Self {
        Self::new(Method::DELETE, template)
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path template.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// Fills the place `{name}` of the template with one path segment; slashes and the like are encoded.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        let place = format!("{{{name}}}");
        if matches!(value.as_str(), "" | "." | "..") {
            // URL parsers resolve dots even where they are encoded: the call would go elsewhere.
            self.fail(format!("{value:?} cannot be a path segment ({place})"));
        } else if self.path.contains(&place) {
            self.path = self.path.replacen(&place, &percent_encode(&value), 1);
        } else {
            self.fail(format!("the path has no place {place}"));
        }
        self
    }

    /// Adds a pair to the query string.
    #[must_use]
    pub fn query(mut self, name: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// The one media type accepted; `application/json` unless said.
    #[must_use]
    pub fn accept(mut self, media_type: impl Into<Cow<'static, str>>) -> Self {
        self.accept = media_type.into();
        self
    }

    /// Adds a header that holds no secret.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.put_header(name, value, false);
        self
    }

    /// Adds a header `prefix` + secret. It is kept out of logs, and out of this call's error texts.
    #[must_use]
    pub fn secret_header(mut self, name: &'static str, prefix: &str, value: &Secret) -> Self {
        let whole = Secret::new(format!("{prefix}{}", value.expose()));
        self.put_header(name, whole.expose(), true);
        self.secret(value)
    }

    /// Authorizes by HTTP Basic.
    #[must_use]
    pub fn basic_auth(self, user: &str, password: &Secret) -> Self {
        let pair = Secret::basic(user, password);
        self.secret_header("authorization", "Basic ", &pair).secret(password)
    }

    /// Authorizes by a bearer token.
    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.secret_header("authorization", "Bearer ", token)
    }

    /// Names a secret that the body carries, so that an error text which echoes it is cleaned.
    #[must_use]
    pub fn secret(mut self, value: &Secret) -> Self {
        self.secrets.push(value.clone());
        self
    }

    /// Sends `value` as JSON.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body = Some(Body { content_type: "application/json", bytes }),
            Err(cause) => self.fail(format!("the body cannot be written as JSON: {cause}")),
        }
        self
    }

    /// Sends pairs as a form; a key may come more than once.
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let bytes = encode_pairs(pairs).into_bytes();
        self.body = Some(Body { content_type: "application/x-www-form-urlencoded", bytes });
        self
    }

    /// A time limit of its own for this call, instead of the endpoint's.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Says that this call changes nothing although its method says otherwise (a login): it does not count as a write.
    /// It is still never repeated by itself.
    #[must_use]
    pub fn changes_nothing(mut self) -> Self {
        self.writes = false;
        self
    }

    /// The path and query to send, or what is wrong with this call.
    pub(crate) fn target(&self) -> Result<String, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !self.path.starts_with('/') {
            return Err("the path must begin with a slash".into());
        }
        if let Some(open) = self.path.find('{') {
            return Err(format!("no value for {}", &self.path[open..]));
        }
        if self.query.is_empty() {
            return Ok(self.path.clone());
        }
        Ok(format!("{}?{}", self.path, encode_pairs(self.query.iter().map(|(name, value)| (name, value)))))
    }

    fn put_header(&mut self, name: &'static str, value: &str, sensitive: bool) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(sensitive);
                self.headers.push((name, value));
            }
            // The value may be the secret: it is not shown.
            _ => {
                self.fail(format!(
                    "the header {name:?} or its value has characters that HTTP does not allow"
                ));
            }
        }
    }

    fn fail(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }
}

/// Encodes everything but RFC 3986's unreserved characters: the value stays one path segment.
pub(crate) fn percent_encode(value: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn encode_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name.as_ref()), percent_encode(value.as_ref())))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(call: Call, expected: Result<&str, &str>) {
        assert_eq!(call.target(), expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn values_stay_in_their_place() {
        check(Call::get("/version"), Ok("/version"));
        check(Call::get("/nodes/{node}").arg("node", "pve1"), Ok("/nodes/pve1"));
        check(
            Call::get("/t/{upid}").arg("upid", "UPID:a:1:root@pam!x:"),
            Ok("/t/UPID%3Aa%3A1%3Aroot%40pam%21x%3A"),
        );
        check(Call::get("/i/{spec}").arg("spec", "vms/disk 1"), Ok("/i/vms%2Fdisk%201"));
        check(Call::get("/{a}/{b}").arg("a", "{b}").arg("b", 7), Ok("/%7Bb%7D/7"));
        check(Call::get("/x").query("a", "1&2").query("b", "ü+"), Ok("/x?a=1%262&b=%C3%BC%2B"));
    }

    #[test]
    fn a_call_that_would_go_elsewhere_is_not_sent() {
        check(Call::get("/nodes/{node}"), Err("no value for {node}"));
        check(Call::get("/nodes/{node}").arg("node", ".."), Err("\"..\" cannot be a path segment ({node})"));
        check(Call::get("/nodes/{node}").arg("node", ""), Err("\"\" cannot be a path segment ({node})"));
        check(Call::get("/nodes").arg("node", "x"), Err("the path has no place {node}"));
        check(Call::get("nodes"), Err("the path must begin with a slash"));
    }

    #[test]
    fn a_secret_that_cannot_be_a_header_is_not_shown() {
        let fault = Call::get("/").secret_header("x-api-key", "", &Secret::new("a\nb")).target().unwrap_err();
        assert!(!fault.contains('\n') && fault.contains("x-api-key"), "{fault}");
    }

    #[test]
    fn debug_shows_neither_body_nor_secret() {
        let call =
            Call::post("/login").json(&serde_json::json!({"p": "hunter2"})).bearer(&Secret::new("tok-1"));
        let shown = format!("{call:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("tok-1"), "{shown}");
    }
}
