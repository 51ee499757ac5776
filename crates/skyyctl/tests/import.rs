//! `skyyctl import` from files to files: the files in use, nonsense of every kind, the same bytes each time, no secret.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use proptest::prelude::*;
use serde_json::Value;
use skyyctl::{
    cli::{self, Cli},
    import::{Imported, Options, import, report::Level, write},
};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn imported(folder: &Path) -> Imported {
    import(&[folder.to_owned()], &Options::default())
}

/// Findings as `FILE:LINE level subject: message`, files without the folder.
fn findings(folder: &Path, imported: &Imported) -> Vec<String> {
    let prefix = format!("{}/", folder.display());
    let line = |f: &skyyctl::import::report::Finding| {
        let place = f.place();
        format!("{} {} {}: {}", place.trim_start_matches(&prefix), f.level.word(), f.subject, f.message)
    };
    imported.findings.iter().map(line).collect()
}

/// The documents of a file that was made.
fn documents(imported: &Imported, path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&imported.files[path]).unwrap()
}

fn real_input() -> Option<PathBuf> {
    let contracts = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let path = contracts.join("../real-input");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no files of the prototype at {}", path.display());
    None
}

const HOST: &str = "\
hostname: node-1
ip_address: 192.0.2.11
roles: [proxmox, gpu]
settings:
  os: proxmox
  gpu: true
  networking:
    tailscale: {enabled: true, hostname: ts-1, tags: [{tag: ssh}, proxmox]}
    proxmox: {enabled: true, management_bridge: vmbr0, workload_bridge: vmbr1, vlans: true, workload_vlan: 502}
  storage:
    os_disk: {device: /dev/nvme0n1}
    proxmox_vm_storage:
      enabled: true
      thinpools:
      - {name: thin, volume_group: pve, thinpool: data, devices: [/dev/sdb]}
tags: [edge]
";
const NETWORKING: &str = "\
ips:
- public_ip: 198.18.0.2
  internal_ip: 10.20.0.2
  mac: 02:00:00:00:00:02
- {public_ip: 198.18.0.3, internal_ip: 10.20.0.3, mac: '02:00:00:00:00:03'}
";
const COMPOSE: &str = "\
services:
  app:
    image: example/app:1.2
    cpus: 2
    mem_limit: 1g
    environment:
    - NAME=${NAME}
";
const CONFIG: &str = "\
proxmox: {proxmox: true, proxmox_cluster: true, proxmox_cluster_name: Main, proxmox_paid_subscription: false}
ceph: {enabled: true, version: reef}
";

#[test]
fn each_kind_of_file_becomes_its_resources() {
    let dir = folder(&[
        ("hosts/node-1.yaml", HOST),
        ("networking/networking_site.yaml", NETWORKING),
        ("deployments/docker-compose.shop.yaml", COMPOSE),
        ("config.yaml", CONFIG),
    ]);
    let imported = imported(dir.path());
    assert!(
        !imported.findings.iter().any(|f| f.level <= Level::Error),
        "{:#?}",
        findings(dir.path(), &imported)
    );
    let counts: Vec<String> = imported.counts.iter().map(|(k, n)| format!("{n} {k}")).collect();
    assert_eq!(
        counts,
        [
            "1 AddressPool",
            "1 CephCluster",
            "1 ConfigMap",
            "1 Deployment",
            "1 Firewall",
            "1 Namespace",
            "1 ProxmoxCluster",
            "1 ProxmoxHost",
        ]
    );
    let spec = |path: &str, n: usize| documents(&imported, path)[n]["spec"].clone();
    let host = spec("hosts/node-1.yaml", 0);
    assert_eq!(host["cluster"], "main");
    assert_eq!(host["network"]["bridges"][0], serde_json::json!({ "name": "vmbr1", "vlanAware": true }));
    assert_eq!(host["repositories"], serde_json::json!({ "enterprise": false, "noSubscription": true }));
    assert_eq!(host["tailscale"]["tags"], serde_json::json!(["ssh", "proxmox"]));
    let pool = spec("address-pools/site.yaml", 0);
    let address =
        serde_json::json!({ "external": "198.18.0.2", "internal": "10.20.0.2", "mac": "02:00:00:00:00:02" });
    assert_eq!((pool["addresses"].as_array().unwrap().len(), &pool["addresses"][0]), (2, &address));
    let app = spec("deployments/shop.yaml", 1);
    assert_eq!(app["network"][0], serde_json::json!({ "bridge": "vmbr1", "vlan": 502 }));
    assert_eq!(app["resources"], serde_json::json!({ "cores": 2, "memory": "3Gi" }));
    assert_eq!(app["workload"]["environment"]["secret"]["name"], "shop-environment");
    let compose = documents(&imported, "deployments/shop.yaml")[0]["data"]["docker-compose.yaml"].clone();
    let compose: Value = serde_saphyr::from_str(compose.as_str().unwrap()).unwrap();
    assert_eq!(compose["services"]["app"]["image"], "example/app:1.2");
    let resources = documents(&imported, "kustomization.yaml")[0]["resources"].clone();
    let listed: Vec<&str> = resources.as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    let written: Vec<&str> =
        imported.files.keys().map(String::as_str).filter(|f| *f != "kustomization.yaml").collect();
    assert_eq!(listed, written, "every file, in order");
}

#[test]
fn existing_endpoints_are_named_and_not_written() {
    let dir = folder(&[("h.yaml", HOST), ("networking_site.yaml", NETWORKING), ("config.yaml", CONFIG)]);
    let options = Options {
        cluster: Some("puma".to_owned()),
        firewall: Some("edge".to_owned()),
        ceph_exists: true,
        ..Options::default()
    };
    let imported = import(&[dir.path().to_owned()], &options);
    assert!(!imported.files.keys().any(|f| f.starts_with("endpoints/")), "{:?}", imported.files.keys());
    assert_eq!(documents(&imported, "hosts/node-1.yaml")[0]["spec"]["cluster"], "puma");
    assert_eq!(documents(&imported, "address-pools/site.yaml")[0]["spec"]["firewall"], "edge");
    assert!(!imported.findings.iter().any(|f| f.level == Level::ToDo));
}

#[test]
fn every_doubtful_place_is_told_with_its_line() {
    let host = "\
hostname: Node_1
ip_address: 192.0.2.300
roles: [proxmox, juggler, 7]
colour: red
settings:
  gpu: maybe
  networking:
    proxmox: {management_bridge: a-very-long-bridge-name}
  storage:
    os_disk: {device: /dev/sda}
    proxmox_vm_storage:
      thinpools:
      - {name: thin, volume_group: pve, thinpool: data, devices: [/dev/sda]}
      - {name: thin, volume_group: pve, thinpool: data2}
      - {name: broken}
hostname: node-1
";
    let networking = "\
ips:
- {public_ip: 198.18.0.2, internal_ip: 10.20.0.2, mac: '02:00:00:00:00:02'}
- {public_ip: 198.18.0.3, internal_ip: 10.20.0.2, mac: '02:00:00:00:00:03'}
- {public_ip: 198.18.0.4, internal_ip: 10.20.0.4, mac: '02:00:00:00:00:02'}
- {public_ip: 198.18.0.5, internal_ip: 10.20.0.5, mac: '02:00:2e:8c:5e'}
- {public_ip: 198.18.0.6, mac: '02:00:00:00:00:06'}
- {public_ip: 203.0.113.7, internal_ip: 10.20.0.7, mac: '02:00:00:00:00:07'}
- {public_ip: 198.18.0.8, internal_ip: 10.20.0.8, mac: '03:00:00:00:00:08'}
- {public_ip: 198.18.0.9, internal_ip: 10.20.0.9, mac: '02:00:00:00:00:09', owner: me}
- nonsense
";
    let dir = folder(&[("host.yaml", host), ("networking_x.yaml", networking)]);
    let imported = imported(dir.path());
    let mut found = findings(dir.path(), &imported);
    found.retain(|f| !f.contains(" to do ") && !f.contains(" note "));
    let starts = [
        "host.yaml:2 error ip_address: \"192.0.2.300\" is not an IP address",
        "host.yaml:3 warning roles: \"7\" is no known role",
        "host.yaml:3 warning roles: \"juggler\" is no known role",
        "host.yaml:4 warning colour: unknown key",
        "host.yaml:6 error settings.gpu: should be true or false, and is \"maybe\"",
        "host.yaml:8 error settings.networking.proxmox.management_bridge: \"a-very-long-bridge-name\" is no name of a bridge",
        "host.yaml:13 warning settings.storage.proxmox_vm_storage.thinpools.devices: /dev/sda is also the device of the operating system (line 10)",
        "host.yaml:14 error settings.storage.proxmox_vm_storage.thinpools: a second thin pool called thin",
        "host.yaml:15 error settings.storage.proxmox_vm_storage.thinpools: a thin pool needs name, volume_group and thinpool",
        "host.yaml:16 warning hostname: the key is there twice (first on line 1)",
        "networking_x.yaml:3 error ips[].internal_ip: 10.20.0.2 is there already",
        "networking_x.yaml:4 error ips[].mac: 02:00:00:00:00:02 is there already",
        "networking_x.yaml:5 error ips[].mac: \"02:00:2e:8c:5e\" has 5 groups; a MAC has 6",
        "networking_x.yaml:6 error ips[].internal_ip: missing or empty",
        "networking_x.yaml:7 warning ips[].public_ip: 203.0.113.7 is outside of the /23 that the others are in",
        "networking_x.yaml:8 error ips[].mac: 03:00:00:00:00:08 is no MAC of one machine",
        "networking_x.yaml:9 warning ips[].owner: unknown key",
        "networking_x.yaml:10 error ips[]: should be a map, and is a single value",
    ];
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\nexpected {start}");
    }
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    assert_eq!(documents(&imported, "hosts/node-1.yaml")[0]["metadata"]["name"], "node-1");
    let addresses = documents(&imported, "address-pools/x.yaml")[0]["spec"]["addresses"].clone();
    assert_eq!(addresses.as_array().unwrap().len(), 3);
}

#[test]
fn nonsense_is_told_and_the_rest_goes_on() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..9 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.extend([format!("a{i}: &a{i} [{refs}]\n")]);
    }
    let big = format!("hostname: big\nnote: {}\n", "x".repeat(5 << 20));
    let dir = folder(&[
        ("hosts/good.yaml", HOST),
        ("hosts/same.yaml", HOST),
        ("hosts/empty.yaml", ""),
        ("hosts/comment.yaml", "# nothing\n"),
        ("hosts/list.yaml", "- a\n- b\n"),
        ("hosts/number.yaml", "42"),
        ("hosts/broken.yaml", "hostname: [x\nip_address: y\n"),
        ("hosts/bomb.yaml", &bomb),
        ("hosts/big.yaml", &big),
        ("hosts/other.yaml", "what: ever\n"),
        ("hosts/done.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
        ("hosts/ubuntu.yaml", "hostname: u\nsettings: {os: ubuntu}\n"),
        ("hosts/nameless.yaml", "hostname:\nip_address: 192.0.2.1\n"),
        ("README.md", "text"),
    ]);
    fs::write(dir.path().join("hosts/binary.yaml"), [0xff, 0xfe, 0, 1, 2]).unwrap();
    fs::write(dir.path().join("hosts/zero.yaml"), "hostname: a\0b\n").unwrap();
    let imported = import(&[dir.path().to_owned(), dir.path().join("gone")], &Options::default());
    let found = findings(dir.path(), &imported);
    for (place, why) in [
        ("gone error", "cannot be read: entity not found"),
        ("hosts/empty.yaml error", "empty"),
        ("hosts/comment.yaml error", "empty"),
        ("hosts/list.yaml:1 error", "should be a map, and is a list"),
        ("hosts/number.yaml:1 error", "should be a map, and is a single value"),
        ("hosts/broken.yaml:", "not YAML"),
        ("hosts/bomb.yaml:", "more than 200000 values"),
        ("hosts/big.yaml error", "bytes, and 4194304 are read"),
        ("hosts/other.yaml:1 error", "neither a host, nor addresses"),
        ("hosts/done.yaml:1 note", "a Kubernetes resource already"),
        ("hosts/ubuntu.yaml:2 error", "is not proxmox"),
        ("hosts/nameless.yaml:1 error", "missing or empty"),
        ("hosts/binary.yaml error", "not text in UTF-8"),
        ("hosts/zero.yaml error", "not text"),
        ("hosts/same.yaml:1 error", "node-1 is there already"),
        ("README.md note", "no YAML file by its name"),
    ] {
        assert!(found.iter().any(|f| f.starts_with(place) && f.contains(why)), "{place} {why}\n{found:#?}");
    }
    assert_eq!(imported.counts.get("ProxmoxHost"), Some(&1));
}

fn run(arguments: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let cli = Cli::try_parse_from([&["skyyctl"], arguments].concat()).unwrap();
    let code = cli::run(cli, &mut out, &mut err).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// All files of a folder with their bytes.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn exit_codes_tell_only_whether_something_was_usable() {
    let good = folder(&[("hosts/a.yaml", HOST), ("hosts/b.yaml", ": :")]);
    let bad = folder(&[("hosts/b.yaml", ": :")]);
    let target = tempfile::tempdir().unwrap();
    let out = target.path().join("out");
    let (code, said, report) =
        run(&["import", good.path().to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(said.contains("1 ProxmoxHost") && report.contains("b.yaml"), "{said}{report}");
    let none = target.path().join("none");
    let (code, _, report) = run(&["import", bad.path().to_str().unwrap(), "--out", none.to_str().unwrap()]);
    assert_eq!(code, ExitCode::FAILURE);
    assert!(report.contains("Nothing could be imported"), "{report}");
    assert!(!none.exists());

    let arguments =
        ["import", good.path().to_str().unwrap(), "--out", out.to_str().unwrap(), "--report", "json"];
    let (_, said, report) = run(&arguments);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((told["objects"]["ProxmoxHost"].as_u64(), report.as_str()), (Some(1), ""));
    let finding = told["findings"].as_array().unwrap().iter().find(|f| f["level"] == "error").unwrap();
    assert!(finding["file"].as_str().unwrap().ends_with("b.yaml") && finding["line"].is_u64(), "{finding}");
}

#[test]
fn the_files_in_use_are_imported_whole_and_twice_the_same() {
    let Some(input) = real_input() else { return };
    let target = tempfile::tempdir().unwrap();
    let out = |name: &str| target.path().join(name).to_str().unwrap().to_owned();
    for name in ["one", "two", "two"] {
        let (code, _, report) = run(&["import", input.to_str().unwrap(), "--out", &out(name)]);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(!report.contains("error"), "{report}");
    }
    let (one, two) = (tree(&target.path().join("one")), tree(&target.path().join("two")));
    assert_eq!(one, two);
    assert_eq!(one.len(), 10, "{:?}", one.keys());

    let imported = imported(&input);
    let found = findings(&input, &imported);
    for start in [
        "config.yaml:15 note proxmox.proxmox_cluster_name: the ProxmoxCluster is called clusterfuck",
        "deployments/docker-compose.synaptron-003.yaml:2 warning version: obsolete",
        "deployments/docker-compose.synaptron-003.yaml:12 to do services.synaptron-003.environment: NODE_NAME_003",
        "hosts/puma-proxmox-010.yaml:45 note settings.storage.proxmox_vm_storage.thinpools.devices: empty",
        "hosts/puma-proxmox-202.yaml:21 warning settings.networking.tailscale.ip_address: 100.168.210.202 is outside",
        "networking/networking_hargett.yaml:2 warning ips[].internal_ip: 69.1.1.2 (and 3 more) is an address of the public",
    ] {
        assert!(found.iter().any(|f| f.starts_with(start)), "{start}\n{found:#?}");
    }
    let deployment = &documents(&imported, "deployments/synaptron-003.yaml")[1]["spec"];
    assert_eq!(deployment["resources"], serde_json::json!({ "cores": 4, "memory": "14Gi" }));
    let pool = &documents(&imported, "address-pools/hargett.yaml")[0]["spec"];
    assert_eq!(pool["addresses"][3]["internal"], "69.1.1.5");
}

/// Made of what the files are made of, so that it gets past the first look.
fn nonsense() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "hostname",
        "ip_address",
        "settings",
        "networking",
        "proxmox",
        "storage",
        "ips",
        "public_ip",
        "internal_ip",
        "mac",
        "services",
        "image",
        "environment",
        "${A",
        "${B:-c}",
        "$$",
        "roles",
        "tags",
        "tag",
        "thinpools",
        "ceph",
        "enabled",
        "<<",
        "*x",
        "&x",
        "- ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "true",
        "~",
        "198.18.0.2",
        "02:00:00:00:00:02",
        "://u:p@h",
        "--password=x",
        "é",
        "\u{1F600}",
        "%",
        "!",
        "---\n",
        "? ",
        "=",
        "TOKEN=x",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nonsense_never_panics_and_is_the_same_twice(
        texts in prop::collection::vec(prop_oneof![nonsense(), "\\PC{0,200}"], 1..4),
        cut in 0..600_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in texts.iter().enumerate() {
            fs::write(dir.path().join(format!("docker-compose.{n}.yaml")), text).unwrap();
            fs::write(dir.path().join(format!("host{n}.yml")), format!("hostname: h{n}\n{text}")).unwrap();
        }
        for (n, whole) in [HOST, NETWORKING, COMPOSE, CONFIG].iter().enumerate() {
            let half: String = whole.chars().take(cut).collect();
            fs::write(dir.path().join(format!("cut{n}.yaml")), half).unwrap();
        }
        let (one, two) = (imported(dir.path()), imported(dir.path()));
        prop_assert_eq!(&one.files, &two.files);
        prop_assert_eq!(&one.findings, &two.findings);
        prop_assert!(one.findings.iter().all(|f| !f.message.contains("does not fit its own type")), "{:?}", one.findings);
        if !one.is_empty() {
            write::write(&dir.path().join("out"), &one.files).unwrap();
        }
    }

    #[test]
    fn a_secret_in_a_compose_file_gets_nowhere(
        value in "[a-z]{3}Zq9[a-z0-9]{6,20}",
        name in prop::sample::select(vec!["DB_PASSWORD", "api_key", "TOKEN", "SomeSecret", "github_token", "CUSTOMER_GUID"]),
        shape in 0..9_usize,
    ) {
        let service = match shape {
            0 => format!("environment: {{{name}: {value}}}"),
            1 => format!("environment: ['{name}={value}']"),
            2 => format!("environment: {{X: '${{{name}:-{value}}}'}}"),
            3 => format!("command: run --{} {value} --other 1", name.to_lowercase()),
            4 => format!("command: [run, '--{}', '{value}']", name.to_lowercase()),
            5 => format!("environment: {{URL: 'https://user:{value}@host/path https://a:{value}@b'}}"),
            6 => format!("labels: {{{name}: '{value}'}}"),
            7 => format!("build: {{args: ['{name}={value}']}}"),
            _ => {
                let command = format!("sh -c '{name}={value} start && export {name}=\"{value}\"'");
                format!("command: {}", serde_json::to_string(&command).unwrap())
            }
        };
        let text = format!("# {value}\nservices:\n  app:\n    image: example/app:1\n    {service}\n");
        let dir = folder(&[("docker-compose.app.yaml", &text)]);
        let imported = imported(dir.path());
        prop_assert!(imported.files.contains_key("deployments/app.yaml"), "{:?}", imported.findings);
        let all = format!("{:?}{:?}", imported.files, imported.findings);
        prop_assert!(!all.contains(&value), "{}\n{}", text, all);
    }
}
