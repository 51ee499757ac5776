//! The client of one firewall: made from the spec and the Secret, and made anew when one of them has changed. It must not know what
//! is written through it.

use std::sync::Arc;

use skyy_api::firewall::FirewallSpec;
use skyy_http::CallObserver;
use skyy_runtime::{Failure, secrets::Secrets};

use super::adapter::PfSenseFirewall;

/// Makes the client, and makes it anew when the spec or the Secret has changed.
pub(super) struct Connector {
    pub(super) secrets: Secrets,
    pub(super) observer: Arc<dyn CallObserver>,
    pub(super) known: Option<(FirewallSpec, String, Arc<PfSenseFirewall>)>,
}

impl Connector {
    /// The client for this spec, with the key as it is now. Sends nothing.
    pub(super) async fn connect(
        &mut self,
        name: &str,
        spec: &FirewallSpec,
    ) -> Result<Arc<PfSenseFirewall>, Failure> {
        let key = self.secrets.get(&spec.api_key.secret).await?;
        let same_place = |known: &FirewallSpec| {
            known.url == spec.url && known.tls == spec.tls && known.api_key == spec.api_key
        };
        if let Some((known, version, client)) = &self.known
            && same_place(known)
            && *version == key.version
        {
            return Ok(client.clone());
        }
        let client = Arc::new(PfSenseFirewall::connect(name, spec, &key.value, self.observer.clone())?);
        self.known = Some((spec.clone(), key.version, client.clone()));
        Ok(client)
    }
}
