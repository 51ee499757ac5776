//! `kill -9` at any moment: whoever goes on comes to the same end, nothing is there twice and nothing is left behind.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use skyy_sim::{Fault, FaultKind, Match};

use crate::world::{KEY, Pf, World, firewall, pool, rule, run, soak, vip, with};

/// Kills and starts again, each time after a few more writes, until it has been done often enough or all is done.
async fn killed_again_and_again(world: &World, pf: &Pf, times: usize, done: impl AsyncFn() -> bool) -> usize {
    let mut killed = 0;
    while killed < times {
        let program = world.program(&["--no-leader-election"]);
        let after = u64::from(rand::random_range(1..=6_u8));
        let target = pf.sim.counts().writes() + after;
        let ended = world
            .until(&format!("{after} further writes"), async || {
                if pf.sim.counts().writes() >= target {
                    return Some(false);
                }
                done().await.then_some(true)
            })
            .await;
        if ended {
            // It had come to the end before its number was up.
            program.kill();
            break;
        }
        program.kill();
        killed += 1;
    }
    killed
}

/// No row of ours twice, none that nobody asks for.
#[track_caller]
fn check_once(pf: &Pf, each: usize) {
    for (table, key) in [
        ("virtual_ips", "subnet"),
        ("one_to_one", "external"),
        ("static_mappings", "mac"),
        ("rules", "destination"),
    ] {
        let rows = pf.ours(table);
        let keys: BTreeSet<String> = rows.iter().map(|row| row[key].to_string()).collect();
        assert_eq!((rows.len(), keys.len()), (each, each), "{table}: {keys:?}");
    }
}

#[test]
fn killed_at_random_moments_it_comes_to_the_same_end() {
    run(async |world: &World| {
        let (times, addresses) = if soak() { (20, 60_u16) } else { (5, 20_u16) };
        let pf = world.pfsense("edge").await;
        let foreign = pf.foreign();
        // Slow enough that a moment can be hit.
        pf.sim.faults().add(Fault::delay(Match::every("*", "*"), Duration::from_millis(20)));
        world.secret(&pf, KEY).await;
        world.apply(with(firewall(&pf), json!({"spec": {"limits": {"maxDeletesPerBatch": 1000}}}))).await;
        world.apply(pool("public", 10, addresses)).await;

        let ready = async || world.get("AddressPool", "public").await.is_some_and(|pool| pool.is_ready());
        let killed = killed_again_and_again(world, &pf, times, ready).await;
        println!("killed {killed} times while making rows");
        assert!(killed >= 3, "only {killed} times");
        let program = world.program(&["--no-leader-election"]);
        world.ready("AddressPool", "public").await;
        let firewall = world.ready("Firewall", "edge").await;
        assert!(firewall.0["status"]["orphanedRows"].is_null(), "{}", firewall.0["status"]);
        check_once(&pf, addresses.into());
        assert_eq!((pf.foreign(), pf.not_loaded()), (foreign.clone(), Vec::new()));
        program.kill();

        world.delete("AddressPool", "public").await;
        let gone = async || world.get("AddressPool", "public").await.is_none();
        let killed = killed_again_and_again(world, &pf, times, gone).await;
        println!("killed {killed} times while removing them");
        let program = world.program(&["--no-leader-election"]);
        world.gone("AddressPool", "public").await;
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            assert_eq!(world.list(kind).await.len(), 0, "{kind}");
        }
        assert_eq!((pf.owned(), pf.foreign(), pf.not_loaded()), (0, foreign, Vec::new()));
        program.kill();
    });
}

/// Rules are the worst case: the firewall itself does not know that one waits to be loaded.
#[test]
fn what_was_written_and_not_made_effective_is_made_effective_after_a_restart() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.firewall_manifests(&pf).await;
        let program = world.program(&["--no-leader-election"]);
        world.ready("Firewall", "edge").await;
        let hang = pf.sim.faults().add(Fault::new(Match::every("POST", "*/apply"), FaultKind::Hang));
        for manifest in [vip("web", 9), rule("web", 9)] {
            world.apply(manifest).await;
        }
        let hangs = async || pf.sim.faults().list().iter().any(|fault| fault.tally.fired > 0).then_some(());
        world.until("the rows are written and an apply hangs", hangs).await;
        program.kill();
        assert_eq!((pf.owned(), pf.not_loaded().len()), (2, 2));

        assert!(pf.sim.faults().remove(hang));
        pf.sim.counters().reset();
        let _again = world.program(&["--no-leader-election"]);
        world.ready("VirtualIP", "web").await;
        world.ready("FirewallRule", "web").await;
        assert_eq!((pf.owned(), pf.not_loaded()), (2, Vec::new()));
        let writes = pf.writes();
        assert!(writes.iter().all(|write| write.ends_with("apply")), "written again: {writes:?}");
    });
}
