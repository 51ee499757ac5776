//! `skyyctl validate`: its arguments and its table.

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use crate::{
    import::report::Counts,
    manifests::files,
    output::{self, Format},
    validate::{self, Validated},
};

/// Checks files against the CRDs (fields, types, bounds, CEL rules) and against each other, without a cluster.
///
/// A folder is read with all below it; one with a kustomization.yaml by its resources, with the patches that are
/// objects themselves. Names of objects that are not among the files are notes: they may be in the cluster already.
///
/// Exit code 0 also with warnings; 1 where something is wrong.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How the findings are written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(
    args: &ValidateArgs,
    stdin: &mut dyn Read,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let manifests = files::read(&args.paths, stdin);
    let validated = validate::validate(&manifests);
    tell(&validated, args.output, out).or_else(super::broken_pipe)?;
    Ok(if validated.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(validated: &Validated, format: Format, out: &mut dyn Write) -> std::io::Result<()> {
    let Validated { counts, findings } = validated;
    if format != Format::Table {
        return output::value(out, format, &json!({ "objects": counts, "findings": findings }));
    }
    if !findings.is_empty() {
        let rows = findings
            .iter()
            .map(|f| vec![f.place(), f.level.word().to_owned(), f.subject.clone(), f.message.clone()]);
        output::table(out, &["WHERE", "LEVEL", "OBJECT", "WHAT"], &rows.collect::<Vec<_>>())?;
        writeln!(out)?;
    }
    let made: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let made = if made.is_empty() { "no object of ours".to_owned() } else { made.join(", ") };
    writeln!(out, "{made}: {}", Counts(findings))
}
