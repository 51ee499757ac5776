//! A request as the manager's web framework sees it: path by segments, parameters from query and body merged.
//!
//! Knows no endpoint.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, header};
use serde_json::{Map, Value};

use super::reply::Reply;

/// A request taken apart.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path as it came.
    pub(super) path: String,
    /// Its segments, decoded one by one.
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: Method, path: &str, query: &str, headers: HeaderMap, body: Vec<u8>) -> Self {
        let segments = path.trim_matches('/').split('/').map(decode).collect();
        let query = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        });
        Self { query: query.collect(), method, path: path.to_owned(), segments, headers, body }
    }

    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token: the cookie's before the header's.
    pub(super) fn token(&self) -> Option<String> {
        let cookies = self.headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
        let cookie = cookies
            .flat_map(|c| c.split(';'))
            .find_map(|c| c.trim().strip_prefix("token=").map(ToOwned::to_owned));
        cookie.or_else(|| self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ").map(ToOwned::to_owned))
    }

    /// Reads the body as the framework does before anybody asks who is there.
    pub(super) fn params(&self) -> Result<Params, Reply> {
        let mut params = Params::default();
        for (key, value) in &self.query {
            params.0.insert(key.clone(), Value::String(value.clone()));
        }
        if self.method != Method::POST && self.method != Method::PUT {
            return Ok(params);
        }
        if self.body.is_empty() && !self.headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Reply::http_error(411, "Client must specify Content-Length"));
        }
        let content_type = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !["application/json", "text/javascript"].contains(&essence) {
            let detail = "Expected an entity of content type application/json, text/javascript";
            return Err(Reply::http_error(415, detail));
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return Err(Reply::http_error(400, "Invalid JSON document"));
        };
        // A charset behind the type, and the dashboard overlooks the whole body.
        if content_type == "application/json" {
            match body {
                Value::Object(body) => params.0.extend(body),
                _ => params.1 = true,
            }
        }
        Ok(params)
    }
}

/// What a handler is called with.
#[derive(Debug, Default)]
pub(super) struct Params(pub(super) Map<String, Value>, bool);

impl Params {
    /// The body was JSON but no object: no handler can be called with it.
    pub(super) fn unusable(&self) -> bool {
        self.1
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().map(ToOwned::to_owned)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => {
                Some(["true", "yes", "1", "t", "y"].contains(&text.to_lowercase().as_str()))
            }
            _ => None,
        }
    }

    /// A whole number, also as text.
    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::Number(n) => n.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A list of texts. A single text is taken letter by letter, as Python takes it.
    pub(super) fn texts(&self, key: &str) -> Option<BTreeSet<String>> {
        match self.get(key)? {
            Value::Array(items) => {
                Some(items.iter().filter_map(|v| v.as_str().map(ToOwned::to_owned)).collect())
            }
            Value::String(text) => Some(text.chars().map(String::from).collect()),
            _ => None,
        }
    }
}

/// Percent-decoding; what does not decode stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = (bytes[i] == b'%' && i + 2 < bytes.len())
            .then(|| Some((hex(bytes[i + 1])?, hex(bytes[i + 2])?)))
            .flatten();
        if let Some((high, low)) = pair {
            out.push(high << 4 | low);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_decode_one_by_one() {
        let check = |path: &str, expected: &[&str]| {
            let request = Request::new(Method::GET, path, "", HeaderMap::new(), Vec::new());
            assert_eq!(request.segments, expected, "{path}");
        };
        check("/api/block/image/vms%2Fdisk-1", &["api", "block", "image", "vms/disk-1"]);
        check("/api/pool/", &["api", "pool"]);
        check("/api/pool/%", &["api", "pool", "%"]);
        check("/api/pool/a%2", &["api", "pool", "a%2"]);
        check("/api/pool/%zz%20", &["api", "pool", "%zz "]);
    }

    #[test]
    fn the_cookie_beats_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer good".parse().unwrap());
        headers.insert(header::COOKIE, "a=b; token=stale".parse().unwrap());
        let request = Request::new(Method::GET, "/api/pool", "", headers, Vec::new());
        assert_eq!(request.token().as_deref(), Some("stale"));
    }
}
