//! `skyyctl`, also installed as `kubectl-skyy`: what a person does with Skyy-Command at the command line.
//!
//! A library so that both names are one program, and so that tests need no process.

pub mod cli;
pub mod cluster;
pub mod explain;
pub mod import;
pub mod manifests;
pub mod output;
pub mod plan;
pub mod rows;
pub mod status;
pub mod validate;
pub mod world;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli, &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "skyyctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}
