//! Every recorded answer of the calls used here, through our types; every recorded refusal, through [`Problem`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;
use crate::types::*;
use crate::upid::Upid;

struct Exchange {
    name: String,
    method: String,
    path: String,
    status: u16,
    reason: String,
    body: Value,
}

/// `None`, and a line that says so, where the recordings are not at hand.
fn recorded() -> Option<Vec<Exchange>> {
    let root = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(root.join("proxmox/golden")) else {
        println!("skipped: no recorded exchanges at {} (set SKYY_CONTRACTS)", root.display());
        return None;
    };
    let mut exchanges = Vec::new();
    for file in folder {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text =
                |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            exchanges.push(Exchange {
                name: format!("{name}:{}", line["seq"]),
                method: text("/request/method"),
                path: text("/request/path"),
                status: u16::try_from(line["response"]["status"].as_u64().unwrap()).unwrap(),
                reason: text("/response/reason"),
                body: unmask(line["response"]["body"].clone()),
            });
        }
    }
    assert!(exchanges.len() > 900, "only {} recorded exchanges", exchanges.len());
    Some(exchanges)
}

/// Puts something of the right shape where the recording says that the value varied.
fn unmask(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("UPID:") => Value::from(text.replace("<any>", "1A2B")),
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| item != "<cut>").map(unmask).collect())
        }
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, unmask(value))).collect())
        }
        other => other,
    }
}

/// The path with the parts that name things taken out.
fn shape(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let part = |(index, part): (usize, &&str)| -> String {
        let before = index.checked_sub(1).and_then(|index| parts.get(index)).copied().unwrap_or_default();
        let shown = match before {
            "nodes" | "snapshot" => "*",
            "qemu" | "lxc" => "V",
            "tasks" => "U",
            "storage" if index > 2 => "S",
            _ => part,
        };
        shown.to_owned()
    };
    parts.iter().enumerate().map(part).collect::<Vec<_>>().join("/")
}

fn reads<T: DeserializeOwned>(body: &Value) -> Result<(), String> {
    T::deserialize(&body["data"]).map(drop).map_err(|error| error.to_string())
}

type Reader = fn(&Value) -> Result<(), String>;

fn readers() -> BTreeMap<String, Reader> {
    let by_call = [
        (("GET", "/version"), reads::<Version> as Reader),
        (("GET", "/nodes/*/version"), reads::<Version>),
        (("GET", "/cluster/status"), reads::<ClusterStatus>),
        (("GET", "/cluster/resources"), reads::<Resources>),
        (("GET", "/cluster/nextid"), reads::<crate::ids::Vmid>),
        (("GET", "/cluster/tasks"), reads::<Vec<TaskEntry>>),
        (("GET", "/cluster/mapping/pci"), reads::<Vec<PciMapping>>),
        (("GET", "/access/permissions"), reads::<Permissions>),
        (("GET", "/nodes"), reads::<Vec<NodeEntry>>),
        (("GET", "/nodes/*/status"), reads::<NodeStatus>),
        (("GET", "/nodes/*/config"), reads::<NodeConfig>),
        (("GET", "/nodes/*/dns"), reads::<Dns>),
        (("GET", "/nodes/*/time"), reads::<NodeTime>),
        (("GET", "/nodes/*/tasks"), reads::<Vec<TaskEntry>>),
        (("GET", "/nodes/*/tasks/U/status"), reads::<TaskStatus>),
        (("GET", "/nodes/*/tasks/U/log"), reads::<Vec<TaskLogLine>>),
        (("GET", "/nodes/*/qemu"), reads::<Vec<GuestStatus>>),
        (("GET", "/nodes/*/lxc"), reads::<Vec<GuestStatus>>),
        (("POST", "/nodes/*/qemu"), reads::<Upid>),
        (("DELETE", "/nodes/*/qemu/V"), reads::<Upid>),
        (("GET", "/nodes/*/qemu/V/config"), reads::<GuestConfig>),
        (("POST", "/nodes/*/qemu/V/config"), reads::<Option<Upid>>),
        (("PUT", "/nodes/*/qemu/V/config"), reads::<serde::de::IgnoredAny>),
        (("GET", "/nodes/*/qemu/V/pending"), reads::<Vec<PendingValue>>),
        (("GET", "/nodes/*/qemu/V/status/current"), reads::<GuestStatus>),
        (("POST", "/nodes/*/qemu/V/status/start"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/status/stop"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/status/shutdown"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/status/reboot"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/clone"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/migrate"), reads::<Upid>),
        (("GET", "/nodes/*/qemu/V/migrate"), reads::<MigrateCheck>),
        (("PUT", "/nodes/*/qemu/V/resize"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/template"), reads::<Option<Upid>>),
        (("GET", "/nodes/*/qemu/V/snapshot"), reads::<Vec<Snapshot>>),
        (("POST", "/nodes/*/qemu/V/snapshot"), reads::<Upid>),
        (("DELETE", "/nodes/*/qemu/V/snapshot/*"), reads::<Upid>),
        (("POST", "/nodes/*/qemu/V/snapshot/*/rollback"), reads::<Upid>),
        (("GET", "/nodes/*/qemu/V/cloudinit"), reads::<Vec<PendingValue>>),
        (("GET", "/nodes/*/qemu/V/agent/network-get-interfaces"), reads::<AgentNetwork>),
        (("GET", "/nodes/*/storage"), reads::<Vec<StorageUse>>),
        (("GET", "/nodes/*/storage/S/status"), reads::<StorageStatus>),
        (("GET", "/nodes/*/storage/S/content"), reads::<Vec<StorageContent>>),
        (("GET", "/nodes/*/network"), reads::<Vec<NetworkInterface>>),
        (("PUT", "/nodes/*/network"), reads::<Upid>),
        (("GET", "/nodes/*/apt/repositories"), reads::<AptRepositories>),
        (("GET", "/nodes/*/apt/update"), reads::<Vec<PackageUpdate>>),
        (("POST", "/nodes/*/apt/update"), reads::<Upid>),
        (("GET", "/nodes/*/apt/versions"), reads::<Vec<PackageVersion>>),
        (("GET", "/nodes/*/hardware/pci"), reads::<Vec<PciDevice>>),
    ];
    by_call.into_iter().map(|((method, path), read)| (format!("{method} {path}"), read)).collect()
}

#[test]
fn every_recorded_answer_is_read() {
    let Some(exchanges) = recorded() else { return };
    let readers = readers();
    let mut counts: BTreeMap<&str, u32> = readers.keys().map(|call| (call.as_str(), 0)).collect();
    let mut wrong = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.status == 200) {
        let call = format!("{} {}", exchange.method, shape(&exchange.path));
        let Some(read) = readers.get(&call) else { continue };
        *counts.get_mut(call.as_str()).unwrap() += 1;
        if let Err(error) = read(&exchange.body) {
            wrong.push(format!("{} {} {}: {error}", exchange.name, exchange.method, exchange.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused: Vec<_> = counts.iter().filter(|(_, count)| **count == 0).collect();
    assert!(unused.is_empty(), "no recording of {unused:?}");
    println!("{} recorded answers of {} calls were read", counts.values().sum::<u32>(), counts.len());
}

#[test]
fn every_recorded_refusal_is_what_it_is() {
    let Some(exchanges) = recorded() else { return };
    let mut kinds = BTreeMap::<&str, u32>::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.status >= 400) {
        let body = match &exchange.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let problem = Problem::of_answer(exchange.status, &exchange.reason, &body);
        let text = exchange.reason.as_str();
        let gone = text.starts_with("Configuration file 'nodes/") && text.ends_with(".conf' does not exist");
        let (kind, expected) = match &problem {
            Problem::Unauthenticated(failure) => {
                assert!(!matches!(failure, crate::AuthFailure::Other(_)), "{}: {failure}", exchange.name);
                ("unauthenticated", exchange.status == 401)
            }
            Problem::Forbidden { path, any_of, .. } => {
                assert_eq!(path.is_some(), text.contains("(/"), "{}", exchange.name);
                assert_eq!(path.is_some(), !any_of.is_empty());
                ("forbidden", exchange.status == 403)
            }
            Problem::GuestMissing { .. } => ("guest missing", gone),
            Problem::NodeUnreachable { .. } => {
                ("node unreachable", exchange.status >= 595 || text.starts_with("hostname lookup"))
            }
            Problem::ParameterInvalid { errors } => {
                assert!(!errors.is_empty());
                ("parameter", exchange.status == 400)
            }
            Problem::TaskUnknown => ("task unknown", exchange.status == 400),
            Problem::NotImplemented(_) => ("not implemented", exchange.status == 501),
            Problem::TooLarge(_) => ("too large", exchange.status == 501 && text.contains("too large")),
            Problem::AlreadyExists { .. } => ("id taken", text.contains("already exists")),
            Problem::CloneSourceMissing { .. } => {
                ("clone source", text.contains("unable to find configuration"))
            }
            Problem::Locked { .. } => ("locked", text.contains("is locked (")),
            Problem::LockTimeout(_) => ("lock timeout", text.contains("timeout")),
            Problem::DigestMismatch => ("digest", text.contains("other user?")),
            Problem::NoQuorum(_) => {
                ("no quorum", text.contains("quorum") || text.ends_with("Permission denied"))
            }
            Problem::RootOnly(_) => ("root only", true),
            Problem::Protected(_) => ("protected", text.contains("protection mode")),
            Problem::NoAgent(_) => ("no agent", text.contains("agent")),
            Problem::NotRunning(_) => ("not running", text.contains("not running")),
            Problem::AlreadyRunning(_) => ("already running", text.contains("already running")),
            Problem::Other { .. } => ("other", !gone && !matches!(exchange.status, 401 | 403 | 595..)),
            Problem::Held(_) | Problem::Busy(_) | Problem::Transport(_) => ("ours", false),
        };
        assert!(expected, "{} {}: {text} became {problem:?}", exchange.name, exchange.status);
        assert_eq!(gone, kind == "guest missing", "{}: {text}", exchange.name);
        *kinds.entry(kind).or_default() += 1;
    }
    for kind in [
        "unauthenticated",
        "forbidden",
        "guest missing",
        "node unreachable",
        "parameter",
        "task unknown",
        "not implemented",
        "too large",
        "id taken",
        "clone source",
        "locked",
        "digest",
        "no quorum",
        "root only",
        "protected",
        "no agent",
        "not running",
    ] {
        assert!(kinds.contains_key(kind), "no recording of {kind}");
    }
    println!("{kinds:?}");
}

#[test]
fn recorded_task_ends_are_judged() {
    let Some(exchanges) = recorded() else { return };
    let (mut good, mut bad) = (0, 0);
    for exchange in exchanges.iter().filter(|exchange| exchange.status == 200) {
        if shape(&exchange.path) != "/nodes/*/tasks/U/status"
            || exchange.body["data"]["exitstatus"] == "<any>"
        {
            continue;
        }
        let status: TaskStatus = serde_json::from_value(exchange.body["data"].clone()).unwrap();
        let Some(exit) = status.exit else { continue };
        let text = exchange.body["data"]["exitstatus"].as_str().unwrap();
        assert_eq!(exit.is_success(), text == "OK", "{}: {text}", exchange.name);
        if exit.is_success() {
            good += 1;
        } else {
            bad += 1;
        }
        let lock = text.contains("is locked (") || text.contains("can't lock file");
        assert_eq!(
            exit.problem().is_some_and(|problem| problem.is_lock()),
            lock,
            "{}: {text}",
            exchange.name
        );
    }
    assert!(good > 50 && bad > 15, "{good} good, {bad} bad");
}
