//! Coming.
use anyhow::{Result, bail};
/// Run.
pub fn run() -> Result<std::process::ExitCode> {
    bail!("tidy is not written yet")
}
