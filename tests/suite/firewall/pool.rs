//! AddressPool: many rows for little traffic, no more than what changed, and claims.

use std::collections::BTreeMap;

use serde_json::json;

use crate::world::{NAMESPACE, Pf, TABLES, World, pool, run, with};

/// Every batch has loaded each part of the firewall at most once.
#[track_caller]
fn check_applies(pf: &Pf, before: &serde_json::Value) {
    let batches = pf.batches();
    for batch in &batches {
        for part in ["firewall/apply", "virtual_ip/apply", "dhcp_server/apply"] {
            let applies = batch.iter().filter(|write| write.ends_with(part)).count();
            assert!(applies <= 1, "{part} {applies} times in one batch: {batch:#?}");
        }
    }
    let after = pf.applies();
    for (part, count) in after.as_object().unwrap() {
        let runs = count.as_u64().unwrap() - before[part].as_u64().unwrap();
        assert!(runs <= batches.len() as u64, "{part} ran {runs} times in {} batches", batches.len());
    }
}

#[test]
fn forty_addresses_cost_few_requests_and_one_apply_a_part_and_batch() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let (foreign, applies) = (pf.foreign(), pf.applies());
        pf.sim.counters().reset();

        world.apply(pool("public", 10, 40)).await;
        let public = world.ready("AddressPool", "public").await;
        assert_eq!(
            (&public.0["status"]["addresses"], &public.0["status"]["published"]),
            (&json!(40), &json!(40))
        );
        for table in TABLES {
            assert_eq!(pf.ours(table).len(), 40, "{table}");
        }
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            let rows = world.list(kind).await;
            assert_eq!(rows.iter().filter(|row| row.is_ready()).count(), 40, "{kind}");
        }
        assert_eq!((pf.foreign(), pf.not_loaded()), (foreign.clone(), Vec::new()));
        let calls = pf.sim.counts().total.calls;
        println!("{calls} requests for 160 rows in {} batches", pf.batches().len());
        assert!(calls <= 40 + 40, "{calls} requests for 160 rows:\n{}", pf.writes().join("\n"));
        check_applies(&pf, &applies);

        // What one address less and one more touches.
        let versions = world.versions().await;
        world.apply(pool("public", 11, 40)).await;
        let what = "has one address less and one more";
        world.seen("AddressPool", "public", what, |o| o.is_ready() && o.0["status"]["published"] == 40).await;
        world.gone("VirtualIP", "public-198-18-0-10").await;
        for table in TABLES {
            assert_eq!(pf.ours(table).len(), 40, "{table}");
        }
        let now = world.versions().await;
        let touched: Vec<&String> = versions
            .keys()
            .filter(|name| name.contains("/public-198-18-0-") && now.get(*name) != versions.get(*name))
            .collect();
        assert!(touched.iter().all(|name| name.ends_with("-10")), "touched: {touched:?}");

        // All of them go, and nothing else.
        world
            .apply(with(
                crate::world::firewall(&pf),
                json!({"spec": {"limits": {"maxDeletesPerBatch": 200}}}),
            ))
            .await;
        world.delete("AddressPool", "public").await;
        world.gone("AddressPool", "public").await;
        assert_eq!((pf.owned(), pf.foreign(), pf.not_loaded()), (0, foreign, Vec::new()));
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            assert_eq!(world.list(kind).await.len(), 0, "{kind}");
        }
    });
}

#[test]
fn an_address_is_published_while_it_is_claimed() {
    run(async |world: &World| {
        let pf = world.edge().await;
        world.apply(with(pool("public", 10, 3), json!({"spec": {"publish": "OnClaim"}}))).await;
        world.ready("AddressPool", "public").await;
        assert_eq!(pf.owned(), 0);

        let claim = json!({
            "kind": "AddressClaim", "metadata": {"name": "public-198-18-0-11", "namespace": NAMESPACE},
            "spec": {
                "pool": "public", "external": "198.18.0.11",
                "claimant": {"namespace": NAMESPACE, "deployment": "web", "uid": "u", "guest": "web-0"},
            },
        });
        world.apply(claim).await;
        world.ready("AddressClaim", "public-198-18-0-11").await;
        let counts: BTreeMap<&str, usize> =
            TABLES.iter().map(|table| (*table, pf.ours(table).len())).collect();
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        assert_eq!(pf.row("virtual_ips", "pool public").unwrap()["subnet"], "198.18.0.11");
        world.seen("AddressPool", "public", "counts the claim", |o| o.0["status"]["claimed"] == 1).await;

        // A pool with a claim on it does not go.
        world.delete("AddressPool", "public").await;
        let words = world
            .seen("AddressPool", "public", "waits for the claim", |o| {
                o.condition("Ready").as_deref() == Some("False DependencyNotReady")
            })
            .await
            .message("Ready");
        assert!(words.contains("1 of its addresses are claimed"), "{words}");
        assert_eq!(pf.owned(), 4);

        world.delete("AddressClaim", "public-198-18-0-11").await;
        world.gone("AddressClaim", "public-198-18-0-11").await;
        world.gone("AddressPool", "public").await;
        assert_eq!((pf.owned(), pf.not_loaded()), (0, Vec::new()));
    });
}

#[test]
fn an_address_that_stands_twice_is_named() {
    run(async |world: &World| {
        world.edge().await;
        let twice = json!([
            {"external": "198.18.0.10", "internal": "10.20.0.10", "mac": "02:00:00:00:00:10"},
            {"external": "198.18.0.11", "internal": "10.20.0.10", "mac": "02:00:00:00:00:11"},
        ]);
        world.apply(with(pool("public", 10, 1), json!({"spec": {"addresses": twice}}))).await;
        let words = world.not_ready("AddressPool", "public", "False Invalid").await;
        assert_eq!(words, "spec.addresses[1].internal: 10.20.0.10 stands at spec.addresses[0] too");
        assert_eq!(world.list("VirtualIP").await.len(), 0);
        world.apply(pool("public", 10, 2)).await;
        world.ready("AddressPool", "public").await;
    });
}

/// The size that is in use: 2,032 rows.
#[test]
#[ignore = "soak: several minutes"]
fn five_hundred_and_eight_addresses_cost_at_most_eleven_hundred_requests() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let (foreign, applies) = (pf.foreign(), pf.applies());
        pf.sim.counters().reset();
        world.apply(pool("public", 2, 508)).await;
        world.until("the rows are made", async || (pf.owned() == 4 * 508).then_some(())).await;
        world.ready("AddressPool", "public").await;
        let calls = pf.sim.counts().total.calls;
        println!("{calls} requests for 2,032 rows in {} batches", pf.batches().len());
        assert!(calls <= 1100, "{calls} requests");
        check_applies(&pf, &applies);
        assert_eq!((pf.foreign(), pf.not_loaded()), (foreign, Vec::new()));
    });
}
