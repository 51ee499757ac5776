//! What a person can hold back: paused, plan-only, and too many deletions at once.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, firewall, nat, run, vip, with};

#[test]
fn a_paused_object_is_left_alone_until_it_is_not_paused() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        world.annotate("VirtualIP", "web", "paused", Some("true")).await;
        let words = world.not_ready("VirtualIP", "web", "Unknown PausedByUser").await;
        assert!(words.contains("skyy.helloskyy.io/paused"), "{words}");
        let paused = world.get("VirtualIP", "web").await.unwrap();
        assert_eq!(paused.condition("Paused").as_deref(), Some("True PausedByUser"));

        let writes = pf.sim.counts().writes();
        world.patch("VirtualIP", "web", json!({"spec": {"description": "changed"}})).await;
        world.not_ready("VirtualIP", "web", "Unknown PausedByUser").await;
        world.looked(&pf, 2).await;
        assert_eq!(pf.sim.counts().writes(), writes);
        pf.change_by_hand("virtual_ips", "web [", json!({"subnet_bits": 32})).await;
        let by_hand = pf.rows("virtual_ips");
        world.looked(&pf, 2).await;
        assert_eq!(pf.rows("virtual_ips"), by_hand);
        // It does not go either.
        world.delete("VirtualIP", "web").await;
        world.looked(&pf, 2).await;
        assert!(world.get("VirtualIP", "web").await.unwrap().has_finalizer());
        assert_eq!(pf.rows("virtual_ips"), by_hand);

        world.annotate("VirtualIP", "web", "paused", None).await;
        world.gone("VirtualIP", "web").await;
        assert_eq!(pf.owned(), 0);
    });
}

#[test]
fn plan_only_says_what_would_be_done_and_does_nothing() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let held = json!({"metadata": {"annotations": {"skyy.helloskyy.io/plan-only": "true"}}});
        let writes = pf.sim.counts().writes();
        world.apply(with(vip("web", 9), held.clone())).await;
        world.not_ready("VirtualIP", "web", "False PlanOnly").await;
        let planned = world.get("VirtualIP", "web").await.unwrap().plan();
        assert_eq!(planned, ["create virtual IP 198.18.0.9/23 on wan"]);
        // Others go on meanwhile.
        world.apply(nat("web", 9)).await;
        world.ready("NatMapping", "web").await;
        assert_eq!(pf.ours("virtual_ips").len(), 0);
        assert!(pf.sim.counts().writes() > writes);

        world.annotate("VirtualIP", "web", "plan-only", None).await;
        let made = world.ready("VirtualIP", "web").await;
        assert_eq!((pf.ours("virtual_ips").len(), made.plan()), (1, Vec::new()));

        world.annotate("VirtualIP", "web", "plan-only", Some("true")).await;
        world.ready("VirtualIP", "web").await;
        world.patch("VirtualIP", "web", json!({"spec": {"description": "changed"}})).await;
        world.not_ready("VirtualIP", "web", "False PlanOnly").await;
        let planned = world.get("VirtualIP", "web").await.unwrap().plan();
        assert_eq!(planned, ["change virtual IP 198.18.0.9: description \"web\" → \"changed\""]);
        world.delete("VirtualIP", "web").await;
        let leaving = |o: &crate::world::Object| o.plan() == ["delete virtual IP 198.18.0.9"];
        world.seen("VirtualIP", "web", "says that its row would go", leaving).await;
        assert!(pf.row("virtual_ips", "web [").is_some());

        world.annotate("VirtualIP", "web", "plan-only", None).await;
        world.gone("VirtualIP", "web").await;
        assert_eq!(pf.ours("virtual_ips").len(), 0);
    });
}

#[test]
fn a_firewall_can_be_held_as_a_whole() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.secret(&pf, crate::world::KEY).await;
        let held = json!({"metadata": {"annotations": {"skyy.helloskyy.io/plan-only": "true"}}});
        world.apply(with(firewall(&pf), held)).await;
        world.apply(vip("web", 9)).await;
        world.apply(nat("web", 9)).await;
        let both = |o: &crate::world::Object| o.plan().len() == 2;
        let planned = world.seen("Firewall", "edge", "plans both rows", both).await;
        assert_eq!(planned.condition("Ready").as_deref(), Some("False PlanOnly"));
        assert_eq!(
            planned.plan(),
            ["create virtual IP 198.18.0.9/23 on wan", "create 1:1 NAT 198.18.0.9 to 10.20.0.9 on wan"]
        );
        world.looked(&pf, 2).await;
        assert_eq!((pf.sim.counts().writes(), pf.owned()), (0, 0));
        let words = world.not_ready("VirtualIP", "web", "False DependencyNotReady").await;
        assert_eq!(
            words,
            "Firewall edge is held back by its annotation skyy.helloskyy.io/plan-only; without it: create virtual IP \
             198.18.0.9/23 on wan"
        );

        world.annotate("Firewall", "edge", "plan-only", None).await;
        world.ready("VirtualIP", "web").await;
        world.ready("NatMapping", "web").await;
        world.ready("Firewall", "edge").await;
        assert_eq!(pf.owned(), 2);

        // Paused, nothing is sent to it at all.
        world.annotate("Firewall", "edge", "paused", Some("true")).await;
        world.not_ready("Firewall", "edge", "Unknown PausedByUser").await;
        let calls = pf.sim.counts().total.calls;
        world.patch("VirtualIP", "web", json!({"spec": {"description": "changed"}})).await;
        // Another one, looked at as often, is the clock.
        let other = world.pfsense("other").await;
        world.firewall(&other).await;
        world.looked(&other, 2).await;
        assert_eq!(pf.sim.counts().total.calls, calls);
        world.annotate("Firewall", "edge", "paused", None).await;
        world.ready("VirtualIP", "web").await;
        assert!(pf.row("virtual_ips", "changed [").is_some());
    });
}

#[test]
fn too_many_deletions_wait_for_a_persons_word() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let foreign = pf.foreign();
        world.apply(with(firewall(&pf), json!({"spec": {"limits": {"maxDeletesPerBatch": 2}}}))).await;
        for last in 10..14 {
            world.apply(vip(&format!("web-{last}"), last)).await;
        }
        for last in 10..14 {
            world.ready("VirtualIP", &format!("web-{last}")).await;
        }
        // One after the other they would be within the limit; while nobody can be reached, they become one batch.
        pf.sim.unplug(Duration::from_hours(1));
        for last in 10..14 {
            world.delete("VirtualIP", &format!("web-{last}")).await;
        }
        for last in 10..14 {
            world.not_ready("VirtualIP", &format!("web-{last}"), "False EndpointUnavailable").await;
        }
        pf.sim.plug();
        let words = world.not_ready("Firewall", "edge", "False TooManyDeletes").await;
        assert!(words.contains("confirm-deletes: \"4\""), "{words}");
        for last in 10..14 {
            let name = format!("web-{last}");
            world.not_ready("VirtualIP", &name, "False TooManyDeletes").await;
            assert!(world.get("VirtualIP", &name).await.unwrap().has_finalizer());
        }
        assert_eq!(pf.owned(), 4);
        // Nothing but deletions waits.
        world.apply(vip("new", 20)).await;
        world.ready("VirtualIP", "new").await;

        world.annotate("Firewall", "edge", "confirm-deletes", Some("4")).await;
        for last in 10..14 {
            world.gone("VirtualIP", &format!("web-{last}")).await;
        }
        world.ready("Firewall", "edge").await;
        assert_eq!((pf.owned(), pf.foreign(), pf.not_loaded()), (1, foreign, Vec::new()));
    });
}

#[test]
fn to_look_now_is_to_look_at_the_firewall_now() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.secret(&pf, crate::world::KEY).await;
        world.apply(with(firewall(&pf), json!({"spec": {"interval": "1h"}}))).await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        for (kind, name, when) in [("Firewall", "edge", "first"), ("VirtualIP", "web", "second")] {
            pf.delete_by_hand("virtual_ips", "web [").await;
            world.annotate(kind, name, "reconcile-at", Some(when)).await;
            world
                .until(&format!("{kind} {name} has it looked at"), async || pf.row("virtual_ips", "web ["))
                .await;
            let answered = |o: &crate::world::Object| o.text("/status/lastHandledReconcileAt") == when;
            world.seen(kind, name, "says that it has looked", answered).await;
        }
    });
}
