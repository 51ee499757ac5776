//! The operator with the rights that the chart gives it, and no others.

use std::process::{Command, Stdio};

use serde_json::json;
use xtask::control_plane::Tool;

use crate::world::{NAMESPACE, Object, SYSTEM, World, dhcp, firewall, nat, pool, rule, run, vip, with};

#[test]
fn the_charts_roles_are_enough() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        let manifests = template(world);
        world.plane().apply(&manifests).unwrap();
        let kubeconfig = world.plane().service_account_kubeconfig(SYSTEM, "skyy-skyy-command").unwrap();
        let refused = world.forbidden().await;
        let mut program = world.program_as(&kubeconfig, &["--lease-seconds=3"]);

        // Everything it does for a firewall: finalizers, statuses, events, rows of a pool, claims, Secrets, namespaces.
        world.firewall_manifests(&pf).await;
        for manifest in [vip("web", 9), nat("web", 9), dhcp("web", 9), rule("web", 9)] {
            world.apply(manifest).await;
        }
        world.apply(with(pool("public", 10, 3), json!({"spec": {"publish": "OnClaim"}}))).await;
        let claim = json!({
            "kind": "AddressClaim", "metadata": {"name": "public-198-18-0-11", "namespace": NAMESPACE},
            "spec": {
                "pool": "public", "external": "198.18.0.11",
                "claimant": {"namespace": NAMESPACE, "deployment": "web", "uid": "u", "guest": "web-0"},
            },
        });
        world.apply(claim).await;
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            world.ready(kind, "web").await;
        }
        world.ready("AddressClaim", "public-198-18-0-11").await;
        world.ready("AddressPool", "public").await;
        world
            .apply(with(
                pool("public", 11, 3),
                json!({"spec": {"publish": "Always", "rule": {"protocol": "UDP"}}}),
            ))
            .await;
        world.ready("AddressPool", "public").await;
        assert_eq!(pf.owned(), 4 + 12);
        // An event, and again the same.
        for _ in 0..2 {
            pf.delete_by_hand("virtual_ips", "web [").await;
            world.until("the row is back", async || pf.row("virtual_ips", "web [")).await;
        }
        world
            .until("the repair is told", async || world.events("DriftRepaired").await.first().map(|_| ()))
            .await;

        world.delete("AddressClaim", "public-198-18-0-11").await;
        world.gone("AddressClaim", "public-198-18-0-11").await;
        world.delete("AddressPool", "public").await;
        for kind in ["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"] {
            world.delete(kind, "web").await;
            world.gone(kind, "web").await;
        }
        world.gone("AddressPool", "public").await;
        world.delete("Firewall", "edge").await;
        world.gone("Firewall", "edge").await;
        assert_eq!(pf.owned(), 0);

        assert!(program.runs());
        let log = program.log_text();
        let complaint =
            log.lines().find(|line| line.to_lowercase().contains("forbidden") || line.contains("403"));
        assert_eq!(complaint, None);
        assert_eq!(world.forbidden().await, refused, "the API server refused something for want of a right");
        // The mark's first word comes from the cluster when nobody gives one.
        assert!(!log.contains("\"installation\":\"suite\""));
        assert_eq!(program.terminate().await.code(), Some(0));
        world.plane().kubectl(&["delete", "clusterrole,clusterrolebinding", "skyy-skyy-command"]).unwrap();
    });
}

/// A Secret outside the namespaces that the chart was told of is not read, and the object says why.
#[test]
fn a_secret_elsewhere_needs_a_right_that_the_chart_was_not_asked_for() {
    run(async |world: &World| {
        let pf = world.pfsense("edge").await;
        let manifests = template(world);
        world.plane().apply(&manifests).unwrap();
        let kubeconfig = world.plane().service_account_kubeconfig(SYSTEM, "skyy-skyy-command").unwrap();
        let _program = world.program_as(&kubeconfig, &["--lease-seconds=3"]);
        let elsewhere = json!({"spec": {"apiKey": {"secret": {"namespace": NAMESPACE}}}});
        world.apply(with(firewall(&pf), elsewhere)).await;
        let named = |o: &Object| {
            o.condition("Ready").as_deref() == Some("False SecretMissing")
                && o.message("Ready").contains("forbidden")
        };
        let said = world
            .seen("Firewall", "edge", "says that it may not read the Secret", named)
            .await
            .message("Ready");
        assert!(said.contains("Secret tenants/edge-pfsense cannot be read"), "{said}");
        world.secret(&pf, crate::world::KEY).await;
        world.apply(firewall(&pf)).await;
        world.ready("Firewall", "edge").await;
        world.plane().kubectl(&["delete", "clusterrole,clusterrolebinding", "skyy-skyy-command"]).unwrap();
    });
}

/// The chart as `helm install skyy` would send it, without the CRDs, which are there.
fn template(world: &World) -> String {
    let (helm, scratch) = {
        let plane = world.plane();
        (plane.tools().get(Tool::Helm).unwrap(), plane.folder().join("helm"))
    };
    let output = Command::new(helm)
        .args(["template", "skyy"])
        .arg(xtask::workspace::root().join("charts/skyy-command"))
        .args(["--namespace", SYSTEM])
        .env("HELM_CACHE_HOME", scratch.join("cache"))
        .env("HELM_CONFIG_HOME", scratch.join("config"))
        .env("HELM_DATA_HOME", scratch.join("data"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
