//! `cargo xtask generate`: writes the generated files, or says which are stale.

use std::process::ExitCode;

use anyhow::Result;

use crate::{generated, ui, workspace};

/// What to do with the generated files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; fail when something would be written
    #[arg(long)]
    pub check: bool,
}

/// Does it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root();
    if args.check {
        let stale = generated::stale(&root)?;
        for path in &stale {
            ui::line(format!("stale: {}", path.display()));
        }
        if stale.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        ui::note("run: cargo xtask generate");
        return Ok(ExitCode::FAILURE);
    }
    for path in generated::write(&root)? {
        ui::line(format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
