//! Waiting until everything is Ready, with something to look at meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::stages::Demo;
use super::table::{Row, Table, not_ready};
use super::world::{Kind, LOOK};
use crate::ui;

/// How long it took.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// From the apply to the moment at which all of a kind was Ready for the first time.
    pub kinds: BTreeMap<String, Duration>,
    /// From the apply to the end.
    pub total: Duration,
}

/// Waits until all that is expected is there and Ready. An error, with a table on stdout, when it is not in time.
pub async fn converge(demo: &mut Demo, applied: Instant, quiet: bool) -> Result<Times> {
    let expected = demo.manifests.expected();
    let timeout = demo.settings.timeout;
    let mut table = Table::new();
    let mut times = Times::default();
    loop {
        demo.must_run()?;
        let kinds = demo.world.look();
        let rows = rows(&kinds, &expected);
        let since = applied.elapsed();
        for row in rows.iter().filter(|row| row.done() && !row.kind.objects.is_empty()) {
            times.kinds.entry(row.kind.name.clone()).or_insert(since);
        }
        if !quiet {
            table.show(&rows, since);
        }
        if rows.iter().all(Row::done) {
            times.total = since;
            return Ok(times);
        }
        if since > timeout {
            for line in not_ready(&rows) {
                ui::line(line);
            }
            bail!(
                "not everything is Ready after {}; above is what is not, and why. --timeout S waits longer, --keep \
                 leaves everything up to look at",
                ui::duration(timeout)
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The kinds with what is expected of them.
pub fn rows<'a>(kinds: &'a [Kind], expected: &BTreeMap<String, usize>) -> Vec<Row<'a>> {
    kinds
        .iter()
        .map(|kind| Row { kind, expected: expected.get(&kind.name).copied().unwrap_or_default() })
        .collect()
}
