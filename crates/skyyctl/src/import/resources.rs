//! From what the files say to resources: names, references, defaults, and what is left for a person.
//!
//! Pure: no file is read or written here. Every object is checked against its type before it leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use skyy_api::{AddressPool, CephCluster, Deployment, Firewall, GROUP, ProxmoxCluster, ProxmoxHost, VERSION};

use super::{
    Options,
    compose::App,
    config::Config,
    host::Host,
    names,
    networking::Pool,
    report::Report,
    write::{Files, yaml_text},
};

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Settings.
    pub config: Option<Config>,
    /// Hosts.
    pub hosts: Vec<Host>,
    /// Addresses.
    pub pools: Vec<Pool>,
    /// Compose files.
    pub apps: Vec<App>,
}

impl Inputs {
    /// Whether nothing could be used.
    pub fn is_empty(&self) -> bool {
        self.config.is_none() && self.hosts.is_empty() && self.pools.is_empty() && self.apps.is_empty()
    }
}

/// What was made.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Path below the target folder → content.
    pub files: Files,
    /// Kind → how many.
    pub counts: BTreeMap<String, usize>,
}

/// Places where an address is meant that nobody told us. `.invalid` never resolves.
const FIREWALL_URL: &str = "https://firewall.invalid";
const CEPH_URL: &str = "https://ceph-manager.invalid:8443";
const PROXMOX_URL: &str = "https://proxmox.invalid:8006";
/// The system's own share of a guest's memory.
const SYSTEM_MEMORY: u64 = 2 << 30;
/// An API takes so many endpoints.
const MAX_ENDPOINTS: usize = 32;
/// Flux replaces `${NAME}` in what it applies unless told not to; in a compose file they are for compose.
const FLUX_SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";
const CREDENTIALS_NAMESPACE: &str = "skyy-system";

struct Maker<'a> {
    options: &'a Options,
    inputs: &'a Inputs,
    report: &'a mut Report,
    outputs: Outputs,
    /// Which cluster a guest goes to.
    cluster: String,
    namespaces: BTreeSet<String>,
}

/// Makes the resources.
pub fn make(options: &Options, inputs: &Inputs, report: &mut Report) -> Outputs {
    let cluster = cluster_name(options, inputs, report);
    let outputs = Outputs::default();
    let mut maker = Maker { options, inputs, report, outputs, cluster, namespaces: BTreeSet::new() };
    maker.proxmox();
    maker.ceph();
    maker.hosts();
    maker.pools();
    maker.apps();
    maker.namespaces();
    let mut outputs = maker.outputs;
    if !outputs.files.is_empty() {
        let resources: Vec<&String> = outputs.files.keys().collect();
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
        });
        let text = yaml_text(&["All that was imported."], &[kustomization]);
        outputs.files.insert("kustomization.yaml".to_owned(), text);
    }
    outputs
}

fn cluster_name(options: &Options, inputs: &Inputs, report: &mut Report) -> String {
    if let Some(name) = &options.cluster {
        return name.clone();
    }
    let given = inputs.config.as_ref().and_then(|c| Some((c, c.cluster_name.as_ref()?)));
    if let Some((config, at)) = given {
        let subject = "proxmox.proxmox_cluster_name";
        match names::object_name(&at.value) {
            Some(name) => {
                if name != at.value {
                    let message = format!("the ProxmoxCluster is called {name}, as Kubernetes wants it");
                    report.note(&config.file, at.line, subject, message);
                }
                return name;
            }
            None => report.warning(
                &config.file,
                at.line,
                subject,
                "cannot be made into a name; \"proxmox\" is taken",
            ),
        }
    }
    "proxmox".to_owned()
}

impl Maker<'_> {
    /// Adds an object to a file, once its type has taken it.
    fn add<K: DeserializeOwned>(&mut self, path: &str, notes: &[String], objects: &[(&str, Value)]) {
        for (kind, object) in objects {
            *self.outputs.counts.entry((*kind).to_owned()).or_default() += 1;
            if object["apiVersion"].as_str().is_some_and(|v| v.starts_with(GROUP))
                && let Err(error) = serde_json::from_value::<K>(object.clone())
            {
                // A mistake of this program, not of the files; better told than hidden.
                self.report.error(
                    path,
                    0,
                    *kind,
                    format!("the resource made does not fit its own type: {error}"),
                );
            }
        }
        let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
        let objects: Vec<Value> = objects.iter().map(|(_, object)| object.clone()).collect();
        self.outputs.files.insert(path.to_owned(), yaml_text(&notes, &objects));
    }

    fn config_place(&self, line: impl Fn(&Config) -> Option<usize>) -> (String, usize) {
        if let Some(config) = &self.inputs.config {
            return (config.file.clone(), line(config).unwrap_or(0));
        }
        let hosts = self.inputs.hosts.first().map(|h| h.file.clone());
        let file = hosts.or_else(|| self.inputs.apps.first().map(|a| a.file.clone()));
        (file.unwrap_or_default(), 0)
    }

    fn clustered(&self) -> bool {
        self.inputs.config.as_ref().and_then(|c| c.clustered.as_ref()).is_none_or(|c| c.value)
    }

    fn cluster_of(&self, host: &Host) -> String {
        if self.options.cluster.is_some() || self.clustered() {
            self.cluster.clone()
        } else {
            host.name.clone()
        }
    }

    fn proxmox(&mut self) {
        let inputs = self.inputs;
        if let Some(config) = &inputs.config
            && let Some(off) = config.proxmox.as_ref().filter(|p| !p.value)
            && !inputs.hosts.is_empty()
        {
            let message = format!("false, but there are {} hosts; they are imported", inputs.hosts.len());
            self.report.warning(&config.file, off.line, "proxmox.proxmox", message);
        }
        let wanted = inputs.config.as_ref().and_then(|c| c.proxmox.as_ref()).is_some_and(|p| p.value);
        if self.options.cluster.is_some() || !wanted && inputs.hosts.is_empty() && inputs.apps.is_empty() {
            return;
        }
        if self.clustered() || inputs.hosts.is_empty() {
            let hosts: Vec<&Host> = inputs.hosts.iter().collect();
            let name = self.cluster.clone();
            self.proxmox_cluster(&name, &hosts);
        } else {
            for host in &inputs.hosts {
                self.proxmox_cluster(&host.name, &[host]);
            }
        }
    }

    fn proxmox_cluster(&mut self, name: &str, hosts: &[&Host]) {
        let (file, line) = self.config_place(|c| Some(c.cluster_name.as_ref()?.line));
        let (file, line) = match hosts {
            [host] if !self.clustered() => (host.file.clone(), host.line),
            _ => (file, line),
        };
        let subject = format!("ProxmoxCluster {name}");
        let mut todo = Vec::new();
        let mut addresses: Vec<IpAddr> =
            hosts.iter().filter_map(|h| Some(h.address.as_ref()?.value)).collect();
        addresses.sort();
        addresses.dedup();
        addresses.truncate(MAX_ENDPOINTS);
        let mut endpoints: Vec<String> =
            addresses.iter().map(|ip| format!("https://{}:8006", in_a_url(*ip))).collect();
        if endpoints.is_empty() {
            endpoints.push(PROXMOX_URL.to_owned());
            todo.push("spec.endpoints is a placeholder: no host with an address was found".to_owned());
        } else {
            let message = "the endpoints are the hosts' addresses with Proxmox's port 8006";
            self.report.note(&file, line, &subject, message);
        }
        let secret = format!("{name}-proxmox");
        todo.push(format!("put an API token (USER@REALM!TOKENID=SECRET) into the Secret {CREDENTIALS_NAMESPACE}/{secret}, key token"));
        todo.push(
            "spec.tls is left out: nodes with certificates of their own need caBundle or sha256".to_owned(),
        );
        for what in &todo {
            self.report.to_do(&file, line, &subject, what);
        }
        let spec = json!({ "endpoints": endpoints, "token": credential(&secret, "token") });
        let object = object("ProxmoxCluster", name, None, None, spec);
        let path = format!("endpoints/proxmox-{name}.yaml");
        self.add::<ProxmoxCluster>(&path, &todo, &[("ProxmoxCluster", object)]);
    }

    fn ceph(&mut self) {
        let inputs = self.inputs;
        let Some(config) = &inputs.config else { return };
        let Some(on) = config.ceph.as_ref().filter(|c| c.value && !self.options.ceph_exists) else { return };
        let (file, line) = (config.file.as_str(), on.line);
        let mut todo = Vec::new();
        let managers: Vec<String> = inputs
            .hosts
            .iter()
            .filter(|h| h.ceph_mgr)
            .filter_map(|h| Some(format!("https://{}:8443", in_a_url(h.address.as_ref()?.value))))
            .take(16)
            .collect();
        let managers = if managers.is_empty() {
            todo.push(
                "spec.managers is a placeholder: no host says that a manager of Ceph runs on it".to_owned(),
            );
            vec![CEPH_URL.to_owned()]
        } else {
            self.report.note(
                file,
                line,
                "CephCluster ceph",
                "the managers are the hosts with mgr: true, with the dashboard's port 8443",
            );
            managers
        };
        if let Some(by) = config.ceph_by_proxmox.as_ref().filter(|b| b.value) {
            let message = "true: a Ceph run by Proxmox has no dashboard until the package ceph-mgr-dashboard is installed";
            self.report.warning(file, by.line, "ceph.proxmox_managed", message);
        }
        todo.push(format!("put the dashboard's user into the Secret {CREDENTIALS_NAMESPACE}/ceph, keys username and password"));
        todo.push(
            "spec.tls is left out: a dashboard with a certificate of its own needs caBundle or sha256"
                .to_owned(),
        );
        for what in &todo {
            self.report.to_do(file, line, "CephCluster ceph", what);
        }
        let spec = json!({
            "managers": managers, "username": credential("ceph", "username"), "password": credential("ceph", "password"),
        });
        let object = object("CephCluster", "ceph", None, None, spec);
        self.add::<CephCluster>("endpoints/ceph-ceph.yaml", &todo, &[("CephCluster", object)]);
    }

    fn hosts(&mut self) {
        let inputs = self.inputs;
        let subscription = inputs.config.as_ref().and_then(|c| c.subscription.as_ref()).map(|s| s.value);
        for host in &inputs.hosts {
            let mut spec = Map::new();
            let mut put = |key: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.insert(key.to_owned(), value);
                }
            };
            put("cluster", Some(json!(self.cluster_of(host))));
            put("node", host.node.as_ref().map(|n| json!(n)));
            put("address", host.address.as_ref().map(|a| json!(a.value)));
            put("roles", some_list(&host.roles));
            put("tags", some_list(&host.tags));
            put("network", network(host));
            put("storage", storage(host));
            put(
                "repositories",
                subscription.map(|paid| json!({ "enterprise": paid, "noSubscription": !paid })),
            );
            put("tailscale", tailscale(host));
            let labels = host.gpu.then(|| json!({ "gpu": "true" }));
            let object = object("ProxmoxHost", &host.name, None, labels, Value::Object(spec));
            let path = format!("hosts/{}.yaml", host.name);
            self.add::<ProxmoxHost>(&path, &[], &[("ProxmoxHost", object)]);
        }
    }

    fn pools(&mut self) {
        let inputs = self.inputs;
        for pool in &inputs.pools {
            let Options { namespace, external_interface, internal_interface, prefix_length, .. } =
                self.options;
            let firewall = self.options.firewall.clone().unwrap_or_else(|| pool.name.clone());
            let addresses: Vec<Value> = pool
                .entries
                .iter()
                .map(|e| json!({ "external": e.external, "internal": e.internal, "mac": e.mac.to_string() }))
                .collect();
            let spec = json!({
                "firewall": firewall, "external": { "interface": external_interface, "prefixLength": prefix_length },
                "internal": { "interface": internal_interface }, "publish": "Always", "namespace": namespace,
                "rule": { "action": "Pass", "protocol": "TCPUDP" }, "addresses": addresses,
            });
            let subject = format!("AddressPool {}", pool.name);
            let message = format!(
                "as before, every address gets its rows at once: virtual IP /{prefix_length} and 1:1 NAT on {external_interface}, reservation on {internal_interface}, all of TCP and UDP let in"
            );
            self.report.note(&pool.file, pool.line, &subject, message);
            self.namespaces.insert(namespace.clone());
            let object = object("AddressPool", &pool.name, None, None, spec);
            let path = format!("address-pools/{}.yaml", pool.name);
            self.add::<AddressPool>(&path, &[], &[("AddressPool", object)]);
            if self.options.firewall.is_none() {
                self.firewall(&firewall, pool);
            }
        }
    }

    fn firewall(&mut self, name: &str, pool: &Pool) {
        let secret = format!("{name}-pfsense");
        let todo = [
            "spec.url is a placeholder: no file says where the firewall is".to_owned(),
            format!("put the key of its REST package into the Secret {CREDENTIALS_NAMESPACE}/{secret}, key api-key"),
            "spec.protect.managementSources is left out: name the networks from which the firewall is administered".to_owned(),
        ];
        for what in &todo {
            self.report.to_do(&pool.file, pool.line, format!("Firewall {name}"), what);
        }
        let spec = json!({
            "url": FIREWALL_URL, "apiKey": credential(&secret, "api-key"),
            "allowedNamespaces": { "matchLabels": { "kubernetes.io/metadata.name": self.options.namespace } },
        });
        let object = object("Firewall", name, None, None, spec);
        self.add::<Firewall>(&format!("endpoints/firewall-{name}.yaml"), &todo, &[("Firewall", object)]);
    }

    fn apps(&mut self) {
        let inputs = self.inputs;
        for app in &inputs.apps {
            let subject = format!("Deployment {}", app.name);
            let mut todo = Vec::new();
            let cluster = if self.options.cluster.is_some() || self.clustered() || inputs.hosts.is_empty() {
                self.cluster.clone()
            } else {
                inputs.hosts[0].name.clone()
            };
            let template = if app.gpus > 0 { &self.options.gpu_template } else { &self.options.template };
            let message = format!(
                "no file says what guests are made from: templates with the tag {template} are taken"
            );
            self.report.note(&app.file, app.line, &subject, message);
            let mut spec = Map::new();
            spec.insert("cluster".to_owned(), json!(cluster));
            spec.insert("replicas".to_owned(), json!(1));
            spec.insert("template".to_owned(), json!({ "tag": template }));
            if let Some(resources) = self.resources(app, &subject) {
                spec.insert("resources".to_owned(), resources);
            }
            if app.gpus > 0 {
                match &self.options.gpu_mapping {
                    Some(mapping) => {
                        spec.insert("gpus".to_owned(), json!({ "mapping": mapping, "count": app.gpus }));
                    }
                    None => todo.push(format!(
                        "spec.gpus is left out: it needs {} GPU, and no file names the PCI resource mapping (--gpu-mapping)",
                        app.gpus
                    )),
                }
            }
            if let Some(card) = self.card(app, &subject) {
                spec.insert("network".to_owned(), json!([card]));
            }
            let (config_map, environment) =
                (format!("{}-compose", app.name), format!("{}-environment", app.name));
            let mut workload =
                json!({ "compose": { "configMap": { "name": config_map, "key": "docker-compose.yaml" } } });
            let namespace = &self.options.namespace;
            if !app.variables.is_empty() {
                workload["environment"] = json!({ "secret": { "name": environment, "key": ".env" } });
                let names: Vec<&str> = app.variables.keys().map(String::as_str).collect();
                todo.push(format!(
                    "put {} into the Secret {namespace}/{environment}, key .env, one NAME=value a line",
                    names.join(", ")
                ));
            }
            spec.insert("workload".to_owned(), workload);
            if app.gpus > 0 && inputs.hosts.iter().any(|h| h.gpu) {
                let selector = json!({ "hostSelector": { "matchLabels": { "gpu": "true" } } });
                spec.insert("placement".to_owned(), selector);
            }
            for what in &todo {
                self.report.to_do(&app.file, app.line, &subject, what);
            }
            self.namespaces.insert(namespace.clone());
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": config_map, "namespace": namespace, "annotations": { FLUX_SUBSTITUTE: "disabled" } },
                "data": { "docker-compose.yaml": app.text },
            });
            let deployment = object("Deployment", &app.name, Some(namespace), None, Value::Object(spec));
            let path = format!("deployments/{}.yaml", app.name);
            self.add::<Deployment>(&path, &todo, &[("ConfigMap", map), ("Deployment", deployment)]);
        }
    }

    fn resources(&mut self, app: &App, subject: &str) -> Option<Value> {
        let mut resources = Map::new();
        if let Some(cores) = app.cores {
            resources.insert("cores".to_owned(), json!(cores));
        }
        if let Some(memory) = app.memory {
            let gib = memory.saturating_add(SYSTEM_MEMORY).div_ceil(1 << 30);
            resources.insert("memory".to_owned(), json!(format!("{gib}Gi")));
        }
        let message = match (app.cores, app.memory) {
            (None, None) => "no limits in the file: the guest is as big as its template".to_owned(),
            _ => {
                "the guest's size is the sum of the limits, and 2 GiB for its system where memory is limited"
                    .to_owned()
            }
        };
        self.report.note(&app.file, app.line, subject, message);
        (!resources.is_empty()).then_some(Value::Object(resources))
    }

    /// The network card: on the bridge that most hosts have for guests.
    fn card(&mut self, app: &App, subject: &str) -> Option<Value> {
        let mut bridges: BTreeMap<(&str, Option<u32>), usize> = BTreeMap::new();
        for host in &self.inputs.hosts {
            if let Some(bridge) = &host.workload_bridge {
                *bridges.entry((&bridge.value, host.workload_vlan)).or_default() += 1;
            }
        }
        if bridges.len() > 1 {
            let message = "the hosts differ in their bridge or VLAN for guests; that of most hosts is taken";
            self.report.warning(&app.file, app.line, subject, message);
        }
        let ((bridge, vlan), _) = bridges.into_iter().rev().max_by_key(|(_, n)| *n)?;
        let mut card = json!({ "bridge": bridge });
        if let Some(vlan) = vlan {
            card["vlan"] = json!(vlan);
        }
        Some(card)
    }

    fn namespaces(&mut self) {
        let names: Vec<String> = self.namespaces.iter().filter(|n| *n != "default").cloned().collect();
        if names.is_empty() {
            return;
        }
        let objects = names.iter().map(|name| {
            ("Namespace", json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
        });
        let objects: Vec<(&str, Value)> = objects.collect();
        self.add::<Value>("namespaces.yaml", &[], &objects);
    }
}

fn object(kind: &str, name: &str, namespace: Option<&str>, labels: Option<Value>, spec: Value) -> Value {
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    if let Some(labels) = labels {
        metadata["labels"] = labels;
    }
    json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": metadata, "spec": spec })
}

fn credential(secret: &str, key: &str) -> Value {
    json!({ "secret": { "namespace": CREDENTIALS_NAMESPACE, "name": secret, "key": key } })
}

fn in_a_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn some_list(items: &[String]) -> Option<Value> {
    (!items.is_empty()).then(|| json!(items))
}

fn network(host: &Host) -> Option<Value> {
    let mut network = Map::new();
    if let Some(bridge) = &host.management_bridge {
        network.insert("managementBridge".to_owned(), json!(bridge));
    }
    let other = host.workload_bridge.as_ref().filter(|w| Some(&w.value) != host.management_bridge.as_ref());
    if let Some(bridge) = other {
        let mut bridge = json!({ "name": bridge.value });
        // Told only where VLANs are used: a bridge that some guest uses with VLANs must not lose them by an import.
        if host.vlans {
            bridge["vlanAware"] = json!(true);
        }
        network.insert("bridges".to_owned(), json!([bridge]));
    }
    (!network.is_empty()).then_some(Value::Object(network))
}

fn storage(host: &Host) -> Option<Value> {
    let mut storage = Map::new();
    if let Some(disk) = &host.os_disk {
        storage.insert("osDisk".to_owned(), json!(disk.value));
    }
    let pools = host.thin_pools.iter().map(|pool| {
        let mut value =
            json!({ "name": pool.name, "volumeGroup": pool.volume_group, "thinPool": pool.thin_pool });
        if !pool.devices.is_empty() {
            value["devices"] = json!(pool.devices);
        }
        value
    });
    let pools: Vec<Value> = pools.collect();
    if !pools.is_empty() {
        storage.insert("thinPools".to_owned(), Value::Array(pools));
    }
    (!storage.is_empty()).then_some(Value::Object(storage))
}

fn tailscale(host: &Host) -> Option<Value> {
    let tailscale = host.tailscale.as_ref()?;
    let mut value = Map::new();
    if let Some(hostname) = &tailscale.hostname {
        value.insert("hostname".to_owned(), json!(hostname));
    }
    if let Some(address) = &tailscale.address {
        value.insert("address".to_owned(), json!(address));
    }
    if !tailscale.tags.is_empty() {
        value.insert("tags".to_owned(), json!(tailscale.tags));
    }
    (!value.is_empty()).then_some(Value::Object(value))
}
