//! The command line: what can be typed, and what then happens.
//!
//! Words and exit codes only; the work is in the modules that the commands name.

mod explain;
mod plan;
mod status;
mod validate;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::json;

use crate::{
    import::{self, Imported, Options, report::Counts, write},
    output::{self, Format},
};

/// Drives Skyy-Command from the command line; installed as kubectl-skyy it is `kubectl skyy`.
#[derive(Debug, Parser)]
#[command(name = "skyyctl", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn files of the prototype into resources
    Import(Box<ImportArgs>),
    /// Check files without a cluster
    Validate(validate::ValidateArgs),
    /// Show what the operator would do now, and change nothing
    Plan(Box<plan::PlanArgs>),
    /// Show why things are as they are
    Explain(explain::ExplainArgs),
    /// Show what is not Ready, and why
    Status(status::StatusArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Reads hosts/*.yaml, networking_*.yaml, docker-compose.*.yaml and config.yaml, and writes a Kustomize tree.
///
/// What could not be used, what looks wrong and what a person has to add is reported with file and line on standard
/// error. No secret is ever written: values that look like one become variables of a Secret.
///
/// Exit code 0 also with warnings; 1 where nothing could be used or the tree could not be written.
#[derive(Debug, Args)]
struct ImportArgs {
    /// Files, and folders with all that is below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How the report is written: a table on standard error, or JSON or YAML on standard output
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    report: Format,
    /// The namespace for guests and for rows on the firewall
    #[arg(long, default_value = "tenants", value_parser = object_name)]
    namespace: String,
    /// A ProxmoxCluster that exists already, instead of writing one
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    cluster: Option<String>,
    /// A Firewall that exists already, instead of writing one
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    firewall: Option<String>,
    /// There is a CephCluster already: do not write one
    #[arg(long)]
    ceph_exists: bool,
    /// The firewall's interface with the external addresses
    #[arg(long, default_value = "wan", value_name = "INTERFACE", value_parser = interface)]
    external_interface: String,
    /// The length of the external network's prefix
    #[arg(long, default_value_t = 23, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=128))]
    prefix_length: u8,
    /// The firewall's interface whose DHCP server serves the machines
    #[arg(long, default_value = "opt3", value_name = "INTERFACE", value_parser = interface)]
    internal_interface: String,
    /// The tag of the template that guests are made from
    #[arg(long, default_value = "ubuntu-24-04", value_name = "TAG", value_parser = word)]
    template: String,
    /// The tag of the template that guests with GPUs are made from
    #[arg(long, default_value = "ubuntu-24-04-gpu", value_name = "TAG", value_parser = word)]
    gpu_template: String,
    /// The PCI resource mapping that offers the GPUs
    #[arg(long, value_name = "MAPPING", value_parser = word)]
    gpu_mapping: Option<String>,
}

fn object_name(text: &str) -> Result<String, String> {
    match import::names::object_name(text) {
        Some(name) if name == text => Ok(name),
        Some(name) => Err(format!("not a name in Kubernetes; was {name} meant?")),
        None => Err("not a name in Kubernetes".to_owned()),
    }
}

fn interface(text: &str) -> Result<String, String> {
    let ok =
        (1..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c));
    ok.then(|| text.to_owned())
        .ok_or_else(|| "not an interface of a firewall, such as wan or opt3".to_owned())
}

fn word(text: &str) -> Result<String, String> {
    let ok = (2..=63).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    ok.then(|| text.to_owned()).ok_or_else(|| "should be one word of 2 to 63 letters".to_owned())
}

/// Does what was typed.
pub fn run(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Import(args) => run_import(*args, out, err),
        Command::Validate(args) => validate::run(&args, &mut io::stdin().lock(), out),
        Command::Plan(args) => wait(plan::run(&args, &mut io::stdin(), out, err)),
        Command::Explain(args) => wait(explain::run(&args, out)),
        Command::Status(args) => wait(status::run(&args, out)),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "skyyctl", &mut text);
            out.write_all(&text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The exit code where something is to be done or not yet as it should be: no failure, and not nothing.
const SOMETHING: u8 = 2;

/// Waits for work that talks to others.
fn wait(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn run_import(args: ImportArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let ImportArgs {
        paths,
        out: folder,
        report,
        namespace,
        cluster,
        firewall,
        ceph_exists,
        external_interface,
        prefix_length,
        internal_interface,
        template,
        gpu_template,
        gpu_mapping,
    } = args;
    let options = Options {
        namespace,
        cluster,
        firewall,
        ceph_exists,
        external_interface,
        prefix_length,
        internal_interface,
        template,
        gpu_template,
        gpu_mapping,
    };
    let imported = import::import(&paths, &options);
    if !imported.is_empty() {
        write::write(&folder, &imported.files).context("the tree is not written")?;
    }
    tell(&imported, &folder, report, out, err).or_else(broken_pipe)?;
    Ok(if imported.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(
    imported: &Imported,
    folder: &std::path::Path,
    report: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let Imported { files, counts, findings } = imported;
    if report != Format::Table {
        let told = json!({
            "out": folder, "files": files.keys().collect::<Vec<_>>(), "objects": counts, "findings": findings,
        });
        return output::value(out, report, &told);
    }
    if !findings.is_empty() {
        let rows = findings
            .iter()
            .map(|f| vec![f.place(), f.level.word().to_owned(), f.subject.clone(), f.message.clone()]);
        output::table(err, &["WHERE", "LEVEL", "WHAT", "WHY"], &rows.collect::<Vec<_>>())?;
        writeln!(err)?;
    }
    if imported.is_empty() {
        return writeln!(err, "Nothing could be imported: {}.", Counts(findings));
    }
    let made: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    writeln!(out, "{}: {} ({})", folder.display(), made.join(", "), Counts(findings))
}

/// A reader that has seen enough is no failure.
fn broken_pipe(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
