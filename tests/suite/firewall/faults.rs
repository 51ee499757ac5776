//! Every request of a batch fails once, in every way in which requests fail: the end is the same, and nothing is there twice.

use serde_json::{Value, json};
use skyy_sim::{Fault, FaultKind, Match};

use crate::world::{KEY, Pf, World, dhcp, firewall, nat, rule, run, soak, vip, with};

const KINDS: [&str; 4] = ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"];

fn ways() -> [(&'static str, FaultKind); 4] {
    let status = |status, retry_after| FaultKind::Status { status, retry_after, body: None };
    [
        ("refused", FaultKind::Refuse),
        ("answer lost", FaultKind::AnswerLost),
        ("500", status(500, None)),
        ("503 with Retry-After", status(503, Some(1))),
    ]
}

/// One row of each kind, named after its firewall.
fn batch(name: &str) -> [Value; 4] {
    let on = json!({"spec": {"firewall": name, "description": "web"}});
    [vip(name, 9), nat(name, 9), dhcp(name, 9), rule(name, 9)].map(|manifest| with(manifest, on.clone()))
}

/// Starts a box whose Firewall looks only when there is something to do.
async fn quiet(world: &World, name: &str) -> Pf {
    let pf = world.pfsense(name).await;
    world.secret(&pf, KEY).await;
    world.apply(with(firewall(&pf), json!({"spec": {"interval": "1h"}}))).await;
    pf
}

async fn make_batch(world: &World, pf: &Pf) {
    for manifest in batch(&pf.name) {
        world.apply(manifest).await;
    }
}

async fn batch_is_ready(world: &World, pf: &Pf) {
    for kind in KINDS {
        world.ready(kind, &pf.name).await;
    }
}

/// What stands there, without the marks: they hold the objects' names and uids.
fn unmarked(pf: &Pf) -> Vec<String> {
    let strip = |line: String| {
        let mut row: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        let text = row["descr"].as_str().unwrap().split(" [").next().unwrap().to_owned();
        row["descr"] = json!(text);
        for made in ["uniqid", "tracker"] {
            row.as_object_mut().unwrap().remove(made);
        }
        row.to_string()
    };
    pf.content().into_iter().map(strip).collect()
}

#[test]
fn each_request_of_a_batch_may_fail_in_each_way() {
    run(async |world: &World| {
        world.operator().await;
        // How it goes when nothing fails, and how many requests that takes when the objects come together. They may come
        // in two batches, which take more.
        let mut smooth = Vec::new();
        for n in 0..3 {
            smooth.push(quiet(world, &format!("smooth-{n}")).await);
        }
        for pf in &smooth {
            world.ready("Firewall", &pf.name).await;
            pf.sim.counters().reset();
            make_batch(world, pf).await;
        }
        for pf in &smooth {
            batch_is_ready(world, pf).await;
        }
        let (right, foreign) = (unmarked(&smooth[0]), smooth[0].foreign());
        let requests = smooth.iter().map(|pf| pf.sim.counts().total.calls).min().unwrap();
        assert_eq!((right.len(), smooth[0].not_loaded()), (4, Vec::new()));

        // Each has its own firewall; all at once, as each spends its time waiting to try again.
        let mut cases = Vec::new();
        for nth in 1..=requests {
            for (n, (way, kind)) in ways().into_iter().enumerate() {
                // The ways take turns, so that each is tried on some requests and each request in some way.
                if soak() || (nth + n as u64).is_multiple_of(4) {
                    cases.push((nth, way, kind));
                }
            }
        }
        let mut boxes = Vec::new();
        for (nth, way, kind) in cases {
            let pf = quiet(world, &format!("edge-{}", world.number())).await;
            boxes.push((pf, nth, way, kind));
        }
        for (pf, nth, _, kind) in &boxes {
            world.ready("Firewall", &pf.name).await;
            pf.sim.counters().reset();
            pf.sim.faults().add(Fault::new(Match::next("*", "*").nth(*nth), kind.clone()));
        }
        for (pf, ..) in &boxes {
            make_batch(world, pf).await;
        }
        let mut hit = 0;
        for (pf, nth, way, _) in &boxes {
            let what = format!("request {nth} {way}, on {}", pf.name);
            batch_is_ready(world, pf).await;
            assert_eq!(unmarked(pf), right, "{what}");
            assert_eq!((pf.foreign(), pf.not_loaded()), (foreign.clone(), Vec::new()), "{what}");
            world.ready("Firewall", &pf.name).await;
            hit += pf.sim.faults().list().iter().map(|fault| fault.tally.fired).sum::<u64>();
        }
        println!("{} batches of {requests} requests, {hit} of them with a request that failed", boxes.len());
        assert_eq!(hit, boxes.len() as u64);
    });
}
