//! `skyy-sim`: simulated endpoints on the command line, several products in one process.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use skyy_sim::{
    Certificate, Clock, Product, Running, Sim, StateFile,
    ceph::{CephMgr, CephOptions, Release},
    pfsense::{Options, Pfsense},
    proxmox::{Pve, PveOptions},
};
use tokio::signal::unix::{SignalKind, signal};

/// Simulates a pfSense, a Proxmox VE and a Ceph manager well enough to drive them in earnest.
///
/// Every endpoint also serves /_sim: faults on command, hooks, counters, a request log, its state.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Listen here as a pfSense with its REST package; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pfsense: Option<String>,
    /// Listen here as a Proxmox VE
    #[arg(long, value_name = "ADDR")]
    proxmox: Option<String>,
    /// Listen here as a Ceph manager
    #[arg(long, value_name = "ADDR")]
    ceph: Option<String>,
    /// What ids and chance are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Keep the state in this file: taken up at the start, saved after changes and at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Speak TLS with a certificate of its own, whose SHA-256 is printed
    #[arg(long)]
    tls: bool,
    /// The state to start in
    #[arg(long, value_enum, default_value_t = Preset::Demo)]
    preset: Preset,
    /// Take as long as measured on the real systems
    #[arg(long)]
    realistic_cost: bool,
    /// How many times as fast as real time the simulated systems live
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// How long a firewall's reload takes, in milliseconds of its own time [default: the preset's]
    #[arg(long, value_name = "MS")]
    reload_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// The state that the recorded exchanges begin with
    Golden,
    /// Systems in use, with rows of others
    Demo,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start")),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "skyy-sim: {error:#}");
    ExitCode::FAILURE
}

async fn run(args: Args) -> anyhow::Result<()> {
    if args.pfsense.is_none() && args.proxmox.is_none() && args.ceph.is_none() {
        bail!(
            "nothing to simulate; give --pfsense, --proxmox or --ceph, for instance --pfsense 127.0.0.1:8443"
        );
    }
    // Before listening: a signal that comes at once must not find the default handler.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let state = args.state.as_deref().map(StateFile::open).transpose()?;
    let certificate = certificate(&args, state.as_deref())?;
    let carry = Carry { seed: args.seed, state: state.clone(), certificate };
    let pfsense = match &args.pfsense {
        Some(addr) => Some(carry.start("pfsense", addr, Pfsense::new(pfsense_options(&args))).await?),
        None => None,
    };
    let proxmox = match &args.proxmox {
        Some(addr) => Some(carry.start("proxmox", addr, Pve::new(proxmox_options(&args))).await?),
        None => None,
    };
    let ceph = match &args.ceph {
        Some(addr) => {
            let ceph = carry.start("ceph", addr, CephMgr::new(ceph_options(&args))).await?;
            ceph.product().set_base_url(&ceph.url());
            Some(ceph)
        }
        None => None,
    };
    let saving = state.clone().map(|state| tokio::spawn(state.save_on_change()));
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C")?,
    }
    if let Some(pfsense) = pfsense {
        pfsense.stop().await;
    }
    if let Some(proxmox) = proxmox {
        proxmox.stop().await;
    }
    if let Some(ceph) = ceph {
        ceph.stop().await;
    }
    if let Some(saving) = saving {
        saving.abort();
    }
    if let Some(state) = state {
        state.save()?;
    }
    Ok(())
}

fn pfsense_options(args: &Args) -> Options {
    let preset = match args.preset {
        Preset::Golden => Options::golden(),
        Preset::Demo => Options::demo(),
    };
    // Seconds are what the generators and pf take on a box of some size.
    let realistic = args.realistic_cost.then_some(Duration::from_secs(2));
    let reload = args.reload_ms.map(Duration::from_millis).or(realistic).unwrap_or(preset.reload);
    Options {
        clock: Clock::real(args.speed),
        seed: args.seed,
        realistic_cost: args.realistic_cost,
        reload,
        ..preset
    }
}

fn proxmox_options(args: &Args) -> PveOptions {
    let preset = match args.preset {
        Preset::Golden => skyy_sim::proxmox::Preset::Golden,
        Preset::Demo => skyy_sim::proxmox::Preset::Demo,
    };
    PveOptions { preset, speed: args.speed, seed: args.seed, ..PveOptions::default() }
}

fn ceph_options(args: &Args) -> CephOptions {
    let preset = match args.preset {
        Preset::Golden => CephOptions::golden(Release::V18),
        Preset::Demo => CephOptions::demo(),
    };
    CephOptions { clock: Clock::real(args.speed), ..preset }
}

/// One certificate for all endpoints; the one in the state file when there is one, so that a pin stays good.
fn certificate(args: &Args, state: Option<&StateFile>) -> anyhow::Result<Option<Certificate>> {
    if !args.tls {
        return Ok(None);
    }
    if let Some(kept) = state.and_then(StateFile::certificate) {
        return Ok(Some(kept));
    }
    let made = Certificate::generate()?;
    if let Some(state) = state {
        state.keep_certificate(&made);
    }
    Ok(Some(made))
}

/// What all endpoints of the process have in common.
struct Carry {
    seed: u64,
    state: Option<Arc<StateFile>>,
    certificate: Option<Certificate>,
}

impl Carry {
    async fn start<P: Product>(&self, name: &str, addr: &str, product: P) -> anyhow::Result<Running<P>> {
        let mut builder = Sim::builder(Arc::new(product)).addr(addr).seed(self.seed);
        if let Some(certificate) = &self.certificate {
            builder = builder.certificate(certificate.clone());
        }
        if let Some(state) = &self.state {
            builder = builder.state(Arc::clone(state), name);
        }
        let running = builder.start().await.with_context(|| format!("--{name}"))?;
        let fingerprint =
            running.fingerprint_sha256().map_or_else(String::new, |sha| format!(" sha256 {sha}"));
        writeln!(std::io::stdout(), "{name} {}{fingerprint}", running.url())?;
        Ok(running)
    }
}
