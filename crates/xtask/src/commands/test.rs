//! Coming.
use anyhow::{Result, bail};
/// Args.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Run.
pub fn run(_args: &Args) -> Result<std::process::ExitCode> {
    bail!("test is not written yet")
}
