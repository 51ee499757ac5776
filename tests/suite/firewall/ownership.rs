//! Whose a row is: ours go when they should and only those, others' stay unless an object says otherwise.

use serde_json::json;

use crate::world::{World, dhcp, nat, pool, rule, run, vip, with};

#[test]
fn deleting_everything_removes_exactly_what_was_made() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let foreign = pf.foreign();
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9), pool("public", 10, 3)]
        {
            world.apply(manifest).await;
        }
        world.ready("AddressPool", "public").await;
        world.ready("FirewallRule", "web").await;
        assert_eq!((pf.owned(), pf.foreign()), (16, foreign.clone()));

        // The Firewall first: it has to stay as long as there is something on it.
        world.delete("Firewall", "edge").await;
        let waits =
            |o: &crate::world::Object| o.message("Ready").contains("objects still name this Firewall");
        world.seen("Firewall", "edge", "waits for its rows", waits).await;
        assert_eq!(pf.owned(), 16);
        world.delete("AddressPool", "public").await;
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            world.delete(kind, "web").await;
        }
        for (kind, name) in [
            ("AddressPool", "public"),
            ("VirtualIP", "web"),
            ("NatMapping", "web"),
            ("DhcpReservation", "web"),
            ("FirewallRule", "web"),
            ("Firewall", "edge"),
        ] {
            world.gone(kind, name).await;
        }
        assert_eq!((pf.owned(), pf.foreign(), pf.not_loaded()), (0, foreign, Vec::new()));
    });
}

#[test]
fn retain_lets_go_and_leaves_the_row() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(with(vip("web", 9), json!({"spec": {"deletionPolicy": "Retain"}}))).await;
        world.ready("VirtualIP", "web").await;
        let (content, writes) = (pf.content(), pf.sim.counts().writes());
        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        world
            .seen("Firewall", "edge", "names the row that nobody asks for", |o| {
                o.0["status"]["orphanedRows"][0].as_str().is_some_and(|row| row.contains("198.18.0.9"))
            })
            .await;
        assert_eq!((pf.content(), pf.sim.counts().writes()), (content, writes));

        // An object of the same name takes it up again.
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        assert_eq!(pf.ours("virtual_ips").len(), 1);
        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        assert_eq!(pf.owned(), 0);
    });
}

#[test]
fn a_row_of_others_is_taken_over_only_when_the_object_says_so() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let foreign = pf.foreign();
        let mail =
            with(vip("mail", 0), json!({"spec": {"address": "198.51.100.10/32", "description": "the mail"}}));
        world.apply(mail.clone()).await;
        let words = world.not_ready("VirtualIP", "mail", "False NotOwned").await;
        assert_eq!(
            words,
            "198.51.100.10 already exists on edge as \"mail\", not made by Skyy-Command. Set spec.adopt: true to take it \
             over; plan shows what would change (description \"mail\" → \"the mail\")."
        );
        let refused = world.get("VirtualIP", "mail").await.unwrap();
        assert_eq!(refused.condition("Stalled").as_deref(), Some("True NotOwned"));
        assert_eq!(pf.foreign(), foreign);

        let before = pf.row("virtual_ips", "mail").unwrap();
        world.apply(with(mail, json!({"spec": {"adopt": true}}))).await;
        world.ready("VirtualIP", "mail").await;
        let after = pf.row("virtual_ips", "the mail [skyy:suite/tenants/mail#").unwrap();
        assert_eq!(
            with(after.clone(), json!({"descr": before["descr"]})),
            before,
            "only the description is new"
        );
        assert_eq!(pf.ours("virtual_ips"), [after]);
        let others = foreign["virtual_ips"].as_array().unwrap();
        assert_eq!(pf.foreign()["virtual_ips"].as_array().unwrap()[..], others[1..]);
    });
}

#[test]
fn of_two_objects_for_one_row_the_first_has_it_and_the_other_follows() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(vip("alpha", 9)).await;
        world.ready("VirtualIP", "alpha").await;
        world.apply(vip("beta", 9)).await;
        let words = world.not_ready("VirtualIP", "beta", "False Conflict").await;
        assert!(words.contains("198.18.0.9") && words.contains("tenants/alpha"), "{words}");
        assert!(world.get("VirtualIP", "alpha").await.unwrap().is_ready());
        assert_eq!(pf.owned(), 1);

        world.delete("VirtualIP", "alpha").await;
        world.gone("VirtualIP", "alpha").await;
        world.ready("VirtualIP", "beta").await;
        assert_eq!(pf.owned(), 1);
        assert!(pf.row("virtual_ips", "beta [skyy:suite/tenants/beta#").is_some());
    });
}

#[test]
fn two_installations_leave_each_other_alone() {
    run(async |world: &World| {
        let pf = world.edge().await;
        // What another installation of the operator has made.
        let theirs = json!({
            "mode": "ipalias", "interface": "wan", "subnet": "198.18.0.9", "subnet_bits": 23,
            "descr": "web [skyy:other/tenants/web#01234567]",
        });
        pf.add_by_hand("virtual_ips", theirs).await;
        let before = pf.rows("virtual_ips");
        world.apply(vip("web", 9)).await;
        let words = world.not_ready("VirtualIP", "web", "False NotOwned").await;
        assert!(words.contains("made by the installation \"other\" of Skyy-Command"), "{words}");
        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        assert_eq!(pf.rows("virtual_ips"), before);
    });
}
