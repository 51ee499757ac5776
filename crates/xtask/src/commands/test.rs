//! `cargo xtask test`: all set-up, every test, a table by layer, one line that says it all.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::control_plane::{Tool, Tools};
use crate::testing::build::{self, Built, Program};
use crate::testing::chart;
use crate::testing::layer::Layer;
use crate::testing::run::{Ran, run as run_program};
use crate::{ui, workspace};

/// One program, at most; a run that hangs must not hang for ever.
const LIMIT: Duration = Duration::from_mins(20);
const SOAK_LIMIT: Duration = Duration::from_hours(6);

/// Which tests to run, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only tests whose name contains this
    pub filter: Option<String>,
    /// The long runs too: tests marked `#[ignore]`, more cases for the laws, SKYY_SOAK=1
    #[arg(long)]
    pub soak: bool,
}

/// The outcome of one layer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
    time: Duration,
}

#[derive(Debug, Default)]
struct Report {
    layers: BTreeMap<Layer, Tally>,
    failures: Vec<String>,
    reasons: BTreeMap<String, u32>,
}

/// Does it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let began = Instant::now();
    let root = workspace::root();
    let tools = Tools::from_env()?;
    if let Some(kubeconfig) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        ui::note(format!("control plane: the cluster of KUBECONFIG ({})", kubeconfig.to_string_lossy()));
        tools.ensure(&[Tool::Kubectl, Tool::Helm])?;
    } else {
        ui::note(format!("control plane: {}", tools.source()));
        tools.ensure(&[
            Tool::KubeApiserver,
            Tool::Etcd,
            Tool::Kubectl,
            Tool::Helm,
            Tool::KubeControllerManager,
        ])?;
    }
    let built = build::build(&root)?;

    let mut report = Report::default();
    let logs = root.join("target/xtask-test");
    let limit = if args.soak { SOAK_LIMIT } else { LIMIT };
    // Layers are in order, and documentation examples come between the crates and the cluster.
    let (crates, suite): (Vec<&Program>, Vec<&Program>) =
        built.tests.iter().partition(|program| program.layer < Layer::Examples);
    for program in crates {
        let name = format!("{} {}", program.package, program.target);
        report.add(program.layer, &name, run_program(&name, &command(program, &built, args), &logs, limit)?);
    }
    if built.complete {
        let examples = run_program("documentation examples", &examples_command(args), &logs, limit)?;
        report.add(Layer::Examples, "documentation examples", examples);
    }
    for program in suite {
        let name = format!("{} {}", program.package, program.target);
        report.add(program.layer, &name, run_program(&name, &command(program, &built, args), &logs, limit)?);
    }
    report.chart(&tools, args.filter.as_deref())?;
    if !built.complete {
        report.incomplete();
    }

    for line in report.lines() {
        ui::line(line);
    }
    ui::note(format!("in {}; logs in target/xtask-test", ui::duration(began.elapsed())));
    let total = report.total();
    if let (Some(filter), 0) = (&args.filter, total.passed + total.failed + total.skipped) {
        ui::note(format!("no test's name contains {filter:?}"));
        return Ok(ExitCode::FAILURE);
    }
    // The last line, plain, for whoever reads only that.
    ui::line(format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn command(program: &Program, built: &Built, args: &Args) -> Command {
    let mut command = Command::new(&program.executable);
    build::without_cargo(&mut command);
    command.current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
    if let Some(folder) = &built.programs {
        command.env("SKYY_BIN_DIR", folder);
    }
    command.args(&args.filter).arg("--show-output");
    if args.soak {
        command.arg("--include-ignored").env("SKYY_SOAK", "1");
        if std::env::var_os("PROPTEST_CASES").is_none() {
            command.env("PROPTEST_CASES", "4096");
        }
    }
    command
}

fn examples_command(args: &Args) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build::without_cargo(&mut command);
    command.args(["test", "--workspace", "--doc", "--no-fail-fast"]).current_dir(workspace::root());
    command.arg("--").args(&args.filter);
    command
}

impl Report {
    fn add(&mut self, layer: Layer, name: &str, ran: Ran) {
        let Ran { outcome, log, time } = ran;
        if outcome.is_empty() {
            return;
        }
        let failed = u32::try_from(outcome.failed.len()).unwrap_or(u32::MAX);
        let skipped =
            if outcome.skipped > 0 { format!(", {} skipped", outcome.skipped) } else { String::new() };
        if failed == 0 {
            ui::line(format!(
                "{layer:<10} {name}: {} passed{skipped}, {}",
                outcome.passed,
                ui::duration(time)
            ));
        } else {
            // At once and here: whoever reads this may not have the machine it ran on.
            ui::line(what_failed(&std::fs::read_to_string(&log).unwrap_or_default()));
            ui::line(format!("{layer:<10} {name}: {} passed, {failed} FAILED{skipped}", outcome.passed));
        }
        self.failures.extend(outcome.failed.iter().map(|test| format!("{name}: {test}")));
        for (reason, count) in outcome.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        let tally = self.layers.entry(layer).or_default();
        tally.passed += outcome.passed;
        tally.failed += failed;
        tally.skipped += outcome.skipped;
        tally.time += time;
    }

    fn chart(&mut self, tools: &Tools, filter: Option<&str>) -> Result<()> {
        let chart = workspace::root().join("charts/skyy-command");
        let mut tally = Tally::default();
        let began = Instant::now();
        if chart.join("Chart.yaml").is_file() {
            let helm = tools.get(Tool::Helm)?;
            let (passed, failed) = chart::run(&helm, &chart, &tools.cache().join("helm"), filter)?;
            tally.passed = passed;
            tally.failed = u32::try_from(failed.len()).unwrap_or(u32::MAX);
            for failure in &failed {
                ui::line(failure);
            }
            self.failures.extend(failed.iter().filter_map(|text| text.lines().next()).map(str::to_owned));
        } else {
            tally.skipped = 1;
            self.reasons.insert(String::from("charts/skyy-command has no Chart.yaml"), 1);
        }
        tally.time = began.elapsed();
        if tally.passed + tally.failed + tally.skipped > 0 {
            ui::line(format!("{:<10} {} passed, {} failed", Layer::Chart, tally.passed, tally.failed));
            self.layers.insert(Layer::Chart, tally);
        }
        Ok(())
    }

    /// Tests that could not even be built have not passed.
    fn incomplete(&mut self) {
        self.layers.entry(Layer::Other).or_default().failed += 1;
        self.failures.push(String::from("part of the workspace does not build; cargo says above what"));
    }

    fn total(&self) -> Tally {
        self.layers.values().fold(Tally::default(), |sum, tally| Tally {
            passed: sum.passed + tally.passed,
            failed: sum.failed + tally.failed,
            skipped: sum.skipped + tally.skipped,
            time: sum.time + tally.time,
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        lines
            .push(format!("{:<10} {:>7} {:>7} {:>8} {:>12}", "layer", "passed", "failed", "skipped", "time"));
        let total = self.total();
        let rows = self.layers.iter().map(|(layer, tally)| (layer.to_string(), tally));
        for (name, tally) in rows.chain([(String::from("total"), &total)]) {
            let Tally { passed, failed, skipped, time } = tally;
            lines
                .push(format!("{name:<10} {passed:>7} {failed:>7} {skipped:>8} {:>12}", ui::duration(*time)));
        }
        lines.push(String::new());
        lines.extend(self.reasons.iter().map(|(reason, count)| format!("skipped: {reason} ({count})")));
        lines.extend(self.failures.iter().map(|failure| format!("failed: {failure}")));
        lines
    }
}

/// The part of a log that says what failed: libtest's own, or the end where a program died before it.
fn what_failed(log: &str) -> &str {
    const LINES: usize = 100;
    if let Some(at) = log.find("\nfailures:\n") {
        return &log[at + 1..];
    }
    let start = log.rmatch_indices('\n').nth(LINES).map_or(0, |(at, _)| at + 1);
    &log[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::libtest::Outcome;

    #[test]
    fn a_long_log_is_cut_to_what_failed() {
        assert_eq!(what_failed("test a ... FAILED\n\nfailures:\n\n---- a\n"), "failures:\n\n---- a\n");
        assert_eq!(what_failed("died\n"), "died\n");
        let long: String = (0..500).map(|_| "line\n").collect();
        assert_eq!(what_failed(&long).lines().count(), 100);
    }

    #[test]
    fn layers_add_up_to_the_total() {
        let mut report = Report::default();
        for (layer, said) in [
            (Layer::Client, "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured"),
            (
                Layer::Pure,
                "test a::b ... FAILED\ntest result: FAILED. 10 passed; 1 failed; 0 ignored; 0 measured",
            ),
            (Layer::Pure, "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured"),
            (Layer::Driver, "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out"),
        ] {
            let mut outcome = Outcome::default();
            said.lines().for_each(|line| outcome.line(line));
            report.add(
                layer,
                "crate",
                Ran { outcome, log: "/nowhere".into(), time: Duration::from_secs(15) },
            );
        }
        assert_eq!(
            report.lines(),
            [
                "",
                "layer       passed  failed  skipped         time",
                "pure            11       1        2         30 s",
                "client           4       0        1         15 s",
                "total           15       1        3         45 s",
                "",
                "failed: crate: a::b",
            ]
        );
    }
}
