//! From a manifest to a row that runs, and back into status: the ordinary life of each kind.

use serde_json::json;

use crate::world::{World, dhcp, nat, rule, run, vip, with};

#[test]
fn a_virtual_ip_becomes_a_loaded_row_is_changed_and_goes() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let before = pf.foreign();

        world.apply(vip("web", 9)).await;
        let web = world.ready("VirtualIP", "web").await;
        assert_eq!(web.condition("Programmed").as_deref(), Some("True InSync"));
        assert_eq!((web.generation(), web.has_finalizer()), (1, true));
        let row = pf.row("virtual_ips", "web [").unwrap();
        assert_eq!((&row["subnet"], &row["subnet_bits"]), (&json!("198.18.0.9"), &json!(23)));
        assert_eq!((&row["interface"], &row["mode"]), (&json!("wan"), &json!("ipalias")));
        let uid = &web.text("/metadata/uid")[..8];
        assert_eq!(row["descr"], format!("web [skyy:suite/tenants/web#{uid}]"));
        assert_eq!(pf.not_loaded(), Vec::<String>::new());

        world.apply(with(vip("web", 9), json!({"spec": {"description": "the new web"}}))).await;
        let changed = world.ready("VirtualIP", "web").await;
        assert_eq!(changed.generation(), 2);
        let row = pf.row("virtual_ips", "the new web").unwrap();
        assert_eq!(pf.ours("virtual_ips"), [row]);
        assert_eq!(pf.not_loaded(), Vec::<String>::new());

        world.delete("VirtualIP", "web").await;
        world.gone("VirtualIP", "web").await;
        assert_eq!((pf.owned(), pf.foreign()), (0, before));
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
    });
}

#[test]
fn each_kind_of_row_lives_and_goes() {
    run(async |world: &World| {
        let pf = world.edge().await;
        let before = pf.foreign();
        let kinds = ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"];
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9)] {
            world.apply(manifest).await;
        }
        for kind in kinds {
            let object = world.ready(kind, "web").await;
            assert_eq!(object.condition("Programmed").as_deref(), Some("True InSync"), "{kind}");
        }
        let one = |table: &str| pf.row(table, "web [").unwrap_or_else(|| panic!("no row in {table}"));
        assert_eq!(one("virtual_ips")["subnet"], "198.18.0.9");
        assert_eq!(
            (&one("one_to_one")["external"], &one("one_to_one")["source"]),
            (&json!("198.18.0.9"), &json!("10.20.0.9"))
        );
        assert_eq!(
            (&one("static_mappings")["mac"], &one("static_mappings")["ipaddr"]),
            (&json!("02:00:00:00:00:09"), &json!("10.20.0.9"))
        );
        let rule = one("rules");
        assert_eq!((&rule["destination"], &rule["destination_port"]), (&json!("10.20.0.9"), &json!("443")));
        assert_eq!((&rule["protocol"], &rule["interface"]), (&json!("tcp"), &json!(["wan"])));
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
        let firewall =
            world.seen("Firewall", "edge", "counts our rows", |o| o.0["status"]["ownedRows"] == 4).await;
        assert_eq!(firewall.0["status"]["foreignRows"], 13);

        for kind in kinds {
            world.delete(kind, "web").await;
        }
        for kind in kinds {
            world.gone(kind, "web").await;
        }
        assert_eq!((pf.owned(), pf.foreign()), (0, before));
        assert_eq!(pf.not_loaded(), Vec::<String>::new());
    });
}
