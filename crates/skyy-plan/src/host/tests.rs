//! Nodes: bridges and repositories, and what must never be changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> ProxmoxHostSpec {
    let mut whole = json!({"cluster": "puma"});
    for (name, value) in value.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

/// `eth0` under `vmbr0` with the management address, `eth1` free, `bond0` over two cards.
fn interfaces() -> Vec<Interface> {
    let rows = json!([
        {"iface": "eth0", "type": "eth", "active": 1, "method": "manual"},
        {"iface": "eth1", "type": "eth", "active": 1, "altnames": ["enp5s0"]},
        {"iface": "eth2", "type": "eth"}, {"iface": "eth3", "type": "eth"},
        {"iface": "bond0", "type": "bond", "slaves": "eth2 eth3"},
        {"iface": "vmbr0", "type": "bridge", "autostart": 1, "bridge_ports": "eth0", "bridge_fd": "0",
         "cidr": "10.99.0.1/24", "address": "10.99.0.1", "gateway": "10.99.0.254"},
    ]);
    rows.as_array().unwrap().iter().map(|row| Interface::from_raw(row.as_object().unwrap())).collect()
}

fn with(more: Value) -> Observed {
    let mut interfaces = interfaces();
    interfaces
        .extend(more.as_array().unwrap().iter().map(|row| Interface::from_raw(row.as_object().unwrap())));
    Observed { interfaces, ..Observed::default() }
}

fn say(spec: &ProxmoxHostSpec, observed: &Observed) -> Vec<String> {
    let plan = plan(spec, "pve1", observed);
    let refusals = plan.refusals.iter().map(|refusal| format!("{}: {refusal}", refusal.reason));
    plan.actions
        .iter()
        .map(|action| format!("+ {action}"))
        .chain(plan.steps.iter().map(ToString::to_string))
        .chain(refusals)
        .collect()
}

#[track_caller]
fn check(wanted: Value, observed: &Observed, expect: &[&str]) {
    assert_eq!(say(&spec(wanted), observed), expect);
}

fn bridges(bridges: Value) -> Value {
    json!({"address": "10.99.0.1", "network": {"managementBridge": "vmbr0", "bridges": bridges}})
}

#[test]
fn a_bridge_is_made_changed_and_left_alone() {
    let wanted = bridges(json!([{"name": "vmbr1", "ports": ["eth1"], "vlanAware": true, "mtu": 9000}]));
    check(
        wanted.clone(),
        &with(json!([])),
        &[
            "+ create bridge vmbr1 (ports eth1, VLAN-aware, MTU 9000)",
            "POST network vmbr1",
            "PUT network (apply)",
        ],
    );
    let there = json!([{"iface": "vmbr1", "type": "bridge", "bridge_ports": "eth1", "bridge_vlan_aware": 1, "mtu": "9000"}]);
    check(wanted.clone(), &with(there), &[]);
    let otherwise =
        json!([{"iface": "vmbr1", "type": "bridge", "bridge_ports": "bond0", "cidr": "10.30.0.1/16"}]);
    check(
        wanted,
        &with(otherwise),
        &[
            "+ change bridge vmbr1: ports bond0 → eth1, vlan-aware no → yes, MTU default → 9000",
            "PUT network vmbr1",
            "PUT network (apply)",
        ],
    );
    check(json!({}), &with(json!([{"iface": "vmbr9", "type": "bridge"}])), &[]);
}

#[test]
fn a_change_keeps_what_it_is_not_about_and_unsets_by_name() {
    let seen = json!([{"iface": "vmbr1", "type": "bridge", "autostart": 1, "bridge_ports": "eth1", "bridge_vlan_aware": 1,
        "bridge_vids": "2-100", "cidr": "10.30.0.1/16", "cidr6": "2001:db8::1/64", "comments": "tenants\n"}]);
    let plan = plan(&spec(bridges(json!([{"name": "vmbr1", "vlanAware": false}]))), "pve1", &with(seen));
    let Step::UpdateBridge { bridge, unset } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(unset, &["bridge_vlan_aware", "bridge_vids"]);
    assert_eq!(
        (bridge.cidr.as_deref(), bridge.cidr6.as_deref()),
        (Some("10.30.0.1/16"), Some("2001:db8::1/64"))
    );
    assert_eq!((bridge.comments.as_deref(), bridge.autostart, &bridge.vids), (Some("tenants"), true, &None));
    assert!(bridge.ports.contains("eth1"));
}

#[test]
fn what_carries_the_management_address_is_never_changed() {
    check(
        bridges(json!([{"name": "vmbr0", "vlanAware": true}])),
        &with(json!([])),
        &[
            "Invalid: spec.network.bridges[0].name: vmbr0 carries the management address of pve1 and is never changed; it would need vlan-aware no → yes. Change it by hand.",
        ],
    );
    // It is there as asked: nothing to refuse.
    check(
        bridges(json!([{"name": "vmbr0", "ports": ["eth0"], "address": "10.99.0.1/24"}])),
        &with(json!([])),
        &[],
    );
    // Known by the address alone, on a VLAN on a bridge.
    let mut observed = with(json!([
        {"iface": "vmbr5", "type": "bridge", "bridge_ports": "bond0"},
        {"iface": "vmbr5.501", "type": "vlan", "cidr": "10.98.0.1/24", "vlan-raw-device": "vmbr5"},
    ]));
    let by_address =
        json!({"address": "10.98.0.1", "network": {"bridges": [{"name": "vmbr5", "mtu": 9000}]}});
    check(
        by_address,
        &observed,
        &[
            "Invalid: spec.network.bridges[0].name: vmbr5 carries the management address of pve1 and is never changed; it would need MTU default → 9000. Change it by hand.",
        ],
    );
    // A card that carries it without a bridge cannot become a port.
    observed.interfaces[1].cidr = Some("10.97.0.1/24".into());
    check(
        json!({"address": "10.97.0.1", "network": {"bridges": [{"name": "vmbr1", "ports": ["eth1"]}]}}),
        &observed,
        &[
            "Invalid: spec.network.bridges[0].ports: eth1 carries the management address of pve1; it cannot become a port",
        ],
    );
    check(
        json!({"network": {"managementBridge": "vmbr7", "bridges": []}}),
        &with(json!([])),
        &["Invalid: spec.network.managementBridge: pve1 has no bridge vmbr7. It is expected to exist."],
    );
}

#[test]
fn a_port_must_be_there_and_free() {
    let port = |port: &str| bridges(json!([{"name": "vmbr1", "ports": [port]}]));
    check(
        port("eth9"),
        &with(json!([])),
        &[
            "Invalid: spec.network.bridges[0].ports: pve1 has no interface eth9; it has eth0, eth1, eth2, eth3, bond0",
        ],
    );
    for (taken, by) in [("eth0", "vmbr0"), ("eth2", "bond0")] {
        let want =
            format!("Invalid: spec.network.bridges[0].ports: {taken} is a part of {by} on pve1 already");
        check(port(taken), &with(json!([])), &[&want]);
    }
    for fine in ["enp5s0", "eth1.40", "bond0"] {
        assert_eq!(say(&spec(port(fine)), &with(json!([]))).len(), 3, "{fine}");
    }
    check(
        bridges(json!([{"name": "bond0"}])),
        &with(json!([])),
        &["Invalid: spec.network.bridges[0].name: bond0 exists on pve1 and is no Linux bridge but \"bond\""],
    );
    check(
        bridges(json!([{"name": "vmbr1", "ports": ["eth1"]}, {"name": "vmbr2", "ports": ["eth1"]}])),
        &with(json!([])),
        &["Invalid: spec.network.bridges[1].ports: eth1 is a part of vmbr1 on pve1 already"],
    );
}

/// As a real node answered after `vmbr1` was staged.
const STAGED: &str = "--- /etc/network/interfaces\t2026\n+++ /etc/network/interfaces.new\t2026\n@@ -1,3 +1,14 @@\n+# network interface settings; autogenerated\n+# Please do NOT modify this file directly, unless you know what\n+\n auto lo\n iface lo inet loopback\n \n@@ -11,4 +22,13 @@\n \tbridge-stp off\n \tbridge-fd 0\n \n+auto vmbr1\n+iface vmbr1 inet manual\n+\tbridge-ports none\n+\tbridge-stp off\n+\tbridge-fd 0\n+\tbridge-vlan-aware yes\n+\tbridge-vids 2-4094\n+#vlan trunk\n+\n source /etc/network/interfaces.d/*\n";

#[test]
fn staged_changes_are_ours_when_they_say_what_is_asked() {
    let there = json!([{"iface": "vmbr1", "type": "bridge", "bridge_ports": "", "bridge_vlan_aware": 1}]);
    let staged = Observed { changes: Some(STAGED.into()), ..with(there) };
    check(
        bridges(json!([{"name": "vmbr1", "vlanAware": true}])),
        &staged,
        &["+ apply the staged network", "PUT network (apply)"],
    );
    // Half of the work was staged before a restart.
    check(
        bridges(json!([{"name": "vmbr1", "vlanAware": true}, {"name": "vmbr2"}])),
        &staged,
        &["+ create bridge vmbr2 (no ports)", "POST network vmbr2", "PUT network (apply)"],
    );
    // Somebody made it VLAN-aware, and the spec does not say so.
    let foreign = "ForeignChangesStaged: pve1 has 2 staged network change(s) by somebody else, such as \"+bridge-vlan-aware yes\"; applying ours would apply them too. Apply or revert them on the node (Network: Apply Configuration, or Revert).";
    check(bridges(json!([{"name": "vmbr1", "ports": []}])), &staged, &[foreign]);
    // What is staged concerns nothing that is asked for, and nothing else is to be done.
    check(bridges(json!([{"name": "vmbr0"}])), &staged, &[]);
    let all = "ForeignChangesStaged: pve1 has 7 staged network change(s) by somebody else, such as \"+auto vmbr1\"; applying ours would apply them too. Apply or revert them on the node (Network: Apply Configuration, or Revert).";
    check(bridges(json!([{"name": "vmbr2"}])), &staged, &[all]);
}

#[test]
fn a_staged_removal_is_somebody_elses() {
    let removal = "--- a\n+++ b\n@@ -5,9 +5,3 @@\n-auto vmbr1\n-iface vmbr1 inet manual\n-\tbridge-ports eth1\n-\tbridge-stp off\n";
    let observed = Observed { changes: Some(removal.into()), ..with(json!([])) };
    let said = say(&spec(bridges(json!([{"name": "vmbr1", "ports": ["eth1"]}]))), &observed);
    assert!(said.len() == 1 && said[0].starts_with("ForeignChangesStaged"), "{said:?}");
    // A hunk that does not say whose lines it changes is nobody's.
    let headless = "@@ -5,2 +5,2 @@\n-\tmtu 1500\n+\tmtu 9000\n";
    let observed = Observed { changes: Some(headless.into()), ..with(json!([])) };
    let said = say(&spec(bridges(json!([{"name": "vmbr1", "mtu": 9000}]))), &observed);
    assert!(said[0].contains("2 staged"), "{said:?}");
}

fn repositories(enterprise: Option<bool>, no_subscription: Option<bool>) -> Repositories {
    let mut files = Vec::new();
    let mut standard = Vec::new();
    for (handle, enabled) in [("enterprise", enterprise), ("no-subscription", no_subscription)] {
        standard.push(json!({"handle": handle, "name": handle, "status": enabled.map(u8::from)}));
        if let Some(enabled) = enabled {
            let repository = json!({"Enabled": u8::from(enabled), "Types": ["deb"], "Suites": ["trixie"],
                "Components": [format!("pve-{handle}")], "URIs": ["http://download.proxmox.com/debian/pve"]});
            files.push(json!({"path": format!("/etc/apt/sources.list.d/{handle}.sources"), "repositories": [
                {"Enabled": 1, "Types": ["deb"], "Components": ["main"], "URIs": ["http://deb.debian.org/debian"]},
                repository]}));
        }
    }
    let raw = json!({"digest": "d1", "errors": [], "files": files, "standard-repos": standard});
    Repositories::from_raw(raw.as_object().unwrap())
}

#[test]
fn repositories_are_switched_or_added_one_at_a_time() {
    let wanted = json!({"repositories": {"enterprise": false, "noSubscription": true}});
    let seen = |enterprise, no_subscription| Observed {
        repositories: Some(repositories(enterprise, no_subscription)),
        ..Observed::default()
    };
    check(wanted.clone(), &seen(Some(false), Some(true)), &[]);
    check(wanted.clone(), &seen(None, Some(true)), &[]);
    check(
        wanted.clone(),
        &seen(Some(true), Some(true)),
        &[
            "+ switch the repository enterprise off (/etc/apt/sources.list.d/enterprise.sources)",
            "POST apt/repositories /etc/apt/sources.list.d/enterprise.sources #1: off",
        ],
    );
    // On before off, and the other one with a new digest.
    check(
        wanted.clone(),
        &seen(Some(true), None),
        &["+ add the repository no-subscription", "PUT apt/repositories no-subscription"],
    );
    assert!(plan(&spec(wanted), "pve1", &seen(Some(true), None)).again);
    check(json!({"repositories": {}}), &seen(Some(true), None), &[]);
}

#[test]
fn a_repository_that_cannot_be_added_is_refused() {
    let mut seen = repositories(None, None);
    seen.standard.retain(|one| one.handle != "enterprise");
    seen.errors = vec!["/etc/apt/sources.list: no such suite".into()];
    let observed = Observed { repositories: Some(seen), ..Observed::default() };
    check(
        json!({"repositories": {"enterprise": true, "noSubscription": true}}),
        &observed,
        &[
            "Refused: pve1 knows no repository \"enterprise\"; it cannot be switched on.",
            "Refused: pve1 cannot read all its repositories (/etc/apt/sources.list: no such suite), so \"no-subscription\" is not added. Mend that file.",
        ],
    );
}

/// What a node makes of the steps.
fn carry_out(steps: &[Step], observed: &mut Observed) {
    for step in steps {
        match step {
            Step::CreateBridge(bridge) | Step::UpdateBridge { bridge, .. } => {
                observed.interfaces.retain(|one| one.name != bridge.name);
                observed.interfaces.push(Interface {
                    name: bridge.name.clone(),
                    kind: "bridge".into(),
                    autostart: bridge.autostart,
                    ports: bridge.ports.clone(),
                    vlan_aware: bridge.vlan_aware,
                    vids: bridge.vids.clone(),
                    cidr: bridge.cidr.clone(),
                    cidr6: bridge.cidr6.clone(),
                    gateway: bridge.gateway.clone(),
                    gateway6: bridge.gateway6.clone(),
                    mtu: bridge.mtu,
                    comments: bridge.comments.clone(),
                    ..Interface::default()
                });
                observed.changes = Some("staged".into());
            }
            Step::ApplyNetwork => observed.changes = None,
            Step::EnableRepository { path, index, enabled, digest } => {
                let seen = observed.repositories.as_mut().unwrap();
                assert_eq!(seen.digest, *digest);
                let file = seen.files.iter_mut().find(|file| file.path == *path).unwrap();
                file.repositories[*index as usize].enabled = *enabled;
                seen.digest.as_mut().unwrap().push('+');
            }
            Step::AddStandardRepository { handle, digest } => {
                let seen = observed.repositories.as_mut().unwrap();
                assert_eq!(seen.digest, *digest);
                let added = repositories(
                    (handle == "enterprise").then_some(true),
                    (handle == "no-subscription").then_some(true),
                );
                seen.files.extend(added.files);
                seen.digest.as_mut().unwrap().push('+');
            }
        }
    }
}

prop_compose! {
    fn some_bridge()(
        name in 0..4_usize,
        ports in prop::option::of(prop::collection::vec(0..6_usize, 0..3)),
        aware in prop::option::of(any::<bool>()),
        address in prop::option::of(0..3_usize),
        mtu in prop::option::of(0..2_u32),
    ) -> Value {
        let mut bridge = json!({"name": format!("vmbr{name}")});
        let names = ["eth0", "eth1", "eth2", "bond0", "eth9", "eth1.7"];
        if let Some(ports) = ports {
            bridge["ports"] = ports.into_iter().map(|port| names[port]).collect();
        }
        if let Some(aware) = aware {
            bridge["vlanAware"] = aware.into();
        }
        if let Some(address) = address {
            bridge["address"] = ["10.30.0.1/16", "10.99.0.1/24", "2001:db8::1/64"][address].into();
        }
        if let Some(mtu) = mtu {
            bridge["mtu"] = (1500 + mtu * 7500).into();
        }
        bridge
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_second_plan_is_empty_and_others_are_not_touched(
        wanted in prop::collection::vec(some_bridge(), 0..4),
        there in prop::collection::vec(some_bridge(), 0..3),
        have in (prop::option::of(any::<bool>()), prop::option::of(any::<bool>())),
        want in (prop::option::of(any::<bool>()), prop::option::of(any::<bool>())),
    ) {
        let mut observed = with(json!([]));
        for bridge in &there {
            let name = bridge["name"].as_str().unwrap();
            if !observed.interfaces.iter().any(|one| one.name == name) {
                observed.interfaces.push(Interface {
                    name: name.into(),
                    kind: "bridge".into(),
                    vlan_aware: bridge["vlanAware"] == json!(true),
                    cidr: bridge["address"].as_str().filter(|text| text.contains('.')).map(str::to_owned),
                    ..Interface::default()
                });
            }
        }
        observed.repositories = Some(repositories(have.0, have.1));
        let mut names = BTreeSet::new();
        let wanted: Vec<Value> = wanted.into_iter().filter(|one| names.insert(one["name"].to_string())).collect();
        let mut value = bridges(json!(wanted));
        value["repositories"] = json!({"enterprise": want.0, "noSubscription": want.1});
        let spec = spec(value);
        let before = observed.clone();
        let mut last = plan(&spec, "pve1", &observed);
        let refused = last.refusals.clone();
        for round in 0.. {
            prop_assert!(round < 3);
            let applies = last.steps.iter().filter(|step| **step == Step::ApplyNetwork).count();
            prop_assert!(applies <= 1);
            if last.steps.is_empty() {
                break;
            }
            carry_out(&last.steps, &mut observed);
            last = plan(&spec, "pve1", &observed);
        }
        prop_assert_eq!(last.refusals, refused);
        prop_assert!(observed.changes.is_none() && !last.again);
        for one in &before.interfaces {
            let asked = names.contains(&format!("{:?}", one.name));
            if !asked || one.name == "vmbr0" {
                prop_assert!(observed.interfaces.contains(one), "{} changed", one.name);
            }
        }
    }
}
