//! How to reach one endpoint: addresses, trust and limits, checked before anything is sent.
//!
//! Must not know calls or answers.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::client::HttpClient;
use crate::observe::CallObserver;
use crate::trust::{Trust, client_config};

/// Limits of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the connection: name, TCP and TLS together.
    pub connect: Duration,
    /// For a whole call: waiting for a turn, connecting, sending, answering, repeats included.
    pub total: Duration,
    /// How long an unused connection is kept. Choose less than the server does, so that it is not the one to close.
    pub idle: Duration,
    /// The longest answer taken.
    pub response_bytes: usize,
    /// The longest body sent, where the server has a limit.
    pub request_bytes: Option<usize>,
    /// How many calls may be under way at once; more wait for their turn.
    pub concurrency: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            response_bytes: 64 << 20,
            request_bytes: None,
            concurrency: 8,
        }
    }
}

/// What is wrong with the settings of an endpoint; a person must correct them.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no address.
    #[error("no URL is given: name at least one")]
    NoUrl,
    /// An address cannot be used.
    #[error("the URL {url:?} cannot be used: {why}")]
    Url {
        /// The address without user and password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Unencrypted, and that was not allowed.
    #[error(
        "the URL {0:?} is not encrypted: use https, or allow plain HTTP explicitly (meant for simulators on loopback)"
    )]
    PlainHttp(String),
    /// Pinning was chosen without a pin.
    #[error("certificates are to be pinned, but no fingerprint is given")]
    NoPins,
    /// The CA bundle cannot be used.
    #[error("the CA bundle cannot be used: {0}")]
    CaBundle(String),
    /// The system has no certificate authorities.
    #[error(
        "the system has no usable certificate authorities ({0}): install them, or give a CA bundle or a fingerprint"
    )]
    NoSystemRoots(String),
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The HTTP library refused its configuration.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// The description of one endpoint; [`build`](Self::build) makes the client.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) product: &'static str,
    pub(crate) name: String,
    pub(crate) urls: Vec<String>,
    pub(crate) trust: Trust,
    pub(crate) plain_http: bool,
    pub(crate) limits: Limits,
    pub(crate) observer: Option<Arc<dyn CallObserver>>,
}

impl Endpoint {
    /// `product` is the metric label, from a closed set (`pfsense`); `name` says which one in logs and errors.
    pub fn new(product: &'static str, name: impl Into<String>) -> Self {
        Self {
            product,
            name: name.into(),
            urls: Vec::new(),
            trust: Trust::default(),
            plain_http: false,
            limits: Limits::default(),
            observer: None,
        }
    }

    /// Adds a base URL. With several, a call that could not be sent goes to the next.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Adds several base URLs.
    #[must_use]
    pub fn urls<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Sets how the server proves who it is.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Allows `http://` URLs: for simulators on loopback.
    #[must_use]
    pub fn allow_plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells `observer` about each call.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn CallObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Checks everything and makes the client. Opens no connection.
    pub fn build(self) -> Result<HttpClient, SetupError> {
        if self.urls.is_empty() {
            return Err(SetupError::NoUrl);
        }
        let bases: Vec<Url> =
            self.urls.iter().map(|url| checked_url(url, self.plain_http)).collect::<Result<_, _>>()?;
        let config = if bases.iter().all(|base| base.scheme() == "http") {
            // Nothing to verify: do not demand that the system has certificate authorities.
            client_config(&Trust::Pins(vec![crate::Fingerprint::of(b"")]))?
        } else {
            client_config(&self.trust)?
        };
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent("skyy-command")
            .connect_timeout(self.limits.connect.min(self.limits.total))
            .pool_idle_timeout(self.limits.idle)
            .pool_max_idle_per_host(self.limits.concurrency.max(1))
            .build()
            .map_err(|cause| SetupError::Client(crate::error::chain(&cause)))?;
        Ok(HttpClient::assemble(self, bases, inner))
    }
}

pub(crate) fn checked_url(text: &str, plain_http: bool) -> Result<Url, SetupError> {
    let mut url = Url::parse(text).map_err(|cause| SetupError::Url {
        // What does not parse may still hold a password: show nothing after an @.
        url: text.rsplit_once('@').map_or(text, |(_, rest)| rest).to_owned(),
        why: cause.to_string(),
    })?;
    let refuse = |why: &str| {
        let mut shown = url.clone();
        // Failing only means that this URL has no place for them.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        Err(SetupError::Url { url: shown.into(), why: why.to_owned() })
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("user and password belong into a Secret");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("a base URL has no query and no fragment");
    }
    match url.scheme() {
        "https" => {}
        "http" if plain_http => {}
        "http" => return Err(SetupError::PlainHttp(text.to_owned())),
        _ => return refuse("only https is spoken"),
    }
    // One spelling, so that base URLs compare.
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, plain_http: bool, expected: Result<&str, &str>) {
        match (checked_url(url, plain_http), expected) {
            (Ok(seen), Ok(expected)) => assert_eq!(seen.as_str(), expected),
            (Err(seen), Err(part)) => assert!(seen.to_string().contains(part), "{seen}"),
            (seen, expected) => panic!("{seen:?}, not {expected:?}"),
        }
    }

    #[test]
    fn base_urls_are_checked() {
        check("https://fw.example", false, Ok("https://fw.example/"));
        check("https://fw.example/prefix/", false, Ok("https://fw.example/prefix"));
        check("http://127.0.0.1:8080", true, Ok("http://127.0.0.1:8080/"));
        check("http://127.0.0.1:8080", false, Err("not encrypted"));
        check("ftp://x", true, Err("only https"));
        check("https://x?a=b", false, Err("no query"));
        check("fw.example", false, Err("cannot be used"));
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        for url in ["https://root:hunter2@fw.example", "htt ps://root:hunter2@fw.example"] {
            let refusal = checked_url(url, false).unwrap_err();
            assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
            assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
        }
    }

    #[test]
    fn no_url_is_an_error() {
        assert!(matches!(Endpoint::new("test", "t").build(), Err(SetupError::NoUrl)));
    }
}
