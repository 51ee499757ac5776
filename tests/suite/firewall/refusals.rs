//! What cannot be: each object says so for itself, and the others go on.

use std::time::Duration;

use serde_json::json;

use crate::world::{NAMESPACE, World, dhcp, firewall, nat, rule, run, vip, with};

#[test]
fn a_row_waits_for_a_firewall_that_does_not_exist_yet() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.apply(vip("web", 9)).await;
        let words = world.not_ready("VirtualIP", "web", "False DependencyMissing").await;
        assert_eq!(words, "Firewall edge does not exist; create it, or name another in spec.firewall");
        world.firewall(&pf).await;
        world.ready("VirtualIP", "web").await;

        // One that never comes does not keep its object either.
        world.apply(with(vip("lost", 10), json!({"spec": {"firewall": "nowhere"}}))).await;
        world.not_ready("VirtualIP", "lost", "False DependencyMissing").await;
        world.delete("VirtualIP", "lost").await;
        world.gone("VirtualIP", "lost").await;
    });
}

#[test]
fn a_namespace_must_be_allowed_by_the_firewall() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.secret(&pf, crate::world::KEY).await;
        let only = json!({"matchLabels": {"skyy.helloskyy.io/firewall": "edge", "tier": "public"}});
        world.apply(with(firewall(&pf), json!({"spec": {"allowedNamespaces": only}}))).await;
        world.ready("Firewall", "edge").await;
        world.apply(vip("web", 9)).await;
        let words = world.not_ready("VirtualIP", "web", "False NamespaceNotAllowed").await;
        assert!(
            words.contains("does not take rows from namespace tenants") && words.contains("tier=public"),
            "{words}"
        );
        assert_eq!(pf.owned(), 0);

        // Either side may give way.
        world.patch("Namespace", NAMESPACE, json!({"metadata": {"labels": {"tier": "public"}}})).await;
        world.ready("VirtualIP", "web").await;
        world.patch("Namespace", NAMESPACE, json!({"metadata": {"labels": {"tier": null}}})).await;
        world.apply(vip("more", 10)).await;
        world.not_ready("VirtualIP", "more", "False NamespaceNotAllowed").await;
        let wider = json!({"matchLabels": {"skyy.helloskyy.io/firewall": "edge"}});
        world.apply(with(firewall(&pf), json!({"spec": {"allowedNamespaces": wider}}))).await;
        world.ready("VirtualIP", "more").await;
        assert_eq!(pf.owned(), 2);
    });
}

#[test]
fn what_the_firewall_refuses_is_refused_for_that_object_alone() {
    run(async |world: &World| {
        let pf = world.edge().await;
        // Together, so that they are written as one list, of which one row is wrong.
        pf.sim.unplug(Duration::from_hours(1));
        world.not_ready("Firewall", "edge", "False EndpointUnavailable").await;
        for last in 10..18 {
            world.apply(nat(&format!("web-{last}"), last)).await;
        }
        world.apply(with(nat("wrong", 30), json!({"spec": {"destination": "no_such_alias"}}))).await;
        world.apply(with(rule("wrong", 30), json!({"spec": {"interfaces": ["opt9"]}}))).await;
        world.apply(rule("web", 10)).await;
        world.apply(with(vip("wrong", 30), json!({"spec": {"interface": "opt9"}}))).await;
        world.apply(with(dhcp("wrong", 30), json!({"spec": {"interface": "wan"}}))).await;
        for (kind, name) in [("NatMapping", "web-10"), ("NatMapping", "wrong"), ("DhcpReservation", "wrong")]
        {
            world.not_ready(kind, name, "False EndpointUnavailable").await;
        }
        pf.sim.plug();

        for last in 10..18 {
            world.ready("NatMapping", &format!("web-{last}")).await;
        }
        world.ready("FirewallRule", "web").await;
        let words = world.not_ready("NatMapping", "wrong", "False Refused").await;
        assert!(words.contains("no_such_alias"), "{words}");
        let words = world.not_ready("FirewallRule", "wrong", "False Refused").await;
        assert!(words.contains("`interface` must be one of [wan, lan, opt3"), "{words}");
        let words = world.not_ready("VirtualIP", "wrong", "False Invalid").await;
        assert_eq!(words, "spec.interface: edge has no interface \"opt9\"; it has wan, lan, opt3.");
        let words = world.not_ready("DhcpReservation", "wrong", "False Invalid").await;
        assert_eq!(words, "spec.interface: edge has no DHCP server on \"wan\"; it has one on lan, opt3.");
        for (kind, reason) in
            [("NatMapping", "Refused"), ("FirewallRule", "Refused"), ("VirtualIP", "Invalid")]
        {
            let stalled = world.get(kind, "wrong").await.unwrap().condition("Stalled");
            assert_eq!(stalled, Some(format!("True {reason}")), "{kind}");
        }
        assert_eq!((pf.owned(), pf.not_loaded()), (9, Vec::new()));
        world.ready("Firewall", "edge").await;

        // Put right, each becomes what it should be; and a wrong one can go.
        world.apply(nat("wrong", 30)).await;
        world.ready("NatMapping", "wrong").await;
        for kind in ["FirewallRule", "VirtualIP", "DhcpReservation"] {
            world.delete(kind, "wrong").await;
            world.gone(kind, "wrong").await;
        }
        assert_eq!(pf.owned(), 10);
    });
}

#[test]
fn a_rule_that_would_lock_the_administrators_out_is_not_made() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let protect = json!({"spec": {"protect": {"managementSources": ["192.168.1.0/24"]}}});
        world.apply(with(firewall(&pf), protect)).await;
        let block = json!({
            "interfaces": ["lan"], "action": "Block", "protocol": "Any", "source": {"address": "192.168.1.0/25"},
            "destination": {"address": "any", "ports": null},
        });
        world.apply(with(rule("block", 9), json!({"spec": block}))).await;
        let words = world.not_ready("FirewallRule", "block", "False WouldLockOut").await;
        assert!(words.contains("192.168.1.0/24 on lan"), "{words}");
        assert_eq!(pf.owned(), 0);
        let narrow = json!({"spec": {"destination": {"address": "10.20.0.9"}}});
        world.patch("FirewallRule", "block", narrow).await;
        world.ready("FirewallRule", "block").await;
        assert_eq!(pf.owned(), 1);
    });
}

/// What an operator meets that is older than the CRDs: an object with a word that it does not know.
#[test]
fn an_object_that_cannot_be_read_harms_no_other() {
    run(async |world: &World| {
        world.spoil();
        let pf = world.edge().await;
        world.apply(vip("known", 9)).await;
        world.apply(vip("turning", 10)).await;
        world.ready("VirtualIP", "known").await;
        world.ready("VirtualIP", "turning").await;
        let row = pf.row("virtual_ips", "turning [").unwrap();

        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mode/enum";
        let loose = json!([{"op": "remove", "path": path}]).to_string();
        let crd = "virtualips.skyy.helloskyy.io";
        world.plane().kubectl(&["patch", "crd", crd, "--type=json", "-p", &loose]).unwrap();
        let quantum = json!({"spec": {"mode": "Quantum"}});
        world
            .until("the API server takes the new word", async || {
                world.try_apply(with(vip("strange", 11), quantum.clone())).await.ok()
            })
            .await;
        world.patch("VirtualIP", "turning", quantum).await;
        for name in ["strange", "turning"] {
            let words = world.not_ready("VirtualIP", name, "False Invalid").await;
            assert!(words.contains("cannot read the object") && words.contains("Quantum"), "{words}");
        }
        world.apply(vip("after", 12)).await;
        world.ready("VirtualIP", "after").await;
        assert_eq!(pf.row("virtual_ips", "turning [").as_ref(), Some(&row));
        assert_eq!(pf.owned(), 3);

        // After a restart they are there from the beginning.
        world.stop_operator().await;
        world.operator().await;
        world.apply(vip("restarted", 13)).await;
        world.ready("VirtualIP", "restarted").await;
        assert_eq!(pf.row("virtual_ips", "turning [").as_ref(), Some(&row));
        assert_eq!(pf.owned(), 4);
        world.patch("VirtualIP", "turning", json!({"spec": {"mode": "IPAlias"}})).await;
        world.ready("VirtualIP", "turning").await;
        world.delete("VirtualIP", "strange").await;
        world.gone("VirtualIP", "strange").await;
        assert_eq!(pf.owned(), 4);
    });
}
