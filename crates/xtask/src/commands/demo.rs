//! `cargo xtask demo`: reads what was asked for and puts the parts of [`crate::demo`] in order.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::demo::stages::{self, Prepared};
use crate::demo::{Ports, Settings, checks, converge, summary};
use crate::ui;

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave everything up after convergence, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Listen on four ports from this one, instead of on 18443, 18006, 18080 and 18090
    #[arg(long, value_name = "N")]
    pub port_base: Option<u16>,
    /// How many times as fast as real time the simulated systems live
    #[arg(long, value_name = "X", default_value_t = 5.0)]
    pub speed: f64,
    /// How many seconds it may take until everything is Ready
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub timeout: u64,
    /// Verify what is promised: steady state, drift, unplugged endpoints, kill -9, deletion; about ten minutes
    #[arg(long, conflicts_with = "keep")]
    pub check: bool,
    /// With --check, only the checks of which the name contains this
    #[arg(long, value_name = "NAME", requires = "check")]
    pub only: Option<String>,
    /// With --check, what chance is drawn from; printed, so that a run can be repeated
    #[arg(long, value_name = "N", requires = "check")]
    pub seed: Option<u64>,
}

/// Does it. Whatever was started dies with this program, however it ends.
pub fn run(args: &Args) -> Result<ExitCode> {
    let ports = match args.port_base {
        None => Ports::DEFAULT,
        Some(base) => Ports::from_base(base)
            .with_context(|| format!("--port-base {base}: there are no four ports from there on"))?,
    };
    if !(args.speed.is_finite() && args.speed > 0.0) {
        bail!("--speed {}: a number above 0", args.speed);
    }
    let settings = Settings { ports, speed: args.speed, timeout: Duration::from_secs(args.timeout) };
    let prepared = stages::prepare(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    if args.check {
        return runtime.block_on(checks::run(&prepared, args.only.as_deref(), args.seed));
    }
    runtime.block_on(show(&prepared, args.keep))
}

async fn show(prepared: &Prepared, keep: bool) -> Result<ExitCode> {
    let mut demo = prepared.start().await?;
    let applied = demo.apply()?;
    let result = converge::converge(&mut demo, applied, false).await;
    match &result {
        Ok(times) => {
            summary::print(&demo, times).await?;
            summary::try_next(&demo, keep)?;
        }
        // Kept up, it can be looked into.
        Err(error) if keep => {
            ui::note(format!("error: {error:#}"));
            summary::try_next(&demo, keep)?;
        }
        Err(_) => {}
    }
    if keep {
        ui::note("everything stays up. Ctrl-C stops it.");
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
        ui::note("stopping");
    }
    demo.finish()?;
    result.map(|_| ExitCode::SUCCESS)
}
