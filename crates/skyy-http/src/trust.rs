//! Whom to believe at the other end of a TLS connection.
//!
//! Three modes and no "off": the system's roots, a CA bundle, or pins of leaf certificates. All of them verify that the
//! peer owns the certificate's key. Must not know URLs or HTTP.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

use crate::endpoint::SetupError;

/// How a server proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The certificate authorities that the operating system (or image) trusts.
    #[default]
    SystemRoots,
    /// Only the authorities in this PEM text.
    CaBundle(String),
    /// Only leaf certificates with one of these fingerprints. Names and dates in the certificate do not count: a pin
    /// is for the self-signed ones, and says more than both.
    Pins(Vec<Fingerprint>),
}

/// The SHA-256 of a certificate in DER, as `openssl x509 -fingerprint -sha256` and Proxmox show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no SHA-256 fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits with or without colons; got {0:?}"
)]
pub struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let digits: String = lower.strip_prefix("sha256:").unwrap_or(&lower).split(':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| FingerprintError(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// The certificate shown is not a pinned one.
#[derive(Debug, thiserror::Error)]
#[error("the server's certificate has the fingerprint {seen}")]
pub(crate) struct PinMismatch {
    pub(crate) expected: Vec<Fingerprint>,
    pub(crate) seen: Fingerprint,
}

/// Accepts exactly the pinned leaf certificates; the handshake's signature is verified as always.
#[derive(Debug)]
struct PinVerifier {
    pins: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        if self.pins.contains(&seen) {
            return Ok(ServerCertVerified::assertion());
        }
        let mismatch = PinMismatch { expected: self.pins.clone(), seen };
        Err(rustls::Error::Other(OtherError(Arc::new(mismatch))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The rustls configuration for a mode of trust, with ring carried along.
pub(crate) fn client_config(trust: &Trust) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Pins(pins) if pins.is_empty() => return Err(SetupError::NoPins),
        Trust::Pins(pins) => Arc::new(PinVerifier { pins: pins.clone(), provider: provider.clone() }),
        Trust::CaBundle(pem) => authorities(bundle_roots(pem)?, &provider)?,
        Trust::SystemRoots => authorities(system_roots()?, &provider)?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| SetupError::Tls(cause.to_string()))?
        .dangerous() // rustls' word for a verifier of one's own; ours only ever narrows
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, SetupError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|cause| SetupError::CaBundle(cause.to_string()))
}

fn bundle_roots(pem: &str) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|cause| SetupError::CaBundle(cause.to_string()))?;
        roots.add(certificate).map_err(|cause| SetupError::CaBundle(cause.to_string()))?;
    }
    if roots.is_empty() {
        return Err(SetupError::CaBundle("it holds no BEGIN CERTIFICATE block".into()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, SetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _odd) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(SetupError::NoSystemRoots(why.join("; ")));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const COLONS: &str =
        "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";

    #[test]
    fn fingerprints_read_in_every_common_spelling() {
        let expected = Fingerprint::of(b"");
        for spelling in [PLAIN, COLONS, &format!("sha256:{PLAIN}"), &format!(" SHA256:{COLONS}\n")] {
            assert_eq!(spelling.parse(), Ok(expected), "{spelling:?}");
        }
        assert_eq!(expected.to_string(), COLONS);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in [
            "",
            "abc",
            &PLAIN[1..],
            &PLAIN[24..],
            &PLAIN.replace('e', "x"),
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError(text.to_owned())));
        }
    }

    #[test]
    fn an_empty_trust_is_a_mistake_and_not_a_hole() {
        assert!(matches!(client_config(&Trust::Pins(vec![])), Err(SetupError::NoPins)));
        for pem in ["", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(
                matches!(client_config(&Trust::CaBundle(pem.into())), Err(SetupError::CaBundle(_))),
                "{pem:?}"
            );
        }
    }
}
