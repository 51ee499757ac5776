//! A firewall that cannot be reached, does not let us in, or is something else: said as it is, and over by itself.

use std::time::Duration;

use serde_json::json;
use skyy_sim::{Fault, FaultKind, Match};

use crate::world::{KEY, SYSTEM, World, firewall, nat, run, vip, with};

const WRONG: &str = "ffffffffffffffffffffffffffffffffffffffffffffffff";
const ROTATED: &str = "aaaaaaaaaaaaaaaa0000000000000000bbbbbbbbbbbbbbbb";

#[test]
fn an_unplugged_firewall_is_said_to_be_and_recovers_by_itself() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let other = world.pfsense("other").await;
        world.firewall(&other).await;
        world.apply(vip("web", 9)).await;
        world.apply(nat("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        world.ready("NatMapping", "web").await;
        let (content, writes) = (pf.content(), pf.sim.counts().writes());

        pf.sim.unplug(Duration::from_hours(1));
        for kind in ["VirtualIP", "NatMapping"] {
            let words = world.not_ready(kind, "web", "False EndpointUnavailable").await;
            assert!(words.contains("edge"), "{words}");
            let object = world.get(kind, "web").await.unwrap();
            assert_eq!(
                object.condition("Programmed").as_deref(),
                Some("Unknown EndpointUnavailable"),
                "{kind}"
            );
            assert_eq!(
                object.condition("Reconciling").as_deref(),
                Some("True EndpointUnavailable"),
                "{kind}"
            );
        }
        world.not_ready("Firewall", "edge", "False EndpointUnavailable").await;
        let firewall = world.get("Firewall", "edge").await.unwrap();
        assert_eq!(firewall.condition("Reachable").as_deref(), Some("False EndpointUnavailable"));
        // What is not on it goes on, and what is asked of it meanwhile is not forgotten.
        world.apply(with(vip("elsewhere", 9), json!({"spec": {"firewall": "other"}}))).await;
        world.ready("VirtualIP", "elsewhere").await;
        world.apply(vip("late", 10)).await;
        world.not_ready("VirtualIP", "late", "False EndpointUnavailable").await;
        world.delete("VirtualIP", "late").await;
        assert_eq!((pf.content(), pf.sim.counts().writes()), (content.clone(), writes));

        pf.sim.plug();
        for (kind, name) in [("VirtualIP", "web"), ("NatMapping", "web"), ("Firewall", "edge")] {
            world.ready(kind, name).await;
        }
        world.gone("VirtualIP", "late").await;
        assert_eq!((pf.content(), pf.sim.counts().writes()), (content, writes), "there was nothing to do");
    });
}

#[test]
fn an_object_stays_until_its_row_was_seen_to_be_gone() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        // Once refusing connections, once answering nothing but errors: neither means that the row is gone.
        pf.sim.stop().await;
        world.not_ready("VirtualIP", "web", "False EndpointUnavailable").await;
        world.delete("VirtualIP", "web").await;
        world.not_ready("VirtualIP", "web", "False EndpointUnavailable").await;
        let errors = pf.sim.faults().add(Fault::status(Match::every("*", "*"), 500, None));
        pf.sim.start().await.unwrap();
        let calls = pf.sim.counts().total.calls;
        world.until("three tries", async || (pf.sim.counts().total.calls >= calls + 3).then_some(())).await;
        let web =
            world.get("VirtualIP", "web").await.expect("the object is there as long as nobody can look");
        assert!(web.has_finalizer() && pf.row("virtual_ips", "web [").is_some());

        assert!(pf.sim.faults().remove(errors));
        world
            .until("the object is gone", async || {
                let row = pf.row("virtual_ips", "web [");
                let object = world.get("VirtualIP", "web").await;
                // The row was looked for first: whoever finds no object must have found no row.
                assert!(object.is_some() || row.is_none(), "the object went before its row");
                object.is_none().then_some(())
            })
            .await;
        assert_eq!((pf.owned(), pf.not_loaded()), (0, Vec::new()));
    });
}

#[test]
fn a_refused_key_is_tried_once_and_a_corrected_one_at_once() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.secret(&pf, WRONG).await;
        world.apply(firewall(&pf)).await;
        let words = world.not_ready("Firewall", "edge", "False LoginRefused").await;
        assert!(words.contains("Secret skyy-system/edge-pfsense, key api-key"), "{words}");
        for last in 10..15 {
            let name = format!("web-{last}");
            world.apply(vip(&name, last)).await;
            world.not_ready("VirtualIP", &name, "False LoginRefused").await;
            assert_eq!(
                world.get("VirtualIP", &name).await.unwrap().condition("Stalled").as_deref(),
                Some("True LoginRefused")
            );
        }
        assert!(pf.sim.counts().total.calls <= 2, "{:?}", pf.sim.requests());

        world.secret(&pf, KEY).await;
        world.ready("Firewall", "edge").await;
        for last in 10..15 {
            world.ready("VirtualIP", &format!("web-{last}")).await;
        }
        assert_eq!(pf.owned(), 5);

        // The key is changed on the firewall while all is well, and in the Secret a while later.
        pf.sim.product().set_api_key("apiadmin", ROTATED);
        world.not_ready("Firewall", "edge", "False LoginRefused").await;
        let calls = pf.sim.counts().total.calls;
        world.apply(vip("more", 20)).await;
        world.not_ready("VirtualIP", "more", "False LoginRefused").await;
        assert!(pf.sim.counts().total.calls <= calls + 1);
        world.secret(&pf, ROTATED).await;
        world.ready("VirtualIP", "more").await;
        world.ready("Firewall", "edge").await;
        assert_eq!(pf.owned(), 6);
    });
}

#[test]
fn a_missing_secret_or_key_is_named() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.operator().await;
        world.apply(firewall(&pf)).await;
        world.apply(vip("web", 9)).await;
        let words = world.not_ready("Firewall", "edge", "False SecretMissing").await;
        assert_eq!(words, "Secret skyy-system/edge-pfsense does not exist; create it with the key api-key");
        world.not_ready("VirtualIP", "web", "False SecretMissing").await;

        let other = json!({
            "kind": "Secret", "metadata": {"name": "edge-pfsense", "namespace": SYSTEM}, "stringData": {"apikey": KEY},
        });
        world.apply(other).await;
        let named = |o: &crate::world::Object| {
            o.message("Ready") == "Secret skyy-system/edge-pfsense has no key api-key; it has apikey"
        };
        world.seen("Firewall", "edge", "names the keys that there are", named).await;
        assert_eq!(pf.sim.counts().total.calls, 0);

        world.secret(&pf, KEY).await;
        world.ready("VirtualIP", "web").await;
        world.ready("Firewall", "edge").await;

        // Without its Secret the operator cannot look, and nothing is lost by that.
        world.delete("Secret", "edge-pfsense").await;
        world.not_ready("Firewall", "edge", "False SecretMissing").await;
        assert_eq!(pf.owned(), 1);
        world.secret(&pf, KEY).await;
        world.ready("Firewall", "edge").await;
        world.ready("VirtualIP", "web").await;
        assert_eq!(pf.owned(), 1);
    });
}

#[test]
fn an_endpoint_that_is_something_else_is_said_not_to_be_understood() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        let writes = pf.sim.counts().writes();
        for nonsense in [FaultKind::HtmlPage, FaultKind::BrokenJson] {
            let fault = pf.sim.faults().add(Fault::new(Match::every("*", "*"), nonsense.clone()));
            let words = world.not_ready("Firewall", "edge", "False EndpointNotUnderstood").await;
            assert!(words.contains("edge"), "{nonsense:?}: {words}");
            world.not_ready("VirtualIP", "web", "False EndpointNotUnderstood").await;
            assert!(pf.sim.faults().remove(fault));
            world.ready("Firewall", "edge").await;
            world.ready("VirtualIP", "web").await;
        }
        assert_eq!((pf.owned(), pf.sim.counts().writes()), (1, writes));
    });
}

#[test]
fn a_certificate_is_trusted_by_its_print_or_its_authority_and_not_otherwise() {
    run(async |world: &World| {
        let pf = world.pfsense_tls("edge").await;
        world.operator().await;
        world.secret(&pf, KEY).await;
        let print = pf.sim.fingerprint_sha256().unwrap().to_owned();
        let authority = pf.sim.certificate_pem().unwrap().to_owned();
        let other = print.replace(|c: char| c.is_ascii_hexdigit(), "A");

        // Nothing said: the public authorities, and this is none of theirs.
        world.apply(firewall(&pf)).await;
        world.not_ready("Firewall", "edge", "False CertificateMismatch").await;
        world.apply(with(firewall(&pf), json!({"spec": {"tls": {"sha256": [other]}}}))).await;
        let words = world.not_ready("Firewall", "edge", "False CertificateMismatch").await;
        assert!(words.contains(&print), "the print that was shown is named: {words}");
        assert_eq!(pf.sim.counts().total.calls, 0, "the key went to nobody");

        world.apply(with(firewall(&pf), json!({"spec": {"tls": {"sha256": [other, print]}}}))).await;
        world.ready("Firewall", "edge").await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        world.apply(with(firewall(&pf), json!({"spec": {"tls": {"caBundle": authority}}}))).await;
        world.ready("Firewall", "edge").await;
    });
}

#[test]
fn an_api_server_that_goes_away_is_missed_and_found_again() {
    run(async |world: &World| {
        if !world.plane().is_own() {
            println!("skipped: the API server is not ours to stop");
            return;
        }
        let pf = world.edge().await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        world.plane().stop_api_server().unwrap();
        // The firewall is looked after meanwhile, as far as the specs are known.
        pf.delete_by_hand("virtual_ips", "web [").await;
        world.until("the row is back", async || pf.row("virtual_ips", "web [")).await;
        world.plane().start_api_server().unwrap();
        world.apply(vip("more", 10)).await;
        world.ready("VirtualIP", "more").await;
        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        assert_eq!((pf.owned(), pf.not_loaded()), (1, Vec::new()));
    });
}

/// What was seen at the old place says nothing about the new one.
#[test]
fn a_changed_address_is_not_ready_before_it_was_tried() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let gone = world.pfsense("gone").await;
        gone.sim.stop().await;
        for _ in 0..3 {
            let generation =
                world.apply(with(firewall(&pf), json!({"spec": {"url": gone.sim.url()}}))).await.generation();
            world
                .until("the new address is found not to answer", async || {
                    let firewall = world.get("Firewall", "edge").await.unwrap();
                    assert!(!firewall.is_ready(), "Ready for a place that nobody has seen");
                    assert_eq!(firewall.generation(), generation);
                    (firewall.condition("Ready").as_deref() == Some("False EndpointUnavailable"))
                        .then_some(())
                })
                .await;
            world.apply(firewall(&pf)).await;
            world.ready("Firewall", "edge").await;
        }
    });
}
