//! At rest nothing is written; what others change by hand is put right, once, and told once.

use serde_json::{Value, json};

use skyy_sim::{Fault, Match};

use crate::world::{World, dhcp, nat, pool, rule, run, vip};

#[test]
fn at_rest_nothing_is_written_anywhere() {
    run(async |world: &World| {
        let pf = world.edge().await;
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9), pool("public", 10, 5)]
        {
            world.apply(manifest).await;
        }
        world.ready("AddressPool", "public").await;
        world.ready("FirewallRule", "web").await;
        world.at_rest(&pf).await;

        let (writes, versions, api) =
            (pf.sim.counts().writes(), world.versions().await, world.api_writes().await);
        let statuses = world.metric("skyy_status_writes_total").await;
        world.looked(&pf, 3).await;
        assert_eq!(pf.sim.counts().writes(), writes, "written to the firewall: {:?}", pf.writes());
        assert_eq!(world.versions().await, versions, "objects or events were written");
        assert_eq!(world.api_writes().await, api, "the API server was asked to write");
        assert_eq!(world.metric("skyy_status_writes_total").await, statuses);
        assert!(api > 0 && statuses > 0, "the counters count");
    });
}

#[test]
fn what_others_change_by_hand_is_put_right_and_told_once() {
    run(async |world: &World| {
        let pf = world.edge().await;
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9)] {
            world.apply(manifest).await;
        }
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            world.ready(kind, "web").await;
        }
        world.at_rest(&pf).await;
        let (right, foreign) = (pf.content(), pf.foreign());

        // Changed, deleted, changed, deleted; and rows of others: one is added, one is changed.
        pf.change_by_hand("virtual_ips", "web [", json!({"subnet_bits": 32})).await;
        pf.delete_by_hand("one_to_one", "web [").await;
        pf.change_by_hand("static_mappings", "web [", json!({"ipaddr": "10.20.0.99"})).await;
        pf.delete_by_hand("rules", "web [").await;
        let added = json!({"mode": "ipalias", "interface": "wan", "subnet": "198.51.100.12", "subnet_bits": 32, "descr": "a new one"});
        pf.add_by_hand("virtual_ips", added).await;
        pf.change_by_hand("rules", "mail", json!({"destination_port": "587"})).await;
        let foreign_now = pf.foreign();
        assert_ne!((pf.content(), &foreign_now), (right.clone(), &foreign));

        world.until("our rows are as they were", async || (pf.content() == right).then_some(())).await;
        world.at_rest(&pf).await;
        assert_eq!(pf.content(), right);
        assert_eq!(pf.foreign(), foreign_now, "rows of others stay as others left them");
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
        let told = world.events("DriftRepaired").await;
        let once = |kind: &str| (format!("{kind} web"), 1);
        assert_eq!(told, ["DhcpReservation", "FirewallRule", "NatMapping", "VirtualIP"].map(once));
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            assert!(world.get(kind, "web").await.unwrap().is_ready(), "{kind}");
        }
    });
}

#[test]
fn a_row_that_was_moved_among_the_rules_goes_back_to_its_place() {
    run(async |world: &World| {
        let pf = world.edge().await;
        for (name, last, priority) in [("first", 9, 1), ("second", 10, 2), ("third", 11, 3)] {
            world.apply(crate::world::with(rule(name, last), json!({"spec": {"priority": priority}}))).await;
        }
        for name in ["first", "second", "third"] {
            world.ready("FirewallRule", name).await;
        }
        let order = || -> Vec<Value> { pf.rows("rules").iter().map(|row| row["tracker"].clone()).collect() };
        let right = order();
        let last = right.len() - 1;
        assert!(pf.rows("rules")[last]["descr"].as_str().unwrap().starts_with("third"));
        pf.change_by_hand("rules", "third [", json!({"placement": 0})).await;
        assert_ne!(order(), right);
        world.until("the rules are in their order again", async || (order() == right).then_some(())).await;
        world.at_rest(&pf).await;
        assert_eq!(world.events("DriftRepaired").await, [("FirewallRule third".to_owned(), 1)]);
    });
}

/// The event says that something was put right; so it waits until it was.
#[test]
fn a_repair_is_told_when_it_is_done_and_not_before() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        let right = pf.content();
        let refuse = pf.sim.faults().add(Fault::status(
            Match::every("POST", "/api/v2/firewall/virtual_ip"),
            500,
            None,
        ));
        pf.delete_by_hand("virtual_ips", "web [").await;
        world.not_ready("VirtualIP", "web", "False EndpointUnavailable").await;
        assert_eq!(world.events("DriftRepaired").await, []);
        assert!(pf.sim.faults().remove(refuse));
        world.ready("VirtualIP", "web").await;
        world.at_rest(&pf).await;
        assert_eq!(world.events("DriftRepaired").await, [("VirtualIP web".to_owned(), 1)]);
        assert_eq!(pf.content(), right);
    });
}

#[test]
fn a_restart_finds_everything_as_it_should_be_and_says_nothing() {
    run(async |world: &World| {
        let pf = world.edge().await;
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9), pool("public", 10, 5)]
        {
            world.apply(manifest).await;
        }
        world.ready("AddressPool", "public").await;
        world.ready("FirewallRule", "web").await;
        world.at_rest(&pf).await;
        let (content, versions) = (pf.content(), world.versions().await);
        world.stop_operator().await;
        pf.sim.counters().reset();
        world.operator().await;
        world.looked(&pf, 3).await;
        assert_eq!(world.versions().await, versions, "no status and no event is news");
        assert_eq!(pf.content(), content);
        // Nobody knows whether what the last process wrote was made effective: that, and only that, is done again.
        let writes = pf.writes();
        assert!(writes.len() <= 3 && writes.iter().all(|write| write.ends_with("/apply")), "{writes:?}");
    });
}
