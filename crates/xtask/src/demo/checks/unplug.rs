//! An endpoint that is gone for half a minute in the middle of the work: its object says so within one interval, the
//! rest goes on, and all of it recovers by itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{INTERVAL, Outside, REPAIR, Report, begin, converged, end, took, until};
use crate::demo::endpoints::{Endpoint, Endpoints};
use crate::demo::stages::{Demo, Prepared};
use crate::demo::world::Object;
use crate::ui;

const OUT_FOR: Duration = Duration::from_secs(30);

/// An endpoint that is unplugged, and by which of our kinds that is seen.
#[derive(Debug)]
pub(super) struct Unplugged {
    /// The kind of its object.
    pub(super) kind: &'static str,
    /// How long after the apply: while it has much to do.
    after: Duration,
    endpoint: fn(&Endpoints) -> &Endpoint,
    /// Kinds that have nothing to do with it and become Ready meanwhile.
    others: &'static [&'static str],
    /// Whether guests have nothing to do with it, but for the one that waits for an address.
    guests: bool,
}

/// Each of them.
pub(super) const ENDPOINTS: [Unplugged; 3] = [
    Unplugged {
        kind: "Firewall",
        after: Duration::from_secs(4),
        endpoint: |endpoints| &endpoints.pfsense,
        others: &["ProxmoxHost", "CephPool"],
        guests: true,
    },
    Unplugged {
        kind: "ProxmoxCluster",
        after: Duration::from_secs(5),
        endpoint: |endpoints| &endpoints.proxmox,
        others: &["VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule", "CephPool"],
        guests: false,
    },
    Unplugged {
        kind: "CephCluster",
        after: Duration::ZERO,
        endpoint: |endpoints| &endpoints.ceph,
        others: &["ProxmoxHost", "VirtualIP", "NatMapping", "DhcpReservation", "FirewallRule"],
        guests: true,
    },
];

pub(super) async fn run(prepared: &Prepared, report: &mut Report, what: &Unplugged) -> Result<()> {
    let (mut demo, before) = begin(prepared).await?;
    let result = async {
        let applied = demo.apply()?;
        tokio::time::sleep(what.after.saturating_sub(applied.elapsed())).await;
        out(&mut demo, report, what).await?;
        let back = Instant::now();
        converged(&mut demo, report, applied, &before).await?;
        ui::note(format!("{} after the plug was back in", ui::duration(back.elapsed())));
        Ok(())
    }
    .await;
    end(demo, &format!("unplug-{}", what.kind))?;
    result
}

async fn out(demo: &mut Demo, report: &mut Report, what: &Unplugged) -> Result<()> {
    let kind = what.kind;
    let others = |demo: &Demo| -> Vec<Object> {
        let mut others = demo.world.look();
        others.retain(|other| what.others.contains(&other.name.as_str()));
        others.into_iter().flat_map(|other| other.objects).collect()
    };
    let ready_before = others(demo).iter().filter(|object| object.ready).count();
    let outside = Outside::look(&demo.endpoints).await?;
    let running_before = outside.own_guests().filter(|guest| guest.running).count();
    (what.endpoint)(&demo.endpoints).unplug(OUT_FOR).await.context("pulling the plug")?;
    let pulled = Instant::now();

    let within = INTERVAL + REPAIR;
    // Not Ready for any other reason does not count: the condition names what does not answer.
    let url = (what.endpoint)(&demo.endpoints).url().to_owned();
    let mut said = String::new();
    let seen = until(within, async || {
        let object = demo
            .world
            .look()
            .into_iter()
            .find(|one| one.name == kind)
            .and_then(|one| one.objects.into_iter().next());
        let Some(object) = object.filter(|object| !object.ready && object.message.contains(&url)) else {
            return Ok(false);
        };
        said = format!("{}: {}", object.reason, object.message);
        Ok(true)
    })
    .await?;
    report.check(seen.is_some(), format!("unplug: {kind} says so, {}: {said}", took(seen, within)));

    let expected: usize =
        what.others.iter().map(|other| demo.manifests.expected().get(*other).copied().unwrap_or(0)).sum();
    let guests = if what.guests { demo.manifests.guests().saturating_sub(1) } else { 0 };
    let (mut ready, mut running) = (0, 0);
    let left = OUT_FOR.saturating_sub(pulled.elapsed());
    let meanwhile = until(left, async || {
        let outside = Outside::look(&demo.endpoints).await?;
        running = outside.own_guests().filter(|guest| guest.running).count();
        ready = others(demo).iter().filter(|object| object.ready).count();
        Ok(ready >= expected && running >= guests)
    })
    .await?
    .map(|_| pulled.elapsed());
    report.check(
        meanwhile.is_some(),
        format!(
            "unplug: the rest goes on without {kind}: from {ready_before} to {ready} of {expected} Ready ({}), from \
             {running_before} to {running} guests, {}",
            what.others.join(", "),
            took(meanwhile, OUT_FOR)
        ),
    );
    tokio::time::sleep(OUT_FOR.saturating_sub(pulled.elapsed())).await;
    demo.must_run()
}
