//! `skyyctl explain`: its arguments.

use std::{io::Write, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;
use skyy_api::Deployment;

use crate::{
    cluster::{self, Cluster},
    explain,
    output::{self, Format},
};

/// Shows why things are as they are.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Why the guests of a Deployment are where they are
    Deployment(DeploymentArgs),
}

/// Shows for each guest the host that was chosen, and all hosts that were looked at: how well each fits, or why not.
///
/// Exit code 0 when each guest has a host; 2 when one waits for a host; 1 when nobody could look.
#[derive(Debug, Args)]
struct DeploymentArgs {
    /// Its name
    name: String,
    /// Its namespace [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

pub(super) async fn run(args: &ExplainArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let What::Deployment(args) = &args.what;
    let cluster = Cluster::connect(args.context.as_deref()).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&cluster.namespace);
    let kinds = cluster::kinds();
    let Some(kind) = kinds.iter().find(|kind| kind.name == "Deployment") else { bail!("no such kind") };
    let Some(all) = cluster.list(kind, Some(namespace)).await? else {
        bail!("the cluster does not know our kinds: install the CRDs (crds/, or the chart)");
    };
    let is_it = |object: &&Value| {
        object.pointer("/metadata/name").and_then(Value::as_str) == Some(args.name.as_str())
    };
    let Some(found) = all.iter().find(is_it) else {
        bail!("there is no Deployment {} in namespace {namespace}", args.name);
    };
    let deployment: Deployment = serde_json::from_value(found.clone())?;
    let explained = deployment.status.as_ref().map(explain::explain).unwrap_or_default();
    if args.output == Format::Table && explained.is_empty() {
        writeln!(out, "No guest of {namespace}/{} has been decided on yet.", args.name)
    } else if args.output == Format::Table {
        explain::render(&explained, out)
    } else {
        output::value(out, args.output, &serde_json::to_value(&explained)?)
    }
    .or_else(super::broken_pipe)?;
    let placed = explained.iter().filter(|one| one.host.is_some()).count();
    let all = placed >= deployment.spec.replicas as usize;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(super::SOMETHING) })
}
