//! What it came to, in numbers from outside: counters of the endpoints, metrics of the operator and the API server,
//! and what the kernel says of memory.

use anyhow::Result;

use super::converge::Times;
use super::manifests::ROWS;
use super::operator::metric;
use super::stages::Demo;
use crate::control_plane::Tool;
use crate::ui;

/// Prints it.
pub async fn print(demo: &Demo, times: &Times) -> Result<()> {
    let kinds = demo.world.look();
    let total: usize = kinds.iter().map(|kind| kind.objects.len()).sum();
    let rows: usize =
        kinds.iter().filter(|kind| ROWS.contains(&kind.name.as_str())).map(|kind| kind.objects.len()).sum();
    ui::line("");
    ui::line(format!("{total} objects Ready {} after they were applied", ui::duration(times.total)));
    ui::line(format!("  {:<15} {:>7}  {:>10}", "kind", "objects", "Ready in"));
    for kind in kinds.iter().filter(|kind| !kind.objects.is_empty()) {
        let time = times.kinds.get(&kind.name).map(|time| ui::duration(*time)).unwrap_or_default();
        ui::line(format!("  {:<15} {:>7}  {time:>10}", kind.name, kind.objects.len()));
    }

    ui::line("");
    ui::line(format!("  {:<15} {:>7}  {:>7}", "endpoint", "reads", "writes"));
    let mut firewall = 0;
    for endpoint in demo.endpoints.all() {
        let calls = endpoint.calls().await?;
        if endpoint.name == demo.endpoints.pfsense.name {
            firewall = calls.reads + calls.writes;
        }
        ui::line(format!("  {:<15} {:>7}  {:>7}", endpoint.name, calls.reads, calls.writes));
    }
    ui::line(format!("  {firewall} requests for {rows} rows on the firewall; {}", reloads(demo).await?));

    let metrics = demo.operator.metrics().await?;
    let statuses = metric(&metrics, "skyy_status_writes_total", |_| true);
    let events = metric(&metrics, "skyy_events_total", |_| true);
    let writes = demo.world.api_writes().await?;
    let refused = demo.world.api_forbidden().await?;
    ui::line("");
    ui::line(format!(
        "  API server: {writes} writes to objects and events (statuses {statuses}, events {events}), {refused} refused \
         for want of a right"
    ));
    if let Some(memory) = demo.operator.memory() {
        let mib = |kib: u64| kib.div_ceil(1024);
        ui::line(format!(
            "  operator: {} MiB of memory now, {} MiB at most",
            mib(memory.now_kib),
            mib(memory.peak_kib)
        ));
    }
    Ok(())
}

/// How often what was loaded into the firewall's packet filter and servers.
async fn reloads(demo: &Demo) -> Result<String> {
    let loaded = demo.endpoints.pfsense.sim("loaded").await?;
    let runs = loaded["applies"].as_object().cloned().unwrap_or_default();
    let each: Vec<String> = runs.iter().map(|(name, count)| format!("{name} {count}")).collect();
    Ok(format!("reloads: {}, packet filter loaded {} times", each.join(", "), loaded["filter_reloads"]))
}

/// What a newcomer may want to do now.
pub fn try_next(demo: &Demo, kept: bool) -> Result<()> {
    let port = demo.settings.ports;
    let kubectl = demo.plane.tools().get(Tool::Kubectl)?;
    ui::line("");
    if !kept {
        ui::line("To look around and break things: cargo xtask demo --keep");
        return Ok(());
    }
    ui::line("Try next, in another terminal:");
    ui::line(format!("  export KUBECONFIG={}", demo.plane.kubeconfig().display()));
    if let Some(folder) = kubectl.parent() {
        ui::line(format!("  export PATH={}:$PATH", folder.display()));
    }
    for (what, command) in [
        (
            "look around",
            String::from("kubectl get skyy -A | less; kubectl get pxh; kubectl get firewalls,addresspools"),
        ),
        ("scale", String::from("kubectl -n tenants scale deployments.skyy.helloskyy.io web --replicas 4")),
        (
            "see a plan, change nothing",
            String::from(
                "kubectl annotate addresspool public skyy.helloskyy.io/plan-only=true && kubectl get addresspool public -o yaml",
            ),
        ),
        (
            "break a row; it comes back within 10 s",
            format!(
                "curl -s -X DELETE -H 'X-API-Key: 0123456789abcdef0123456789abcdef0123456789abcdef' \
                 'http://127.0.0.1:{}/api/v2/firewall/nat/one_to_one/mapping?id=5&apply=true'",
                port.pfsense
            ),
        ),
        (
            "kill a guest; it is started again",
            format!("curl -s -X POST http://127.0.0.1:{}/_sim/proxmox/guests/100000/kill", port.proxmox),
        ),
        (
            "unplug Ceph for 30 s",
            format!(
                "curl -s -X POST -H 'Content-Type: application/json' -d '{{\"ms\":30000}}' \
                 http://127.0.0.1:{}/_sim/unplug",
                port.ceph
            ),
        ),
        ("read along", format!("tail -f {}", demo.operator.log().display())),
    ] {
        ui::line(format!("  # {what}"));
        ui::line(format!("  {command}"));
    }
    Ok(())
}
