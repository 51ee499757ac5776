//! A successful answer and its reading as JSON.
//!
//! Must not know what the JSON means.

use http::{HeaderMap, StatusCode};
use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::Secret;
use crate::error::{HttpError, Place, Problem};
use crate::secret::redact;

/// An answer with a status from 200 to 299.
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) place: Place,
    pub(crate) secrets: Vec<Secret>,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The call in words, as errors have it.
    pub fn call(&self) -> String {
        self.place.to_string()
    }

    /// The base URL that was called.
    pub fn base(&self) -> &Url {
        &self.place.base
    }

    /// The media type, without parameters.
    pub fn media_type(&self) -> Option<String> {
        media_type(&self.headers)
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as sent.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|cause| {
            let problem = if cause.is_data() {
                Problem::WrongShape(redact(&cause.to_string(), &self.secrets))
            } else {
                self.no_json()
            };
            HttpError::new(self.place.clone(), problem)
        })
    }

    /// An error that says this answer is no JSON, where its media type already tells.
    pub fn not_json(&self) -> HttpError {
        HttpError::new(self.place.clone(), self.no_json())
    }

    fn no_json(&self) -> Problem {
        Problem::NotJson {
            content_type: media_type(&self.headers).unwrap_or_else(|| "no media type".to_owned()),
            start: redact(&beginning(&self.body, 200), &self.secrets),
        }
    }

    /// An error that says this answer has not the expected shape, for what serde cannot see.
    pub fn wrong_shape(&self, why: &str) -> HttpError {
        HttpError::new(self.place.clone(), Problem::WrongShape(redact(why, &self.secrets)))
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Bodies and cookies may hold secrets.
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// The media type without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
}

/// The first `longest` bytes as text; what is no UTF-8 becomes U+FFFD.
pub(crate) fn beginning(body: &[u8], longest: usize) -> String {
    String::from_utf8_lossy(&body[..body.len().min(longest)]).into_owned()
}
