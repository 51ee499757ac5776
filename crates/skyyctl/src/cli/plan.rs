//! `skyyctl plan`: its arguments, and where its objects come from.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use skyy_api::SecretKeyRef;

use crate::{
    cluster::{self, Cluster, Kind},
    import::report::Level,
    manifests::{Manifests, files},
    output::{self, Format},
    plan::{self, render},
    validate,
    world::{World, group_of},
};

/// What names an installation where there is no cluster that could.
const NO_CLUSTER: &str = "plan";

/// Shows what the operator would do now, call by call, and changes nothing.
///
/// Objects come from the cluster of the kubeconfig; with -f, files are laid over them. Without a cluster, -f has to
/// bring the endpoints as well, and their Secrets (or --secrets-from). Endpoints are only read.
///
/// Exit code 0 when there is nothing to do; 2 when something would be done, or is held back; 1 when nobody can say.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Files and folders that are laid over the cluster's objects; - is standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Secrets that are neither in the cluster nor among the files
    #[arg(long, value_name = "FILE")]
    secrets_from: Vec<PathBuf>,
    /// Do not ask a cluster, even where there is a kubeconfig
    #[arg(long, requires = "files")]
    offline: bool,
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The word by which the operator marks what it makes [default: from the cluster, as the operator does]
    #[arg(long, value_name = "WORD")]
    installation: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How it is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: PlanFormat,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// A summary for people.
    #[default]
    Table,
    /// The summary with each call.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

pub(super) async fn run(
    args: &PlanArgs,
    stdin: &mut (dyn Read + Send),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(word) = &args.installation
        && !skyy_plan::firewall::installation_is_valid(word)
    {
        bail!("--installation {word:?} cannot be used in marks: letters, digits, -, _ and . only");
    }
    let overlay = if args.files.is_empty() { Vec::new() } else { usable(&files::read(&args.files, stdin))? };
    let secrets = usable(&files::read(&args.secrets_from, &mut std::io::empty()))?;
    let cluster = reach(args).await?;
    let namespace = cluster.as_ref().map_or("default", |cluster| cluster.namespace.as_str()).to_owned();
    let mut world = World::default();
    if let Some(cluster) = &cluster {
        fill(&mut world, cluster).await?;
    }
    let kinds = cluster::kinds();
    for object in overlay.into_iter().chain(secrets) {
        lay_over(&mut world, object, &kinds, &namespace)?;
    }
    if let Some(cluster) = &cluster {
        secrets_of(&mut world, cluster, err).await?;
    }
    let installation = match (&args.installation, &cluster) {
        (Some(word), _) => word.clone(),
        (None, Some(cluster)) => cluster.installation().await?,
        (None, None) => {
            let why = "no cluster: planned by the files alone, as if nothing had been made before (--installation says whose rows are ours)";
            writeln!(err, "{why}").or_else(super::broken_pipe)?;
            NO_CLUSTER.to_owned()
        }
    };
    if let Some(only) = &args.only {
        known_endpoint(&world, only)?;
    }
    let planned = plan::plan(world, &installation, args.only.as_deref()).await?;
    match args.output {
        PlanFormat::Table => render::render(&planned, false, out),
        PlanFormat::Wide => render::render(&planned, true, out),
        PlanFormat::Json => output::value(out, Format::Json, &serde_json::to_value(&planned)?),
        PlanFormat::Yaml => output::value(out, Format::Yaml, &serde_json::to_value(&planned)?),
    }
    .or_else(super::broken_pipe)?;
    Ok(match (planned.is_partial(), planned.is_empty()) {
        (true, _) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(super::SOMETHING),
        (false, true) => ExitCode::SUCCESS,
    })
}

/// The objects of files that are right; what is wrong with them ends the plan.
fn usable(manifests: &Manifests) -> anyhow::Result<Vec<Value>> {
    let validated = validate::validate(manifests);
    let mut wrong = validated.findings.iter().filter(|finding| finding.level == Level::Error);
    if let Some(first) = wrong.next() {
        let more = wrong.count();
        let more =
            if more > 0 { format!(" (and {more} more: skyyctl validate shows all)") } else { String::new() };
        bail!("{}: {} {}{more}", first.place(), first.subject, first.message);
    }
    Ok(validate::completed(manifests))
}

/// The cluster; none where there is none and the files are enough.
async fn reach(args: &PlanArgs) -> anyhow::Result<Option<Cluster>> {
    if args.offline {
        return Ok(None);
    }
    match Cluster::connect(args.context.as_deref()).await {
        Ok(cluster) => Ok(Some(cluster)),
        // A kubeconfig that was named is meant, even where the files would do.
        Err(error) if args.files.is_empty() || args.context.is_some() || names_a_kubeconfig() => Err(error),
        Err(_) => Ok(None),
    }
}

fn names_a_kubeconfig() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty())
}

/// All that the cluster has of ours.
async fn fill(world: &mut World, cluster: &Cluster) -> anyhow::Result<()> {
    let mut known = false;
    for kind in cluster::kinds() {
        let Some(objects) = cluster.list(&kind, None).await? else { continue };
        known = true;
        for object in &objects {
            world.insert(object).with_context(|| {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                format!("{} {name} cannot be read by this version of skyyctl", kind.name)
            })?;
        }
    }
    if !known {
        bail!("the cluster does not know our kinds: install the CRDs (crds/, or the chart)");
    }
    for namespace in cluster.namespaces().await? {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        world.namespaces.insert((String::new(), name), namespace);
    }
    Ok(())
}

/// Lays an object of a file over the one that is there, as `kubectl apply` would: identity and status stay.
fn lay_over(world: &mut World, mut object: Value, kinds: &[Kind], namespace: &str) -> anyhow::Result<()> {
    let text = |object: &Value, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let ours = group_of(&text(&object, "/apiVersion")) == skyy_api::GROUP;
    let kind = text(&object, "/kind");
    let in_a_namespace = match kinds.iter().find(|known| ours && known.name == kind) {
        Some(kind) => kind.namespaced,
        None => ["Secret", "ConfigMap"].contains(&kind.as_str()),
    };
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
    if !in_a_namespace {
        metadata.remove("namespace");
    } else if metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let key = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
    let before = if ours { world.find(&kind, &key)? } else { None };
    let Some(mut both) = before else {
        // What will be made has no uid yet; what is remembered by uid needs one.
        if ours {
            object["metadata"]["uid"] = json!(format!("new-{}-{}-{}", kind.to_lowercase(), key.0, key.1));
        }
        world.insert(&object)?;
        return Ok(());
    };
    both["spec"] = object["spec"].take();
    for field in ["labels", "annotations"] {
        let Some(Value::Object(new)) = object["metadata"].get_mut(field).map(Value::take) else { continue };
        let Some(metadata) = both["metadata"].as_object_mut() else { continue };
        if let Value::Object(kept) = metadata.entry(field).or_insert_with(|| json!({})) {
            kept.extend(new);
        }
    }
    world.insert(&both)?;
    Ok(())
}

/// The Secrets that are named and not there yet. One that cannot be read is told where it is needed.
async fn secrets_of(world: &mut World, cluster: &Cluster, err: &mut dyn Write) -> anyhow::Result<()> {
    let mut named: BTreeSet<SecretKeyRef> = BTreeSet::new();
    named.extend(world.firewalls.values().map(|one| one.spec.api_key.secret.clone()));
    named.extend(world.proxmox_clusters.values().map(|one| one.spec.token.secret.clone()));
    for one in world.ceph_clusters.values() {
        named.extend([one.spec.username.secret.clone(), one.spec.password.secret.clone()]);
    }
    for ((namespace, _), one) in &world.deployments {
        let keys = one.spec.cloud_init.as_ref().and_then(|init| init.ssh_keys.as_ref());
        named.extend(keys.map(|keys| SecretKeyRef {
            namespace: namespace.clone(),
            name: keys.secret.name.clone(),
            key: keys.secret.key.clone(),
        }));
    }
    for reference in named {
        let key = (reference.namespace.clone(), reference.name.clone());
        if world.secrets.contains_key(&key) {
            continue;
        }
        match cluster.secret(&reference).await {
            Ok(Some(secret)) => drop(world.secrets.insert(key, secret)),
            Ok(None) => {}
            Err(error) => writeln!(err, "{error:#}").or_else(super::broken_pipe)?,
        }
    }
    Ok(())
}

fn known_endpoint(world: &World, only: &str) -> anyhow::Result<()> {
    let firewalls = world.firewalls.keys();
    let all = firewalls.chain(world.proxmox_clusters.keys()).chain(world.ceph_clusters.keys());
    let names: BTreeSet<&str> = all.map(|(_, name)| name.as_str()).collect();
    if !names.contains(only) {
        let names: Vec<&str> = names.into_iter().collect();
        bail!("there is no endpoint {only}; there is {}", names.join(", "));
    }
    Ok(())
}
