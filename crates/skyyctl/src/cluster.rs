//! The cluster that the kubeconfig names: lists objects, and nothing else. Nothing here writes.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use skyy_api::{GROUP, SecretKeyRef, VERSION};

/// How many objects one answer brings.
const PAGE: u32 = 500;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of ours as the API server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its name, such as `VirtualIP`.
    pub name: String,
    /// Further words for it, in small letters: plural, singular, short names.
    pub words: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    resource: ApiResource,
}

/// Our kinds.
pub fn kinds() -> Vec<Kind> {
    let kind = |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let names = crd.spec.names;
        let mut words = vec![names.kind.to_lowercase(), names.plural.clone()];
        words.extend(names.singular);
        words.extend(names.short_names.unwrap_or_default());
        let gvk = GroupVersionKind::gvk(GROUP, VERSION, &names.kind);
        Kind {
            name: names.kind,
            words,
            namespaced: crd.spec.scope == "Namespaced",
            resource: ApiResource::from_gvk_with_plural(&gvk, &names.plural),
        }
    };
    skyy_api::all_crds().into_iter().map(kind).collect()
}

/// The cluster.
pub struct Cluster {
    client: Client,
    /// The namespace of the kubeconfig's context.
    pub namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig (or the pod's own account); sends nothing.
    pub async fn connect(context: Option<&str>) -> anyhow::Result<Self> {
        skyy_controllers::install_crypto_provider();
        let mut config = match context {
            None => Config::infer().await.map_err(|error| {
                anyhow::anyhow!("no kubeconfig that can be used ({error}): set KUBECONFIG")
            })?,
            Some(context) => {
                let kubeconfig = Kubeconfig::read().context("the kubeconfig cannot be read")?;
                let options = KubeConfigOptions { context: Some(context.to_owned()), ..Default::default() };
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .context("the kubeconfig's context")?
            }
        };
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(PATIENCE);
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).context("the kubeconfig")?;
        Ok(Self { client, namespace })
    }

    /// All objects of a kind, of one namespace or of all. None: the cluster does not know the kind.
    pub async fn list(&self, kind: &Kind, namespace: Option<&str>) -> anyhow::Result<Option<Vec<Value>>> {
        let api: Api<DynamicObject> = match namespace.filter(|_| kind.namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        };
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = ListParams::default().limit(PAGE);
            params.continue_token = token;
            let page = match api.list(&params).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot list {}", kind.resource.plural));
                }
            };
            for mut object in page.items {
                // In a list the API server leaves these out.
                object.types.get_or_insert_with(|| kube::core::TypeMeta {
                    api_version: kind.resource.api_version.clone(),
                    kind: kind.resource.kind.clone(),
                });
                objects.push(serde_json::to_value(object)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(next) => token = Some(next),
                None => return Ok(Some(objects)),
            }
        }
    }

    /// All namespaces.
    pub async fn namespaces(&self) -> anyhow::Result<Vec<Namespace>> {
        let all = Api::<Namespace>::all(self.client.clone()).list(&ListParams::default()).await;
        Ok(all.context("cannot list namespaces")?.items)
    }

    /// A Secret, if there is one.
    pub async fn secret(&self, reference: &SecretKeyRef) -> anyhow::Result<Option<Secret>> {
        let api = Api::<Secret>::namespaced(self.client.clone(), &reference.namespace);
        let found = api.get_opt(&reference.name).await;
        found.with_context(|| format!("cannot read Secret {}/{}", reference.namespace, reference.name))
    }

    /// The word by which the operator in this cluster marks what it makes.
    pub async fn installation(&self) -> anyhow::Result<String> {
        let why =
            "cannot read the namespace kube-system, whose uid names the installation; --installation says it";
        let namespace = Api::<Namespace>::all(self.client.clone()).get("kube-system").await.context(why)?;
        let uid = namespace.metadata.uid.unwrap_or_default();
        Ok(uid.chars().filter(char::is_ascii_hexdigit).take(8).collect())
    }
}
