//! Who is who on a control plane of our own: its certificate, the key for ServiceAccount tokens, the
//! administrator's token, and kubeconfig files. Starts nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::error::{Context as _, Error};

/// The files a kube-apiserver wants, in one folder.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) account_key: PathBuf,
    pub(super) account_public_key: PathBuf,
    pub(super) tokens: PathBuf,
    ca_pem: String,
    admin_token: String,
}

impl Identity {
    /// Makes everything new in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca_params = CertificateParams::new(Vec::<String>::new())?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.distinguished_name.push(DnType::CommonName, "skyy-command test control plane");
        let ca_cert = ca_params.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca_params, ca_key);

        let server_key = KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1", "::1", "kubernetes.default.svc"].map(String::from);
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server_cert = params.signed_by(&server_key, &issuer)?;

        let account_key = KeyPair::generate()?;
        let admin_token = hex::encode(rand::random::<[u8; 32]>());

        let put = |name: &str, text: &str| -> Result<PathBuf, Error> {
            let path = folder.join(name);
            write_private(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            ca: put("ca.crt", &ca_cert.pem())?,
            certificate: put("apiserver.crt", &server_cert.pem())?,
            key: put("apiserver.key", &server_key.serialize_pem())?,
            account_key: put("service-account.key", &account_key.serialize_pem())?,
            account_public_key: put("service-account.pub", &account_key.public_key_pem())?,
            tokens: put("tokens.csv", &format!("{admin_token},admin,admin,\"system:masters\"\n"))?,
            ca_pem: ca_cert.pem(),
            admin_token,
        })
    }

    /// The administrator's kubeconfig.
    pub(super) fn admin_kubeconfig(&self, url: &str) -> String {
        kubeconfig(url, &self.ca_pem, "admin", &self.admin_token)
    }
}

/// Writes a file that only this user reads, in one step: a reader sees the old file or the new one.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let what = format!("writing {}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .context(what.as_str())?;
    file.write_all(text.as_bytes()).context(what.as_str())?;
    fs::rename(&temporary, path).context(what)
}

fn kubeconfig(url: &str, ca_pem: &str, user: &str, token: &str) -> String {
    let ca = STANDARD.encode(ca_pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: skyy
  cluster: {{server: \"{url}\", certificate-authority-data: {ca}}}
users:
- name: \"{user}\"
  user: {{token: \"{token}\"}}
contexts:
- name: skyy
  context: {{cluster: skyy, user: \"{user}\"}}
current-context: skyy
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn every_secret_is_private_and_every_run_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::create(folder.path()).unwrap();
        let second = Identity::create(folder.path()).unwrap();
        assert_ne!(first.admin_token, second.admin_token);
        assert_eq!(first.admin_token.len(), 64);
        for path in [&second.key, &second.account_key, &second.tokens] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_kubeconfig_is_yaml_with_the_ca_inside() {
        let text = kubeconfig("https://127.0.0.1:1", "PEM", "system:serviceaccount:a:b", "t");
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1");
        assert_eq!(value["clusters"][0]["cluster"]["certificate-authority-data"], STANDARD.encode("PEM"));
        assert_eq!(value["users"][0]["name"], "system:serviceaccount:a:b");
        assert_eq!(value["contexts"][0]["context"]["user"], value["users"][0]["name"]);
    }
}
