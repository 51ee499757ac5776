//! What no schema catches: an object that its endpoint cannot take, and an endpoint that answers with a web page. Each
//! is named in a condition, and everybody else goes on.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{INTERVAL, REPAIR, Report, took, until};
use crate::demo::stages::Demo;
use crate::demo::world::Object;

/// Long enough for a guest to be made.
const GUEST_WITHIN: Duration = Duration::from_mins(1);

pub(super) async fn run(demo: &mut Demo, report: &mut Report) -> Result<()> {
    let all = |demo: &Demo| -> Vec<Object> {
        demo.world.look().into_iter().flat_map(|kind| kind.objects).collect()
    };
    let nonsense = json!({
        "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIP",
        "metadata": {"name": "nonsense", "namespace": "tenants"},
        "spec": {"firewall": "edge", "address": "198.51.100.77/32", "interface": "opt9"},
    });
    demo.plane.apply(&nonsense.to_string())?;
    demo.endpoints.ceph.sim_post("faults", json!({"kind": "html-page", "count": Value::Null})).await?;
    scale(demo, 4)?;

    let within = INTERVAL + REPAIR;
    let mut said = [String::new(), String::new()];
    let seen = until(within, async || {
        let now = all(demo);
        let of = |name: &str, words: &[&str]| {
            let one = now.iter().find(|object| object.name == name && !object.ready)?;
            words
                .iter()
                .any(|word| one.message.contains(word))
                .then(|| format!("{}: {}", one.reason, one.message))
        };
        let (row, cluster) = (
            of("tenants/nonsense", &["opt9"]),
            of("ceph-main", &["HTML", "JSON", "web page", "Content-Type", "content type"]),
        );
        let both = row.is_some() && cluster.is_some();
        said = [row.unwrap_or_default(), cluster.unwrap_or_default()];
        Ok(both)
    })
    .await?;
    let [row, cluster] = &said;
    report.check(!row.is_empty(), format!("nonsense: an interface that is not there is named: {row}"));
    report.check(!cluster.is_empty(), format!("nonsense: an endpoint that answers HTML is named: {cluster}"));
    report.check(seen.is_some(), format!("nonsense: both {}", took(seen, within)));

    // Pools look through their cluster, so they may say so too; nobody else has a reason to wait.
    let concerned = |name: &str| {
        ["tenants/nonsense", "ceph-main", "tenants/vm-general", "tenants/vm-scratch"].contains(&name)
    };
    let replicas = |demo: &Demo| {
        let deployments = demo.world.objects("Deployment");
        let web = deployments.iter().find(|object| object.metadata.name.as_deref() == Some("web"));
        web.map(|web| web.data["status"]["readyReplicas"].clone()).unwrap_or_default()
    };
    let others = until(GUEST_WITHIN, async || {
        demo.must_run()?;
        let waiting = all(demo).iter().any(|object| !object.ready && !concerned(&object.name));
        Ok(!waiting && replicas(demo) == 4)
    })
    .await?;
    report.check(
        others.is_some(),
        format!(
            "nonsense: meanwhile web is scaled to {} and all others are Ready, {}",
            replicas(demo),
            took(others, GUEST_WITHIN)
        ),
    );

    demo.endpoints.ceph.sim_delete("faults").await?;
    demo.plane.delete(&nonsense.to_string())?;
    scale(demo, 3)?;
    let well =
        until(GUEST_WITHIN, async || Ok(all(demo).iter().all(|object| object.ready) && replicas(demo) == 3))
            .await?;
    report.check(well.is_some(), format!("nonsense: all is well without it, {}", took(well, GUEST_WITHIN)));
    if well.is_none() {
        bail!("what comes next needs a demo in which all is well");
    }
    Ok(())
}

fn scale(demo: &Demo, replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    demo.plane.kubectl(&["scale", "-n", "tenants", "deployments.skyy.helloskyy.io", "web", &replicas])?;
    Ok(())
}
