//! `skyyctl status`: its arguments and its table.

use std::{io::Write, process::ExitCode};

use anyhow::bail;
use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::{
    cluster::{self, Cluster, Kind},
    output::{self, Format},
    status::{self, Line, Status},
};

/// Shows what is not Ready in the cluster of the kubeconfig: why, since when, and what to do.
///
/// Exit code 0 when everything is Ready; 2 when something is not; 1 when nobody could look.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only these: a kind, or KIND/NAME
    #[arg(value_name = "KIND[/NAME]")]
    only: Vec<String>,
    /// Only this namespace, besides what belongs to none
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// All namespaces, which is also what is shown when nothing is said
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Also what is Ready
    #[arg(long)]
    all: bool,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

pub(super) async fn run(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let kinds = cluster::kinds();
    let wanted = select(&kinds, &args.only)?;
    let cluster = Cluster::connect(args.context.as_deref()).await?;
    let mut objects = Vec::new();
    let mut known = false;
    for (kind, names) in wanted {
        let Some(found) = cluster.list(kind, args.namespace.as_deref()).await? else { continue };
        known = true;
        let name_of = |object: &Value| {
            object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        for name in &names {
            if !found.iter().any(|object| name_of(object) == *name) {
                bail!("there is no {} {name}", kind.name);
            }
        }
        objects
            .extend(found.into_iter().filter(|object| names.is_empty() || names.contains(&name_of(object))));
    }
    if !known {
        bail!("the cluster does not know our kinds: install the CRDs (crds/, or the chart)");
    }
    let status = status::table(&objects, args.all || !args.only.is_empty());
    tell(&status, args.output, Timestamp::now(), out).or_else(super::broken_pipe)?;
    Ok(if status.all_ready() { ExitCode::SUCCESS } else { ExitCode::from(super::SOMETHING) })
}

/// The kinds that were asked for, each with the names (none: all of them).
fn select<'a>(kinds: &'a [Kind], only: &[String]) -> anyhow::Result<Vec<(&'a Kind, Vec<String>)>> {
    if only.is_empty() {
        return Ok(kinds.iter().map(|kind| (kind, Vec::new())).collect());
    }
    let mut wanted: Vec<(&Kind, Vec<String>)> = Vec::new();
    for text in only {
        let (word, name) =
            text.split_once('/').map_or((text.as_str(), None), |(word, name)| (word, Some(name)));
        let plain = word.to_lowercase();
        let plain = plain.strip_suffix(&format!(".{}", skyy_api::GROUP)).unwrap_or(&plain);
        let Some(kind) = kinds.iter().find(|kind| kind.words.iter().any(|known| known == plain)) else {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
            bail!("there is no kind {word}; there is {}", names.join(", "));
        };
        match wanted.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.extend(name.map(ToOwned::to_owned)),
            None => wanted.push((kind, name.map(ToOwned::to_owned).into_iter().collect())),
        }
    }
    Ok(wanted)
}

fn tell(status: &Status, format: Format, now: Timestamp, out: &mut dyn Write) -> std::io::Result<()> {
    if format != Format::Table {
        return output::value(out, format, &serde_json::to_value(status)?);
    }
    if !status.objects.is_empty() {
        let row = |line: &Line| {
            let name = match &line.namespace {
                Some(namespace) => format!("{}/{namespace}/{}", line.kind, line.name),
                None => format!("{}/{}", line.kind, line.name),
            };
            let message = match (line.message.is_empty(), line.next.is_empty()) {
                (_, true) => line.message.clone(),
                (true, false) => line.next.clone(),
                (false, false) => format!("{} → {}", line.message.trim_end_matches('.'), line.next),
            };
            let since = line.since.map(|since| status::age(since, now)).unwrap_or_default();
            vec![name, line.reason.clone(), since, message]
        };
        let rows: Vec<Vec<String>> = status.objects.iter().map(row).collect();
        output::table(out, &["OBJECT", "REASON", "SINCE", "WHY → WHAT NEXT"], &rows)?;
        writeln!(out)?;
    }
    let counts: Vec<String> = status
        .kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {}/{}", count.ready, count.objects))
        .collect();
    match (counts.is_empty(), status.all_ready()) {
        (true, _) => writeln!(out, "There are no objects."),
        (false, true) => writeln!(out, "All Ready: {}", counts.join(", ")),
        (false, false) => writeln!(out, "Ready: {}", counts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_found_by_every_name_that_kubectl_knows() {
        let kinds = cluster::kinds();
        for word in ["vip", "VirtualIP", "virtualips", "virtualips.skyy.helloskyy.io"] {
            let found = select(&kinds, &[word.to_owned(), "vip/web".to_owned()]).unwrap();
            assert_eq!(found.len(), 1, "{word}");
            assert_eq!(
                (found[0].0.name.as_str(), found[0].1.as_slice()),
                ("VirtualIP", &["web".to_owned()][..])
            );
        }
        assert_eq!(select(&kinds, &[]).unwrap().len(), kinds.len());
        assert!(select(&kinds, &["pod".to_owned()]).is_err());
    }

    #[test]
    fn the_table_says_why_and_what_next() {
        let object = json!({
            "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "Firewall",
            "metadata": {"name": "edge", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"observedGeneration": 1, "conditions": [
                {"type": "Ready", "status": "False", "reason": "SecretMissing", "message": "Secret x/y does not exist.",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let status = status::table(&[object], false);
        let mut out = Vec::new();
        tell(&status, Format::Table, "2026-01-01T00:05:00Z".parse().unwrap(), &mut out).unwrap();
        let expected = "OBJECT          REASON          SINCE   WHY → WHAT NEXT\n\
            Firewall/edge   SecretMissing   5m      Secret x/y does not exist → create the Secret with that key\n\n\
            Ready: Firewall 0/1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
