//! `skyyctl import`: files of the prototype in, resources out, and a report of everything that did not fit.
//!
//! Works without a cluster and without a network.

pub mod clean;
pub mod compose;
pub mod config;
pub mod fields;
pub mod host;
pub mod names;
pub mod networking;
pub mod report;
pub mod resources;
pub mod secret;
pub mod source;
pub mod write;
pub mod yaml;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
};

use self::{
    report::{Finding, Report},
    resources::Inputs,
    source::{Sort, Source},
    write::Files,
};

/// What the files do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The namespace for rows and guests.
    pub namespace: String,
    /// A ProxmoxCluster that exists already; none is written then.
    pub cluster: Option<String>,
    /// A Firewall that exists already; none is written then.
    pub firewall: Option<String>,
    /// There is a CephCluster already; none is written then.
    pub ceph_exists: bool,
    /// The firewall's interface with the external addresses.
    pub external_interface: String,
    /// The length of the external network's prefix.
    pub prefix_length: u8,
    /// The firewall's interface with the internal addresses.
    pub internal_interface: String,
    /// The tag of the template for guests.
    pub template: String,
    /// The tag of the template for guests with GPUs.
    pub gpu_template: String,
    /// The PCI resource mapping of the GPUs.
    pub gpu_mapping: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "tenants".to_owned(),
            cluster: None,
            firewall: None,
            ceph_exists: false,
            external_interface: "wan".to_owned(),
            prefix_length: 23,
            internal_interface: "opt3".to_owned(),
            template: "ubuntu-24-04".to_owned(),
            gpu_template: "ubuntu-24-04-gpu".to_owned(),
            gpu_mapping: None,
        }
    }
}

/// What an import came to.
#[derive(Debug)]
pub struct Imported {
    /// The tree: path → content.
    pub files: Files,
    /// Kind → how many.
    pub counts: BTreeMap<String, usize>,
    /// Everything that has to be said, by place.
    pub findings: Vec<Finding>,
}

impl Imported {
    /// Whether nothing could be used.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Reads the files and makes the tree, without writing it.
pub fn import(paths: &[PathBuf], options: &Options) -> Imported {
    let mut report = Report::default();
    let sources = source::gather(paths, &mut report);
    let inputs = read(&sources, options, &mut report);
    let outputs = resources::make(options, &inputs, &mut report);
    Imported { files: outputs.files, counts: outputs.counts, findings: report.sorted() }
}

fn read(sources: &[Source], options: &Options, report: &mut Report) -> Inputs {
    let mut inputs = Inputs::default();
    let mut taken = networking::Taken::default();
    // Names of objects → the place that has them.
    let mut names: HashMap<(Sort, String), String> = HashMap::new();
    for Source { file, stem, sort, node } in sources {
        let mut is_new = |name: &str, line: usize, what: &str, report: &mut Report| {
            let place = format!("{file}:{line}");
            if let Some(first) = names.get(&(*sort, name.to_owned())) {
                report.error(file, line, what, format!("{name} is there already ({first}); left out"));
                return false;
            }
            names.insert((*sort, name.to_owned()), place);
            true
        };
        match sort {
            Sort::Config => {
                if inputs.config.is_some() {
                    report.error(file, node.line, "the file", "a second file with settings; left out");
                } else {
                    inputs.config = config::read(file, node, report);
                }
            }
            Sort::Host => {
                if let Some(host) = host::read(file, node, report)
                    && is_new(&host.name, host.line, "hostname", report)
                {
                    inputs.hosts.push(host);
                }
            }
            Sort::Networking => {
                let pool = networking::read(file, stem, node, options.prefix_length, &mut taken, report);
                if let Some(pool) = pool
                    && is_new(&pool.name, pool.line, "the file", report)
                {
                    inputs.pools.push(pool);
                }
            }
            Sort::Compose => {
                if let Some(app) = compose::read(file, stem, node, report)
                    && is_new(&app.name, app.line, "the file", report)
                {
                    inputs.apps.push(app);
                }
            }
        }
    }
    compare(&inputs, report);
    inputs
}

/// What only shows when all files are seen together.
fn compare(inputs: &Inputs, report: &mut Report) {
    let mut addresses: HashMap<IpAddr, String> = HashMap::new();
    let mut tailnet: HashMap<&str, &str> = HashMap::new();
    for host in &inputs.hosts {
        if let Some(at) = &host.address {
            if let Some(first) = addresses.get(&at.value) {
                let message = format!("{} is also the address of another host ({first})", at.value);
                report.warning(&host.file, at.line, "ip_address", message);
            } else {
                addresses.insert(at.value, format!("{}:{}", host.file, at.line));
            }
        }
        let name = host.tailscale.as_ref().and_then(|t| t.hostname.as_deref());
        if let Some(name) = name {
            if let Some(first) = tailnet.get(name) {
                let message = format!("{name} is also the name of another host in the tailnet ({first})");
                report.warning(&host.file, host.line, "settings.networking.tailscale.hostname", message);
            } else {
                tailnet.insert(name, &host.file);
            }
        }
    }
    for pool in &inputs.pools {
        for entry in &pool.entries {
            for (key, address) in [("public_ip", entry.external), ("internal_ip", entry.internal)] {
                if let Some(host) = addresses.get(&address) {
                    let message = format!("{address} is the management address of a host ({host})");
                    report.warning(&pool.file, entry.line, format!("ips[].{key}"), message);
                }
            }
        }
    }
}
