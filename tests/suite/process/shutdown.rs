//! SIGTERM: what has begun is finished, nothing new is begun, and whoever goes on finds everything in order.

use std::time::Duration;

use skyy_sim::{Fault, Match};

use crate::world::{World, run, vip};

#[test]
fn told_to_end_it_finishes_what_it_has_begun() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        world.firewall_manifests(&pf).await;
        let program = world.program(&["--lease-seconds=3"]);
        world.ready("Firewall", "edge").await;
        // The third of many rows takes long; the signal comes meanwhile.
        pf.sim.unplug(Duration::from_hours(1));
        for last in 10..20 {
            world.apply(vip(&format!("web-{last}"), last)).await;
        }
        for last in 10..20 {
            world.not_ready("VirtualIP", &format!("web-{last}"), "False EndpointUnavailable").await;
        }
        let slow = Match::next("POST", "/api/v2/firewall/virtual_ip").nth(3);
        pf.sim.faults().add(Fault::delay(slow, Duration::from_secs(2)));
        pf.sim.plug();
        let begun = async || pf.sim.faults().list().iter().any(|fault| fault.tally.fired == 1).then_some(());
        world.until("the slow write has begun", begun).await;
        let log = program.log_text();
        assert!(!log.contains("stopping"), "{log}");
        let status = program.terminate().await;
        assert_eq!(status.code(), Some(0));
        assert_eq!(pf.ours("virtual_ips").len(), 3, "the third was finished, a fourth was not begun");
        assert_eq!(pf.not_loaded(), Vec::<String>::new(), "what was written was made effective");

        let _next = world.program(&["--lease-seconds=3"]);
        for last in 10..20 {
            world.ready("VirtualIP", &format!("web-{last}")).await;
        }
        assert_eq!((pf.owned(), pf.not_loaded()), (10, Vec::new()));
    });
}
