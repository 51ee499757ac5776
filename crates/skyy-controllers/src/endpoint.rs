//! From a spec to a client, and from a client's failure to a condition: the same for every product.

use std::sync::Arc;

use skyy_api::{Reason, TlsTrust};
use skyy_http::{CallObserver, Class, Endpoint, Fingerprint, HttpClient, HttpError, Limits, Problem, Trust};
use skyy_runtime::Failure;

/// The client that a spec describes. Opens no connection.
pub fn client(
    product: &'static str,
    name: &str,
    urls: &[String],
    tls: Option<&TlsTrust>,
    limits: Limits,
    observer: Arc<dyn CallObserver>,
) -> Result<HttpClient, Failure> {
    let invalid = |message: String| Failure::terminal(Reason::Invalid, message);
    let trust = match tls {
        Some(TlsTrust { sha256, ca_bundle: None }) if !sha256.is_empty() => {
            let pins = sha256
                .iter()
                .enumerate()
                .map(|(n, pin)| {
                    pin.parse::<Fingerprint>()
                        .map_err(|error| invalid(format!("spec.tls.sha256[{n}]: {error}")))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Trust::Pins(pins)
        }
        Some(TlsTrust { ca_bundle: Some(pem), .. }) => Trust::CaBundle(pem.clone()),
        _ => Trust::SystemRoots,
    };
    Endpoint::new(product, name)
        .urls(urls.iter().cloned())
        .trust(trust)
        .allow_plain_http(urls.iter().all(|url| is_loopback(url)))
        .limits(limits)
        .observer(observer)
        .build()
        .map_err(|error| invalid(error.to_string()))
}

/// Plain HTTP never leaves the machine; the schema says so too, this is the second lock on the door.
fn is_loopback(url: &str) -> bool {
    skyy_http::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// What a failed call means for the object, where its product has nothing better to say.
pub fn failure(error: &HttpError) -> Failure {
    let message = error.to_string();
    match (error.class(), error.problem()) {
        (Class::Transient, _) => {
            Failure::transient(Reason::EndpointUnavailable, message).not_before(error.retry_after())
        }
        (Class::Auth, _) => Failure::terminal(Reason::LoginRefused, message),
        (Class::Refused, _) => Failure::terminal(Reason::Refused, message),
        (Class::Untrusted, Problem::Pin { .. }) => Failure::terminal(Reason::CertificateMismatch, message),
        (Class::Untrusted, _) => Failure::transient(Reason::CertificateMismatch, message),
        (Class::Protocol, _) => Failure::transient(Reason::EndpointNotUnderstood, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://127.0.0.1.example.net", false),
            ("http://198.18.0.1", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }
}
