//! A person works on the firewall at the very moment in which the operator writes: nobody's change is lost.
//!
//! The simulator runs the person's request between two of the operator's.

use serde_json::{Value, json};
use skyy_sim::{Hook, Match, Stored, When};

use crate::world::{Pf, World, dhcp, firewall, nat, rule, run, vip, with};

const VIPS: &str = "/api/v2/firewall/virtual_ips";
const NATS: &str = "/api/v2/firewall/nat/one_to_one/mappings";
const RULES: &str = "/api/v2/firewall/rules";
const MAPS: &str = "/api/v2/services/dhcp_server/static_mappings";

/// A firewall that is looked at only when there is something to do, so that requests can be counted on.
async fn quiet_edge(world: &World) -> Pf {
    let pf = world.pfsense("edge").await;
    world.operator().await;
    world.secret(&pf, crate::world::KEY).await;
    world.apply(with(firewall(&pf), json!({"spec": {"interval": "1h"}}))).await;
    world.ready("Firewall", "edge").await;
    pf
}

/// Has a person do something around the `nth` request of this kind from now on.
fn hook(pf: &Pf, when: When, on: Match, method: &str, path: &str, body: Option<Value>) {
    let request = Stored::new(method, &format!("/api/v2/{path}"), body);
    pf.sim.hooks().add(Hook { on, when, request }).unwrap();
}

/// All that persons were to do was done, and taken.
#[track_caller]
fn all_done(pf: &Pf) {
    for hook in pf.sim.hooks().list() {
        assert_eq!((hook.tally.fired, hook.last_status), (1, Some(200)), "{:?}", hook.hook);
    }
}

#[test]
fn positions_that_shift_before_a_write_do_not_mislead_it() {
    run(async |world: &World| {
        let pf = quiet_edge(world).await;
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        // The firewall has been read; before the row is looked up for the write, the first row of all goes.
        hook(&pf, When::Before, Match::next("GET", VIPS).nth(2), "DELETE", "firewall/virtual_ip?id=0", None);
        world.apply(with(vip("web", 9), json!({"spec": {"description": "new"}}))).await;
        world.ready("VirtualIP", "web").await;
        all_done(&pf);
        let said: Vec<Value> = pf.rows("virtual_ips").iter().map(|row| row["descr"].clone()).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0], "web, old");
        assert!(said[1].as_str().unwrap().starts_with("new [skyy:"), "{said:?}");

        // The same for a deletion: what goes is ours, wherever it stands by now.
        let insert = json!({"mode": "ipalias", "interface": "wan", "subnet": "198.51.100.77", "subnet_bits": 32, "descr": "between", "apply": true});
        pf.sim.hooks().clear();
        hook(&pf, When::Before, Match::next("GET", VIPS).nth(2), "DELETE", "firewall/virtual_ip?id=0", None);
        hook(&pf, When::Before, Match::next("GET", VIPS).nth(2), "POST", "firewall/virtual_ip", Some(insert));
        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        all_done(&pf);
        let said: Vec<Value> = pf.rows("virtual_ips").iter().map(|row| row["descr"].clone()).collect();
        assert_eq!(said, ["between"]);
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
    });
}

/// Rows that are written as one list must not take others' changes away, made since the list was read.
#[test]
fn a_change_made_before_a_whole_list_is_written_stays() {
    run(async |world: &World| {
        let pf = quiet_edge(world).await;
        let mail = |port: &str| json!({"id": 3, "destination_port": port});
        // Of each list: the look, and then the look just before the write.
        let edited = json!({"id": 0, "descr": "mail, edited"});
        hook(
            &pf,
            When::Before,
            Match::next("GET", NATS).nth(2),
            "PATCH",
            "firewall/nat/one_to_one/mapping",
            Some(edited),
        );
        let added = json!({"parent_id": "opt3", "mac": "52:54:00:aa:00:99", "ipaddr": "10.20.0.199", "descr": "a new one"});
        hook(
            &pf,
            When::Before,
            Match::next("GET", MAPS),
            "POST",
            "services/dhcp_server/static_mapping",
            Some(added),
        );
        hook(
            &pf,
            When::Before,
            Match::next("GET", RULES).nth(2),
            "PATCH",
            "firewall/rule",
            Some(mail("465")),
        );

        pf.sim.unplug(std::time::Duration::from_hours(1));
        for last in 10..40 {
            let name = format!("web-{last}");
            for manifest in [nat(&name, last), dhcp(&name, last), rule(&name, last)] {
                world.apply(manifest).await;
            }
        }
        let unreachable = async |kind: &str| {
            let objects = world.list(kind).await;
            let told = |o: &&crate::world::Object| {
                o.condition("Ready").as_deref() == Some("False EndpointUnavailable")
            };
            objects.iter().filter(told).count() == 30
        };
        world
            .until("all of them are asked for", async || {
                let all = unreachable("NatMapping").await
                    && unreachable("DhcpReservation").await
                    && unreachable("FirewallRule").await;
                all.then_some(())
            })
            .await;
        pf.sim.plug();
        for kind in ["NatMapping", "DhcpReservation", "FirewallRule"] {
            for last in 10..40 {
                world.ready(kind, &format!("web-{last}")).await;
            }
        }
        all_done(&pf);
        let bulk = |write: &&String| {
            write.starts_with("PUT ")
                || write.starts_with("PATCH services/dhcp_server") && !write.contains("static_mapping")
        };
        assert!(pf.writes().iter().filter(bulk).count() >= 2, "not written as lists: {:?}", pf.writes());
        assert!(pf.row("one_to_one", "mail, edited").is_some());
        assert_eq!(pf.row("static_mappings", "a new one").unwrap()["ipaddr"], "10.20.0.199");
        assert_eq!(pf.row("rules", "mail").unwrap()["destination_port"], "465");
        assert_eq!((pf.owned(), pf.not_loaded()), (90, Vec::new()));
        assert_eq!(pf.foreign()["rules"].as_array().unwrap().len(), 6);
        assert_eq!(pf.foreign()["static_mappings"].as_array().unwrap().len(), 4);
    });
}

#[test]
fn a_row_that_is_undone_right_after_it_was_written_is_made_again() {
    run(async |world: &World| {
        let pf = quiet_edge(world).await;
        // Ours is the third row; it goes before its writer has the answer.
        hook(
            &pf,
            When::After,
            Match::next("POST", "/api/v2/firewall/virtual_ip"),
            "DELETE",
            "firewall/virtual_ip?id=2",
            None,
        );
        world.apply(vip("web", 9)).await;
        world.ready("VirtualIP", "web").await;
        all_done(&pf);
        assert_eq!(pf.ours("virtual_ips").len(), 1);
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
        assert_eq!(pf.foreign()["virtual_ips"].as_array().unwrap().len(), 2);
    });
}
