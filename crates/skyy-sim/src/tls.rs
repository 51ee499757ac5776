//! The certificate of a simulated endpoint: self-signed, its own, kept as long as the endpoint's state is kept.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// What can go wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No key or certificate could be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A kept certificate or key is not PEM.
    #[error("the kept certificate is unreadable; remove the state file to get a new one")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// The TLS library refuses the certificate.
    #[error("the certificate cannot be served; remove the state file to get a new one")]
    Serve(#[from] rustls::Error),
}

/// A self-signed certificate for `localhost` and the loopback addresses, with its key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Certificate {
    certificate: String,
    key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive() // the key is a secret
    }
}

impl Certificate {
    /// Makes a new one.
    pub fn generate() -> Result<Self, TlsError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        Ok(Self { certificate: cert.pem(), key: signing_key.serialize_pem() })
    }

    /// The certificate as PEM, to be trusted as a CA.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// The SHA-256 of the certificate, as `AB:CD:…`, to be pinned.
    pub fn fingerprint_sha256(&self) -> Result<String, TlsError> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let digest = Sha256::digest(&der);
        Ok(digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        // The provider is named here: a process that links several must not have to install a default one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_being_kept() {
        let made = Certificate::generate().unwrap();
        let kept: Certificate = serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
        assert_eq!(made.fingerprint_sha256().unwrap(), kept.fingerprint_sha256().unwrap());
        assert_eq!(made.fingerprint_sha256().unwrap().len(), 32 * 3 - 1);
        assert!(kept.acceptor().is_ok());
        assert!(!format!("{kept:?}").contains("PRIVATE"));
    }
}
