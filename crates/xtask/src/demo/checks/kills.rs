//! The operator killed with SIGKILL at ten random moments of a convergence, and started again at once each time: the
//! same end state, nothing twice, nothing left behind.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Outside, Report, begin, converged, end};
use crate::demo::stages::{Demo, Prepared};
use crate::ui;

const KILLS: usize = 10;
/// Between one start and the next kill: short enough to hit the work, long enough to have some.
const BETWEEN: std::ops::Range<u64> = 500..4_500;

pub(super) async fn run(prepared: &Prepared, report: &mut Report, seed: u64) -> Result<()> {
    let (mut demo, before) = begin(prepared).await?;
    let result = async {
        let mut random = StdRng::seed_from_u64(seed);
        let applied = demo.apply()?;
        let mut moments = Vec::new();
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(random.random_range(BETWEEN))).await;
            moments.push(kill(&mut demo, applied).await?);
        }
        ui::note(format!("killed at {}", moments.join("; ")));
        demo.operator.wait_ready().await?;
        converged(&mut demo, report, applied, &before).await?;
        let outside = Outside::look(&demo.endpoints).await?;
        let rows = outside.own_rows();
        report.check(
            outside.content().len() == rows,
            format!("kills: {KILLS} times with --seed {seed}; no two of {rows} rows say the same"),
        );
        Ok(())
    }
    .await;
    end(demo, "kills")?;
    result
}

/// Kills it and starts it again; when that was and how far it had come.
async fn kill(demo: &mut Demo, applied: Instant) -> Result<String> {
    demo.operator.must_run()?;
    demo.operator.kill()?;
    let at = applied.elapsed();
    let outside = Outside::look(&demo.endpoints).await?;
    demo.operator.spawn()?;
    Ok(format!("{} ({})", ui::duration(at), outside.own()))
}
