//! `cargo xtask`: reads the command line and hands over. Decides nothing else.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::commands::{cluster, demo, generate, test, tidy};
use xtask::ui;

/// The project's own tools
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the operator at work against simulated endpoints on a real API server
    Demo(demo::Args),
    /// Run every test, layer by layer, with all set-up
    Test(test::Args),
    /// Write the files that are made from the code: CRDs and reference pages
    Generate(generate::Args),
    /// Check the house rules that neither rustfmt nor clippy knows
    Tidy,
    /// A Kubernetes API server to work against, without containers
    #[command(subcommand)]
    Cluster(cluster::Command),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Tidy => tidy::run(),
        Command::Cluster(command) => cluster::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            ui::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
