//! The manifests of the demo: `desired_state/demo` with the endpoints of this run, and the rights that the chart
//! gives the operator. Reads and changes YAML; applies nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Ports;
use crate::control_plane::{ControlPlane, GROUP, Tool};

/// Where the operator lives, and its credentials.
pub const SYSTEM: &str = "skyy-system";
/// Namespaces with Secrets that the demo's operator may read.
const SECRET_NAMESPACES: [&str; 2] = [SYSTEM, "tenants"];

/// The wanted state, one document each.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Vec<Value>);

impl Manifests {
    /// Renders a Kustomize folder.
    pub fn kustomize(plane: &ControlPlane, folder: &Path) -> Result<Self> {
        let text = plane
            .kubectl(&["kustomize", &folder.display().to_string()])
            .with_context(|| format!("rendering {}", folder.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", folder.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
        Ok(Self(documents.into_iter().filter(|document| !document.is_null()).collect()))
    }

    /// Points the endpoints at the ports of this run.
    pub fn point_at(&mut self, ports: Ports) -> Result<()> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let fields = [
            ("ProxmoxCluster", "endpoints", json!([url(ports.proxmox)])),
            ("Firewall", "url", json!(url(ports.pfsense))),
            ("CephCluster", "managers", json!([url(ports.ceph)])),
        ];
        for (kind, field, value) in fields {
            let mut found: Vec<&mut Value> =
                self.0.iter_mut().filter(|document| is(document, kind)).collect();
            let [document] = found.as_mut_slice() else {
                bail!("the demo wants exactly one {kind}, and finds {}", found.len());
            };
            document["spec"][field] = value;
        }
        Ok(())
    }

    /// Those of some kinds, or all but those.
    #[must_use]
    pub fn only(&self, kinds: &[&str]) -> Self {
        Self(self.0.iter().filter(|document| kinds.iter().any(|kind| is(document, kind))).cloned().collect())
    }

    /// All but those of some kinds.
    #[must_use]
    pub fn without(&self, kinds: &[&str]) -> Self {
        Self(self.0.iter().filter(|document| !kinds.iter().any(|kind| is(document, kind))).cloned().collect())
    }

    /// Those of our group.
    #[must_use]
    pub fn ours(&self) -> Self {
        let ours = |document: &&Value| {
            document["apiVersion"].as_str().is_some_and(|version| version.starts_with(&format!("{GROUP}/")))
        };
        Self(self.0.iter().filter(ours).cloned().collect())
    }

    /// As one document that kubectl takes; JSON is YAML.
    pub fn text(&self) -> String {
        json!({"apiVersion": "v1", "kind": "List", "items": self.0}).to_string()
    }

    /// The name of the first of a kind.
    pub fn name_of(&self, kind: &str) -> Option<&str> {
        self.0.iter().find(|document| is(document, kind))?["metadata"]["name"].as_str()
    }

    /// How many objects of each kind of ours there will be: those written here, and the four rows of each address of
    /// a pool that publishes all it has.
    pub fn expected(&self) -> BTreeMap<String, usize> {
        let mut expected = BTreeMap::new();
        for document in &self.ours().0 {
            let kind = document["kind"].as_str().unwrap_or_default();
            *expected.entry(kind.to_owned()).or_default() += 1;
            if kind == "AddressPool" && document["spec"]["publish"] == "Always" {
                let addresses = document["spec"]["addresses"].as_array().map_or(0, Vec::len);
                for row in ROWS {
                    *expected.entry(row.to_owned()).or_default() += addresses;
                }
            }
        }
        expected
    }

    /// How many rows there will be on the firewall.
    pub fn rows(&self) -> usize {
        let expected = self.expected();
        ROWS.iter().filter_map(|row| expected.get(*row)).sum()
    }

    /// How many guests the Deployments ask for.
    pub fn guests(&self) -> usize {
        let replicas = |document: &Value| {
            document["spec"]["replicas"].as_u64().map_or(Some(1), |n| usize::try_from(n).ok())
        };
        self.ours().0.iter().filter(|document| is(document, "Deployment")).filter_map(replicas).sum()
    }

    /// The names of the Ceph pools.
    pub fn ceph_pools(&self) -> Vec<&str> {
        let pools = self.0.iter().filter(|document| is(document, "CephPool"));
        pools.filter_map(|document| document["metadata"]["name"].as_str()).collect()
    }

    /// How many deletions the Firewall takes at once without asking.
    pub fn delete_limit(&self) -> Option<usize> {
        let firewall = self.0.iter().find(|document| is(document, "Firewall"))?;
        usize::try_from(firewall["spec"]["limits"]["maxDeletesPerBatch"].as_u64()?).ok()
    }

    /// The names of the Ceph pools that outlive their objects: they hold data, so that is what they do unless told
    /// otherwise.
    pub fn kept_pools(&self) -> Vec<&str> {
        let pools = self.0.iter().filter(|document| is(document, "CephPool"));
        let kept = pools.filter(|pool| pool["spec"]["deletionPolicy"] != "Delete");
        kept.filter_map(|pool| pool["metadata"]["name"].as_str()).collect()
    }
}

/// The kinds that are rows on a firewall.
pub const ROWS: [&str; 4] = ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"];

fn is(document: &Value, kind: &str) -> bool {
    document["kind"] == kind
}

/// What the chart gives the operator: its ServiceAccount and roles, without the rest.
pub fn rights(plane: &ControlPlane, chart: &Path) -> Result<Manifests> {
    let helm = plane.tools().get(Tool::Helm)?;
    let scratch = plane.folder().join("helm");
    let output = Command::new(helm)
        .args(["template", "skyy-command"])
        .arg(chart)
        .args(["--namespace", SYSTEM, "--set"])
        .arg(format!("secretNamespaces={{{}}}", SECRET_NAMESPACES.join(",")))
        .env("HELM_CACHE_HOME", scratch.join("cache"))
        .env("HELM_CONFIG_HOME", scratch.join("config"))
        .env("HELM_DATA_HOME", scratch.join("data"))
        .stdin(Stdio::null())
        .output()
        .context("running helm")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("helm template {}: {}", chart.display(), said.trim());
    }
    let all = Manifests::parse(&String::from_utf8_lossy(&output.stdout)).context("reading the chart")?;
    Ok(all.only(&["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: tenants}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: Firewall
metadata: {name: edge}
spec: {url: https://fw.example.net}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: ProxmoxCluster
metadata: {name: puma}
spec: {endpoints: [https://a, https://b]}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: CephCluster
metadata: {name: ceph}
spec: {managers: [https://a]}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: AddressPool
metadata: {name: public}
spec: {publish: Always, addresses: [{external: a}, {external: b}]}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: AddressPool
metadata: {name: other}
spec: {publish: OnClaim, addresses: [{external: c}]}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: VirtualIP
metadata: {name: one}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: Deployment
metadata: {name: web}
spec: {replicas: 3}
---
apiVersion: skyy.helloskyy.io/v1alpha1
kind: Deployment
metadata: {name: database}
spec: {}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: not-ours}
spec: {replicas: 7}
";

    #[test]
    fn pools_bring_their_rows_with_them() {
        let manifests = Manifests::parse(TEXT).unwrap();
        let expected = manifests.expected();
        assert_eq!(expected["VirtualIP"], 3);
        assert_eq!(expected["FirewallRule"], 2);
        assert_eq!((expected["AddressPool"], expected["Deployment"]), (2, 2));
        assert_eq!(expected.get("Namespace"), None);
        assert_eq!((manifests.rows(), manifests.guests()), (9, 4));
        assert_eq!(manifests.name_of("Firewall"), Some("edge"));
    }

    #[test]
    fn endpoints_go_to_the_ports_of_the_run() {
        let mut manifests = Manifests::parse(TEXT).unwrap();
        manifests.point_at(Ports { pfsense: 1, proxmox: 2, ceph: 3, operator: 4 }).unwrap();
        let spec = |kind: &str| manifests.only(&[kind]).0[0]["spec"].clone();
        assert_eq!(spec("Firewall"), json!({"url": "http://127.0.0.1:1"}));
        assert_eq!(spec("ProxmoxCluster"), json!({"endpoints": ["http://127.0.0.1:2"]}));
        assert_eq!(spec("CephCluster"), json!({"managers": ["http://127.0.0.1:3"]}));
        let error = manifests.only(&["Firewall"]).point_at(Ports::DEFAULT).unwrap_err().to_string();
        assert!(error.contains("exactly one ProxmoxCluster, and finds 0"), "{error}");
    }
}
