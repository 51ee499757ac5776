//! Deleting everything removes exactly what was made. Many deletions at once wait for a person first, and what is
//! to be kept stays.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use skyy_api::common::CONFIRM_DELETES_ANNOTATION;

use super::{INTERVAL, Outside, REPAIR, Report, took, until};
use crate::demo::stages::Demo;

const GONE_WITHIN: Duration = Duration::from_mins(5);

pub(super) async fn run(demo: &mut Demo, report: &mut Report) -> Result<()> {
    let before = Outside::look(&demo.endpoints).await?;
    let foreign = before.foreign();
    let ours = demo.manifests.ours();
    demo.plane.begin_delete(&ours.text()).context("deleting everything")?;

    // 2,000 rows at once may be a mistake: nothing goes before somebody has said how many.
    let within = INTERVAL + REPAIR;
    let refused = until(within, async || {
        Ok(demo
            .world
            .look()
            .iter()
            .flat_map(|kind| &kind.objects)
            .any(|object| object.message.contains(CONFIRM_DELETES_ANNOTATION)))
    })
    .await?;
    let now = Outside::look(&demo.endpoints).await?;
    // What was asked for first may have gone in a batch of its own, as long as that was a small one.
    let limit = ours.delete_limit().context("the Firewall has no limits.maxDeletesPerBatch")?;
    report.check(
        refused.is_some() && now.own_rows() + limit >= before.own_rows(),
        format!(
            "deletion: {} rows at once wait for a person, who is told how to confirm, {}; {} still stand, the \
             limit being {limit}",
            before.own_rows(),
            took(refused, within),
            now.own_rows(),
        ),
    );
    demo.confirm_deletes(before.own_rows())?;

    let gone = until(GONE_WITHIN, async || {
        demo.must_run()?;
        Ok(demo.world.look().iter().all(|kind| kind.objects.is_empty()))
    })
    .await?;
    let left: Vec<String> = demo
        .world
        .look()
        .iter()
        .filter_map(|kind| {
            let first = kind.objects.first()?;
            let count = kind.objects.len();
            Some(format!(
                "{count} {} left, the first {}: {} {}",
                kind.name, first.name, first.reason, first.message
            ))
        })
        .collect();
    report.nothing_wrong(&left, format!("deletion: all objects are gone, {}", took(gone, GONE_WITHIN)));

    let after = Outside::look(&demo.endpoints).await?;
    let kept: BTreeSet<String> = ours.kept_pools().into_iter().map(str::to_owned).collect();
    let removed = after.own_rows() == 0 && after.own_guests().count() == 0 && after.own_pools() == kept;
    report.check(
        removed,
        format!("deletion: {} were there, {} are left (to be kept: {kept:?})", before.own(), after.own()),
    );
    let wrong = after.foreign().differs(&foreign);
    report.nothing_wrong(
        &wrong,
        format!("deletion: what others have is untouched: {}", after.foreign().count()),
    );
    Ok(())
}
