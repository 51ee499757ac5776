//! What is promised of the operator, held against what it does, one line each: PASS or FAIL, with numbers. Everything
//! is seen from outside: on the endpoints, in the API server, in the kernel.

mod deletion;
mod drift;
mod kills;
mod nonsense;
mod outside;
mod steady;
mod unplug;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::outside::{Foreign, Outside};
use super::converge::converge;
use super::stages::{Demo, Prepared};
use crate::process::POLL;
use crate::{ui, workspace};

/// The intervals that `desired_state/demo` gives the endpoints; a change by hand is seen within one.
const INTERVAL: Duration = Duration::from_secs(10);
/// What repairing takes once it is seen: writes, and a reload at the simulator's speed.
const REPAIR: Duration = Duration::from_secs(5);

/// The groups of checks.
const GROUPS: [&str; 6] = ["steady", "drift", "nonsense", "deletion", "unplug", "kills"];

/// What came of the checks.
#[derive(Debug, Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// One line.
    fn check(&mut self, pass: bool, what: impl std::fmt::Display) {
        let (word, count) = if pass { ("PASS", &mut self.passed) } else { ("FAIL", &mut self.failed) };
        *count += 1;
        ui::line(format!("{word}  {what}"));
    }

    /// A group that could not go on has failed, whatever it had shown before.
    fn ended(&mut self, group: &str, result: Result<()>) {
        if let Err(error) = result {
            self.check(false, format!("{group}: {error:#}"));
        }
    }

    /// One line, and each thing that is wrong below it.
    fn nothing_wrong(&mut self, wrong: &[String], what: impl std::fmt::Display) {
        /// More of the same help nobody.
        const SHOWN: usize = 12;
        self.check(wrong.is_empty(), what);
        for line in wrong.iter().take(SHOWN) {
            ui::line(format!("        {line}"));
        }
        if wrong.len() > SHOWN {
            ui::line(format!("        and {} more", wrong.len() - SHOWN));
        }
    }
}

/// Runs the checks of which the group's name contains `only`.
pub async fn run(prepared: &Prepared, only: Option<&str>, seed: Option<u64>) -> Result<ExitCode> {
    let wanted = |group: &str| only.is_none_or(|only| group.contains(only));
    if !GROUPS.iter().any(|group| wanted(group)) {
        bail!("--only {}: there are {}", only.unwrap_or_default(), GROUPS.join(", "));
    }
    let began = Instant::now();
    let mut report = Report::default();
    if ["steady", "drift", "nonsense", "deletion"].into_iter().any(wanted) {
        ui::note("== one demo: steady state, drift, nonsense, deletion");
        let result = one_demo(prepared, &mut report, wanted).await;
        report.ended("steady, drift, nonsense, deletion", result);
    }
    for endpoint in unplug::ENDPOINTS.iter().filter(|_| wanted("unplug")) {
        ui::note(format!("== a fresh demo, {} unplugged meanwhile", endpoint.kind));
        let result = unplug::run(prepared, &mut report, endpoint).await;
        report.ended(&format!("unplug {}", endpoint.kind), result);
    }
    if wanted("kills") {
        let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        ui::note(format!("== a fresh demo, the operator killed meanwhile: --seed {seed}"));
        let result = kills::run(prepared, &mut report, seed).await;
        report.ended("kills", result);
    }
    ui::line(format!(
        "{} passed, {} failed, in {}",
        report.passed,
        report.failed,
        ui::duration(began.elapsed())
    ));
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one_demo(prepared: &Prepared, report: &mut Report, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let (mut demo, before) = begin(prepared).await?;
    let result = async {
        let applied = demo.apply()?;
        converged(&mut demo, report, applied, &before).await?;
        if wanted("steady") {
            steady::run(&mut demo, report).await?;
        }
        if wanted("drift") {
            drift::run(&mut demo, report).await?;
        }
        if wanted("nonsense") {
            nonsense::run(&mut demo, report).await?;
        }
        if wanted("deletion") {
            deletion::run(&mut demo, report).await?;
        }
        Ok(())
    }
    .await;
    end(demo, "one-demo")?;
    result
}

/// A fresh demo, and what stands on its endpoints before anything of ours does.
async fn begin(prepared: &Prepared) -> Result<(Demo, Foreign)> {
    let demo = prepared.start().await?;
    let before = Outside::look(&demo.endpoints).await?;
    if before.own_rows() + before.own_guests().count() + before.own_pools().len() > 0 {
        bail!("a fresh simulator already holds {}", before.own());
    }
    Ok((demo, before.foreign()))
}

/// Waits until all is Ready, and looks whether that is true.
async fn converged(demo: &mut Demo, report: &mut Report, applied: Instant, before: &Foreign) -> Result<()> {
    let times = converge(demo, applied, true).await?;
    let outside = Outside::look(&demo.endpoints).await?;
    let wrong = outside.wrong(&demo.manifests, before);
    let took = ui::duration(times.total);
    report.nothing_wrong(&wrong, format!("all Ready in {took}, and so it stands outside: {}", outside.own()));
    let refused = demo.world.api_forbidden().await?;
    report.check(refused == 0, format!("{refused} calls refused by the API server for want of a right"));
    Ok(())
}

/// Ends a demo; what the operator said is kept, as the demo's folder goes.
fn end(demo: Demo, name: &str) -> Result<()> {
    let folder = workspace::root().join("target/xtask-demo");
    let log = folder.join(format!("operator-{name}.log"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::copy(demo.operator.log(), &log))
        .with_context(|| format!("writing {}", log.display()))?;
    ui::note(format!("the operator's log is in {}", log.display()));
    demo.finish()
}

/// Looks again and again until it is as it should be; how long that took, or `None` when it did not come in time.
async fn until(within: Duration, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<Option<Duration>> {
    let began = Instant::now();
    loop {
        if look().await? {
            return Ok(Some(began.elapsed()));
        }
        if began.elapsed() > within {
            return Ok(None);
        }
        tokio::time::sleep(4 * POLL).await;
    }
}

/// `in 3.2 s`, or that it was not.
fn took(time: Option<Duration>, within: Duration) -> String {
    time.map_or_else(
        || format!("not within {}", ui::duration(within)),
        |time| format!("in {}", ui::duration(time)),
    )
}
