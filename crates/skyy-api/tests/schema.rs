//! The schemas as a person meets them: every field documented, and every rule refusing what it should.

use kube::core::cel::validate_cel;
use serde_json::{Value, json};
use skyy_api::{
    AddressPool, CephPool, Deployment, DhcpReservation, Firewall, FirewallRule, NatMapping, ProxmoxCluster,
    VirtualIp, all_crds,
};

fn undocumented(at: &str, schema: &Value, found: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let here = format!("{at}.{name}");
            // Conditions and selectors are Kubernetes' own words, with their own documentation.
            if property.get("description").is_none() {
                found.push(here.clone());
            }
            undocumented(&here, property, found);
        }
    }
    if let Some(items) = schema.get("items") {
        undocumented(&format!("{at}[]"), items, found);
    }
}

#[test]
fn every_field_is_documented() {
    for crd in all_crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let root = &schema["openAPIV3Schema"]["properties"];
        let mut found = vec![];
        undocumented(
            &crd.spec.names.kind,
            &json!({"properties": {"spec": root["spec"], "status": root["status"]}}),
            &mut found,
        );
        // The two roots are named by every custom resource alike.
        let roots = [format!("{}.spec", crd.spec.names.kind), format!("{}.status", crd.spec.names.kind)];
        found.retain(|field| !roots.contains(field));
        assert!(found.is_empty(), "without a description: {found:?}");
    }
}

#[test]
fn every_kind_has_a_category_a_short_name_columns_and_an_unanswered_status() {
    for crd in all_crds() {
        let kind = &crd.spec.names.kind;
        let names = &crd.spec.names;
        assert_eq!(names.categories.as_deref(), Some(&["skyy".to_owned()][..]), "{kind}");
        assert_eq!(names.short_names.as_ref().map(Vec::len), Some(1), "{kind}");
        let version = &crd.spec.versions[0];
        assert!(
            version.additional_printer_columns.as_ref().is_some_and(|columns| columns.len() >= 4),
            "{kind}"
        );
        let schema = serde_json::to_value(&version.schema).unwrap();
        let status = &schema["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}), "{kind}");
        assert!(
            !schema.to_string().contains("\"format\":\"uint"),
            "{kind} has an integer format that Kubernetes warns about"
        );
    }
}

#[test]
fn short_names_are_told_apart() {
    let mut names: Vec<String> =
        all_crds().into_iter().flat_map(|crd| crd.spec.names.short_names.unwrap_or_default()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[track_caller]
#[allow(clippy::unwrap_used)] // a helper of tests, which clippy does not see as one
fn check<K>(kind: &str, spec: Value, expected: &str)
where
    K: serde::Serialize + serde::de::DeserializeOwned + kube::CustomResourceExt,
{
    let object = json!({"apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": kind, "metadata": {"name": "a", "namespace": "b"}, "spec": spec});
    let typed: K = serde_json::from_value(object).unwrap();
    let said = match validate_cel(&typed) {
        Ok(()) => String::from("ok"),
        Err(errors) => errors.to_string(),
    };
    assert!(said.contains(expected), "expected {expected:?}, got {said:?}");
}

#[test]
fn rules_refuse_what_cannot_be_meant() {
    let vip = |address: &str, mode: &str| json!({"firewall": "edge", "address": address, "interface": "wan", "mode": mode});
    check::<VirtualIp>("VirtualIP", vip("198.18.0.2/23", "IPAlias"), "ok");
    check::<VirtualIp>("VirtualIP", vip("198.18.0.2", "IPAlias"), "with a prefix length");
    check::<VirtualIp>("VirtualIP", vip("198.18.0.2/23", "CARP"), "vhid is required");

    let nat = |internal: &str| json!({"firewall": "edge", "interface": "wan", "external": "198.18.0.2", "internal": internal});
    check::<NatMapping>("NatMapping", nat("10.20.0.2"), "ok");
    check::<NatMapping>("NatMapping", nat("10.20.0.300"), "must be an IP address");

    let dhcp = |address: &str| json!({"firewall": "edge", "interface": "opt3", "mac": "02:00:00:00:00:01", "address": address});
    check::<DhcpReservation>("DhcpReservation", dhcp("10.20.0.2"), "ok");
    check::<DhcpReservation>("DhcpReservation", dhcp("2001:db8::1"), "must be an IPv4 address");

    let rule = |protocol: &str, destination: &str, ports: Option<&str>| json!({"firewall": "edge", "interfaces": ["wan"], "protocol": protocol, "destination": {"address": destination, "ports": ports}});
    check::<FirewallRule>("FirewallRule", rule("TCP", "10.20.0.2", Some("22")), "ok");
    check::<FirewallRule>("FirewallRule", rule("ICMP", "10.20.0.2", Some("22")), "ports need protocol");
    check::<FirewallRule>("FirewallRule", rule("TCP", "10.20.0.5/24", None), "host bits");
    check::<FirewallRule>("FirewallRule", rule("TCP", "10.20.0.0/24", None), "ok");
    check::<FirewallRule>("FirewallRule", rule("TCP", "lan", None), "ok");

    let firewall = |url: &str, tls: Value| json!({"url": url, "apiKey": {"secret": {"namespace": "a", "name": "b", "key": "c"}}, "tls": tls, "allowedNamespaces": {}});
    check::<Firewall>("Firewall", firewall("https://fw.example.net", json!({})), "ok");
    check::<Firewall>("Firewall", firewall("http://127.0.0.1:8080", json!({})), "ok");
    check::<Firewall>("Firewall", firewall("http://fw.example.net", json!({})), "must begin with https://");
    check::<Firewall>(
        "Firewall",
        firewall("http://127.0.0.1.example.net", json!({})),
        "must begin with https://",
    );
    check::<Firewall>(
        "Firewall",
        firewall("https://fw.example.net", json!({"sha256": ["AA"], "caBundle": "x"})),
        "not both",
    );

    let cluster = |first: u32| json!({"endpoints": ["https://puma-001.example.net:8006"], "token": {"secret": {"namespace": "a", "name": "b", "key": "c"}}, "vmidRange": {"first": first, "last": 200}});
    check::<ProxmoxCluster>("ProxmoxCluster", cluster(100), "ok");
    check::<ProxmoxCluster>("ProxmoxCluster", cluster(300), "first must not be above last");

    let pool = |external: &str| json!({"firewall": "edge", "external": {"interface": "wan", "prefixLength": 23}, "internal": {"interface": "opt3"}, "namespace": "tenants", "addresses": [{"external": external, "internal": "10.20.0.2", "mac": "02:00:00:00:00:01"}]});
    check::<AddressPool>("AddressPool", pool("198.18.0.2"), "ok");
    check::<AddressPool>("AddressPool", pool("10.20.0.2"), "must differ");

    let deployment = |template: Value| json!({"cluster": "puma", "template": template});
    check::<Deployment>("Deployment", deployment(json!({"tag": "ubuntu-24-04"})), "ok");
    check::<Deployment>(
        "Deployment",
        deployment(json!({"tag": "ubuntu-24-04", "vmid": 9000})),
        "exactly one of",
    );
    check::<Deployment>("Deployment", deployment(json!({})), "exactly one of");

    let ceph = |size: u32, pg: u32| json!({"cluster": "ceph-main", "size": size, "minSize": 2, "pgNum": pg});
    check::<CephPool>("CephPool", ceph(3, 32), "ok");
    check::<CephPool>("CephPool", ceph(1, 32), "minSize must not be above size");
    check::<CephPool>("CephPool", ceph(3, 33), "power of two");
}
