//! The operator's process: settings, logging, the lease, signals. Everything else is in the crates it wires together.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use kube::{Client, Config};
use skyy_runtime::{
    lease::{self, LeaseSettings},
    metrics::Metrics,
    server::{self, Readiness},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// Drives Proxmox VE, Ceph and pfSense from custom resources.
#[derive(Debug, Parser)]
#[command(name = "skyy-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controllers.
    Run(Run),
    /// Print the custom resource definitions as JSON, for `kubectl apply -f -`.
    Crd,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "SKYY_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The namespace of the Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "skyy-system")]
    namespace: String,
    /// This replica's name, for the Lease and for events.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Run without asking for the Lease; only where nothing else can run beside it.
    #[arg(long, env = "SKYY_NO_LEADER_ELECTION")]
    no_leader_election: bool,
    /// How long the Lease is good for when its holder falls silent, in seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=300))]
    lease_seconds: u64,
    /// By which word this installation knows what it made outside. Left out: from the uid of the namespace kube-system.
    #[arg(long, env = "SKYY_INSTALLATION")]
    installation: Option<String>,
    /// How log lines look.
    #[arg(long, env = "SKYY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged, as in `info,skyy_http=debug`.
    #[arg(long, env = "SKYY_LOG", default_value = "info,kube=warn,kube_runtime=warn")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Crd => print_crds(),
        Command::Run(run) => start(run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skyy-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> anyhow::Result<()> {
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": skyy_api::all_crds() });
    serde_json::to_writer_pretty(std::io::stdout().lock(), &list).context("cannot print")
}

fn start(run: Run) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&run.log)
        .with_context(|| format!("--log {:?} is not a filter such as info,skyy_http=debug", run.log))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match run.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    skyy_controllers::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(run));
    // What still runs after a graceful end (watches, timers) has nothing left to finish.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(run: Run) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let metrics = Metrics::default();
    let (readiness, ready) = watch::channel(Readiness::NotYet("starting".into()));
    let bound = server::serve(run.listen, metrics.clone(), ready, stop.clone()).await?;
    tracing::info!(address = %bound, "metrics and health are served");

    let config = Config::infer()
        .await
        .context("no Kubernetes API server is configured: set KUBECONFIG, or run in a cluster")?;
    // The driver has a back-off of its own, which says in a condition why it waits; a hidden one below it would hang.
    let mut patient = config.clone();
    patient.default_retry = false;
    let client =
        Client::try_from(patient).context("cannot use the configuration of the Kubernetes API server")?;
    let identity = run.identity.clone().unwrap_or_else(default_identity);

    let mut lost = None;
    if !run.no_leader_election {
        let settings = LeaseSettings {
            namespace: run.namespace.clone(),
            name: "skyy-command".into(),
            identity: identity.clone(),
            seconds: run.lease_seconds,
        };
        readiness.send_replace(Readiness::Ready("standing by"));
        let (mut leading, _campaign) = lease::campaign(config, &settings).await?;
        tokio::select! {
            won = leading.wait_for(|leading| *leading) => { won.map_err(|_| anyhow!("the Lease can no longer be asked for"))?; }
            () = stop.cancelled() => return Ok(()),
        }
        tracing::info!(identity, "holds the Lease");
        lost = Some(leading);
    }
    metrics.leading(true);
    readiness.send_replace(Readiness::Ready("leading"));

    let options = skyy_controllers::Options { installation: run.installation, instance: Some(identity) };
    let work = skyy_controllers::run(client, metrics, options, stop.clone());
    tokio::pin!(work);
    let Some(mut leading) = lost else { return work.await.map_err(Into::into) };
    tokio::select! {
        result = &mut work => result.map_err(Into::into),
        // Whatever is half done is not finished: another replica may have begun already.
        _ = leading.wait_for(|leading| !*leading) => Err(anyhow!("the Lease is lost; ending, so that only its holder writes")),
    }
}

fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what has begun is finished");
        stop.cancel();
    });
    Ok(())
}

fn default_identity() -> String {
    format!("skyy-operator-{}", std::process::id())
}
