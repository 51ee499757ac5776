//! `config.yaml` of the prototype: which systems there are, and what they are called.
//!
//! Knows nothing of resources.

use super::{
    fields::{At, Fields},
    report::Report,
    secret,
    yaml::Node,
};

/// What the global settings say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The file it came from.
    pub file: String,
    /// Whether Proxmox is used.
    pub proxmox: Option<At<bool>>,
    /// Whether its nodes form a cluster.
    pub clustered: Option<At<bool>>,
    /// What that cluster is called.
    pub cluster_name: Option<At<String>>,
    /// Whether there is a subscription, which decides on the package repositories.
    pub subscription: Option<At<bool>>,
    /// Whether there is a Ceph.
    pub ceph: Option<At<bool>>,
    /// Whether Proxmox runs it.
    pub ceph_by_proxmox: Option<At<bool>>,
}

const REPLACED: &str = "Ansible and its scripts are not used any more";

/// Reads the settings; every key that is not needed is reported.
pub fn read(file: &str, node: &Node, report: &mut Report) -> Option<Config> {
    let mut fields = Fields::of(file, "", node, report)?;
    let mut config = Config { file: file.to_owned(), ..Config::default() };
    if let Some(main) = fields.section("main", report) {
        main.rest(
            &[
                ("organization", "no resource has a place for it"),
                ("inventory_script", REPLACED),
                ("default_timeout", "each resource has limits of its own"),
                ("ansible_private_key", REPLACED),
            ],
            report,
        );
    }
    if let Some(ssh) = fields.section("server_ssh_bootstrap", report) {
        let why = "hosts are reached through the API of Proxmox, not by SSH";
        ssh.rest(&[("enabled", why), ("default_user", why)], report);
    }
    if let Some(mut proxmox) = fields.section("proxmox", report) {
        config.proxmox = proxmox.flag("proxmox", report);
        config.subscription = proxmox.flag("proxmox_paid_subscription", report);
        config.clustered = proxmox.flag("proxmox_cluster", report);
        config.cluster_name = proxmox.text("proxmox_cluster_name", report);
        proxmox.rest(&[], report);
    }
    if let Some(mut ceph) = fields.section("ceph", report) {
        config.ceph = ceph.flag("enabled", report);
        config.ceph_by_proxmox = ceph.flag("proxmox_managed", report);
        if let Some(version) = ceph.text("version", report) {
            release(file, &version, report);
        }
        ceph.rest(&[], report);
    }
    if let Some(tailscale) = fields.section("tailscale", report) {
        tailscale.rest(&[("enabled", "each host says for itself whether it is in the tailnet")], report);
    }
    fields.rest(&[], report);
    Some(config)
}

fn release(file: &str, version: &At<String>, report: &mut Report) {
    let known = ["octopus", "pacific", "quincy", "reef", "squid", "tentacle"];
    let given = version.value.trim().to_lowercase();
    if known.contains(&given.as_str()) {
        report.note(
            file,
            version.line,
            "ceph.version",
            "not used: the release is seen, and shown in the status",
        );
    } else {
        let message = format!(
            "{} is no release of Ceph; not used, as the release is seen",
            secret::shown(&version.value)
        );
        report.warning(file, version.line, "ceph.version", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::yaml;

    fn config(text: &str) -> (Option<Config>, Vec<String>) {
        let mut report = Report::default();
        let documents = yaml::parse("config.yaml", text, &mut report).unwrap();
        let config = read("config.yaml", &documents[0], &mut report);
        let found = report.sorted();
        (config, found.iter().map(|f| format!("{:?} {} {}", f.level, f.place(), f.subject)).collect())
    }

    #[test]
    fn settings_are_taken_or_told() {
        let text = "proxmox:\n  proxmox: true\n  proxmox_cluster: yes\n  proxmox_cluster_name: Main\nceph:\n  enabled: true\n  version: reef\nmain:\n  default_timeout: 5\n  colour: red\n";
        let (config, found) = config(text);
        let config = config.unwrap();
        assert_eq!(config.cluster_name, Some(At { value: "Main".to_owned(), line: 4 }));
        assert_eq!(config.ceph.map(|c| c.value), Some(true));
        assert_eq!(
            found,
            [
                "Note config.yaml:7 ceph.version",
                "Note config.yaml:9 main.default_timeout",
                "Warning config.yaml:10 main.colour",
            ]
        );
    }

    #[test]
    fn wrong_types_are_told_and_the_rest_goes_on() {
        let (config, found) = config("proxmox: [1]\nceph: {enabled: perhaps, proxmox_managed: false}\n");
        assert_eq!(config.unwrap().ceph_by_proxmox.map(|v| v.value), Some(false));
        assert_eq!(found, ["Error config.yaml:1 proxmox", "Error config.yaml:2 ceph.enabled"]);
    }
}
