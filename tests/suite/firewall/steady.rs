//! At rest nothing is written; what others change by hand is put right, once, and told once.

use serde_json::{Value, json};

use crate::world::{Pf, World, dhcp, nat, pool, rule, run, vip};

/// How many looks at the firewall have begun.
fn looks(pf: &Pf) -> u64 {
    pf.sim.counts().path("GET", "/api/v2/firewall/virtual_ips")
}

/// Waits for this many further looks at the firewall.
async fn looked(world: &World, pf: &Pf, further: u64) {
    let target = looks(pf) + further;
    world.until(&format!("{further} further looks"), async || (looks(pf) >= target).then_some(())).await;
}

/// Waits until one look has passed in which nothing was written.
async fn at_rest(world: &World, pf: &Pf) {
    world
        .until("nothing is written from one look to the next", async || {
            let before = world.versions().await;
            looked(world, pf, 1).await;
            (world.versions().await == before).then_some(())
        })
        .await;
}

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
        at_rest(world, &pf).await;

        let (writes, versions, api) =
            (pf.sim.counts().writes(), world.versions().await, world.api_writes().await);
        let statuses = world.metric("skyy_status_writes_total").await;
        looked(world, &pf, 3).await;
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
        at_rest(world, &pf).await;
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
        at_rest(world, &pf).await;
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
        at_rest(world, &pf).await;
        assert_eq!(world.events("DriftRepaired").await, [("FirewallRule third".to_owned(), 1)]);
    });
}
