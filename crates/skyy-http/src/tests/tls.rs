//! Whom the client believes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::server::{Server, Then};
use crate::{Call, Class, Endpoint, Fingerprint, HttpError, Problem, Sent, Trust};

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn self_signed(name: &str) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

async fn call(server: &Server, trust: Trust) -> Result<(), HttpError> {
    let client = Endpoint::new("test", "tls").url(&server.url).trust(trust).build().unwrap();
    client.send(Call::post("/x")).await.map(|_| ())
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_whatever_name_it_bears() {
    let (certificate, key) = self_signed("another.example");
    let pin = Fingerprint::of(&certificate);
    let server = Server::start_tls([Then::json("1")], acceptor(certificate, &key)).await;
    call(&server, Trust::Pins(vec![Fingerprint::of(b"old"), pin])).await.unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_named_and_gets_nothing() {
    let (certificate, key) = self_signed("localhost");
    let seen = Fingerprint::of(&certificate);
    let pinned = Fingerprint::of(b"another");
    let server = Server::start_tls([Then::json("1")], acceptor(certificate, &key)).await;
    let error = call(&server, Trust::Pins(vec![pinned])).await.unwrap_err();
    assert_eq!(error.problem(), &Problem::Pin { expected: vec![pinned], seen });
    assert_eq!((error.class(), error.sent()), (Class::Untrusted, Sent::No));
    let text = error.to_string();
    assert!(text.contains(&seen.to_string()) && text.contains(&pinned.to_string()), "{text}");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_pin_does_not_help_a_server_without_the_key() {
    let (certificate, _) = self_signed("localhost");
    let pin = Fingerprint::of(&certificate);
    let thief = KeyPair::generate().unwrap();
    let key = PrivateKeyDer::Pkcs8(thief.serialize_der().into());
    let provider = rustls::crypto::ring::default_provider();
    let signer = provider.key_provider.load_private_key(key).unwrap();
    // A server that shows the stolen certificate and signs with a key of its own.
    let shown = Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], signer));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    let server = Server::start_tls([Then::json("1")], TlsAcceptor::from(Arc::new(config))).await;
    let error = call(&server, Trust::Pins(vec![pin])).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Tls(_)), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Untrusted, Sent::No));
    assert_eq!(server.seen().len(), 0);
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trust(&self) -> Trust {
        Trust::CaBundle(self.0.pem())
    }

    async fn server(&self, name: &str) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Server::start_tls([Then::json("1")], acceptor(certificate.der().clone(), &key)).await
    }
}

#[tokio::test]
async fn a_ca_bundle_vouches_for_its_own_certificates_with_the_right_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    call(&ours.server("localhost").await, ours.trust()).await.unwrap();
    let cases = [
        (ours.server("localhost").await, other.trust(), "invalid peer certificate"),
        (ours.server("another.example").await, ours.trust(), "not valid for name"),
        (ours.server("localhost").await, Trust::SystemRoots, "invalid peer certificate"),
    ];
    for (server, trust, part) in cases {
        let client = Endpoint::new("test", "tls").url(&server.url).trust(trust).build();
        // A machine without any system roots refuses even earlier.
        let Ok(client) = client else { continue };
        let error = client.send(Call::post("/x")).await.unwrap_err();
        assert_eq!((error.class(), error.sent()), (Class::Untrusted, Sent::No), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(server.seen().len(), 0);
    }
}

#[tokio::test]
async fn speaking_tls_to_a_plain_server_is_a_failure_of_trust() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Kept open: only the bytes tell the client that this is no TLS.
        std::future::pending::<()>().await;
    });
    let trust = Trust::Pins(vec![Fingerprint::of(b"x")]);
    let client = Endpoint::new("test", "tls").url(url).trust(trust).build().unwrap();
    let error = client.send(Call::post("/x")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Tls(_)), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Untrusted, Sent::No));
    server.abort();
}
