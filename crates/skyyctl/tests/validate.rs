//! `skyyctl validate` from files to findings: what is in use is clean, and every kind of mistake is told with its line.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use skyyctl::{
    cli::{self, Cli},
    import::report::Level,
    manifests::files,
    validate::{Validated, validate},
};

fn at(paths: &[PathBuf]) -> Validated {
    validate(&files::read(paths, &mut std::io::empty()))
}

fn text(text: &str) -> Vec<String> {
    let manifests = files::read(&[PathBuf::from("-")], &mut text.as_bytes());
    lines(&validate(&manifests), "standard input:")
}

/// Findings as `LINE level OBJECT: what`.
fn lines(validated: &Validated, prefix: &str) -> Vec<String> {
    let line = |f: &skyyctl::import::report::Finding| {
        let place = f.place();
        let place = place.strip_prefix(prefix).unwrap_or(&place);
        format!("{place} {} {}: {}", f.level.word(), f.subject, f.message)
    };
    validated.findings.iter().map(line).collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Nothing but notes, and all of the objects seen.
fn is_clean(path: &Path, objects: usize) {
    let validated = at(&[path.to_owned()]);
    let worse: Vec<String> =
        lines(&validated, "").into_iter().filter(|line| !line.contains(" note ")).collect();
    assert_eq!(worse, Vec::<String>::new(), "{}", path.display());
    assert!(validated.counts.values().sum::<usize>() >= objects, "{:?}", validated.counts);
}

#[test]
fn the_wanted_state_and_its_overlay_are_clean() {
    is_clean(&workspace().join("desired_state/base"), 20);
    is_clean(&workspace().join("desired_state/demo"), 20);
    is_clean(&workspace().join("desired_state"), 20);
}

#[test]
fn every_example_is_right_by_itself() {
    let examples = fs::read_dir(workspace().join("examples")).unwrap();
    let files = examples.map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let validated = at(std::slice::from_ref(&file));
        assert!(validated.is_ok() && validated.counts.len() == 1, "{:#?}", lines(&validated, ""));
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
    assert!(at(&[workspace().join("examples")]).is_ok());
}

#[test]
fn what_the_importer_writes_is_right() {
    let contracts = std::env::var_os("SKYY_CONTRACTS")
        .map_or_else(|| workspace().join("../shared/contracts"), PathBuf::from);
    let input = contracts.join("../real-input");
    if !input.is_dir() {
        println!("skipped: no files of the prototype at {}", input.display());
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let imported = skyyctl::import::import(&[input], &skyyctl::import::Options::default());
    skyyctl::import::write::write(out.path(), &imported.files).unwrap();
    let validated = at(&[out.path().to_owned()]);
    assert!(validated.is_ok(), "{:#?}", lines(&validated, ""));
    let made: usize =
        imported.counts.iter().filter(|(kind, _)| validated.counts.contains_key(*kind)).map(|(_, n)| n).sum();
    assert_eq!(validated.counts.values().sum::<usize>(), made, "every object was looked at");
}

const FIREWALL: &str = "apiVersion: skyy.helloskyy.io/v1alpha1
kind: Firewall
metadata: {name: edge}
spec:
  url: https://fw.example.net
  apiKey: {secret: {namespace: skyy-system, name: key, key: api-key}}
  allowedNamespaces: {}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: skyy-system}
stringData: {api-key: x}
---
";

/// Findings of a document that stands below a firewall (whose 13 lines are taken off).
fn below_a_firewall(document: &str, expected: &[&str]) {
    let found = text(&format!("{FIREWALL}{document}"));
    let relative = |line: &String| {
        let (number, rest) = line.split_once(' ').unwrap();
        format!("{} {rest}", number.parse::<usize>().unwrap() - 13)
    };
    assert_eq!(found.iter().map(relative).collect::<Vec<_>>(), expected, "{document}");
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: skyy.helloskyy.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: tenants}}\nspec:\n{spec}---\n"
    )
}

fn pool(name: &str, addresses: &str) -> String {
    format!(
        "apiVersion: skyy.helloskyy.io/v1alpha1\nkind: AddressPool\nmetadata: {{name: {name}}}\nspec:\n  firewall: edge\n  namespace: tenants\n  external: {{interface: wan, prefixLength: 24}}\n  internal: {{interface: opt3}}\n  addresses:\n{addresses}---\n"
    )
}

#[test]
fn what_the_schema_forbids_is_told_with_its_line() {
    let vip = |spec: &str| object("VirtualIP", "a", spec);
    below_a_firewall(&vip("  firewall: edge\n  address: 198.18.0.2/23\n  interface: wan\n"), &[]);
    below_a_firewall(
        &vip("  firewall: edge\n  adress: 198.18.0.2/23\n  interface: wan\n"),
        &[
            "4 error VirtualIP/tenants/a: spec.address: is required",
            "6 error VirtualIP/tenants/a: spec.adress: there is no such field; was address meant?",
        ],
    );
    below_a_firewall(
        &vip("  firewall: edge\n  address: 198.18.0.2/23\n  interface: wan\n  mode: carp\n  vhid: 0\n"),
        &[
            "8 error VirtualIP/tenants/a: spec.mode: \"carp\" is none of IPAlias, CARP, ProxyARP, Other; was CARP meant?",
            "9 error VirtualIP/tenants/a: spec.vhid: 0 is not from 1 to 255",
        ],
    );
}

#[test]
fn what_a_rule_of_the_crd_forbids_is_told_as_the_api_server_would() {
    below_a_firewall(
        &object("VirtualIP", "a", "  firewall: edge\n  address: 198.18.0.2\n  interface: wan\n"),
        &[
            "6 error VirtualIP/tenants/a: spec.address: \"198.18.0.2\": must be an address with a prefix length, such as 198.18.0.2/23",
        ],
    );
    below_a_firewall(
        &object(
            "VirtualIP",
            "a",
            "  firewall: edge\n  address: 198.18.0.2/23\n  interface: wan\n  mode: CARP\n",
        ),
        &["4 error VirtualIP/tenants/a: spec.vhid: vhid is required when mode is CARP"],
    );
    below_a_firewall(
        &object("Deployment", "a", "  cluster: puma\n  template: {tag: x, vmid: 100}\n"),
        &["6 error Deployment/tenants/a: spec.template: give exactly one of tag, name and vmid"],
    );
}

#[test]
fn what_the_operator_could_not_carry_out_is_told_before_it_tries() {
    below_a_firewall(
        &object(
            "NatMapping",
            "a",
            "  firewall: edge\n  interface: wan\n  external: 198.18.0.2\n  internal: fd00::1\n",
        ),
        &[
            "8 error NatMapping/tenants/a: spec.internal: fd00::1 and 198.18.0.2 must both be IPv4 or both IPv6",
        ],
    );
    below_a_firewall(
        &object("CephPool", "a", "  cluster: main\n  quota: {bytes: 4TB}\n"),
        &[
            "5 note CephPool/tenants/a: spec.cluster: CephCluster main is not among these files: it has to be in the cluster",
            "6 error CephPool/tenants/a: spec.quota.bytes: \"4TB\" is not a size: write a number with Ki, Mi, Gi or Ti (or k, M, G, T), such as 32Gi",
        ],
    );
}

#[test]
fn names_that_are_not_there_are_told_once() {
    let vip = |name: &str, address: &str| {
        object("VirtualIP", name, &format!("  firewall: edgy\n  address: {address}/23\n  interface: wan\n"))
    };
    below_a_firewall(
        &format!("{}{}", vip("a", "198.18.0.2"), vip("b", "198.18.0.3")),
        &[
            "5 warning VirtualIP/tenants/a: spec.firewall: Firewall edgy is not among these files; there is edge (1 more name it)",
        ],
    );
    assert_eq!(
        text(&FIREWALL.replace("api-key: x", "apikey: x")),
        [
            "6 error Firewall/edge: spec.apiKey.secret: Secret skyy-system/key has no key api-key; there is apikey"
        ]
    );
}

#[test]
fn the_same_thing_twice_is_told_whoever_asks_for_it() {
    let nat = "  firewall: edge\n  interface: wan\n  external: 198.18.0.9\n  internal: 10.20.0.9\n";
    below_a_firewall(
        &object("NatMapping", "a", nat),
        &[
            "1 warning NatMapping/tenants/a: no interface and no virtual IP has 198.18.0.9, so nobody answers for it. Add a VirtualIP.",
        ],
    );
    let entry = |n: u8| {
        format!("  - {{external: 198.18.0.{n}, internal: 10.20.0.{n}, mac: \"02:00:00:00:00:0{n}\"}}\n")
    };
    let vip = object("VirtualIP", "z", "  firewall: edge\n  address: 198.18.0.2/24\n  interface: wan\n");
    below_a_firewall(
        &format!("{}{vip}", pool("public", &entry(2))),
        &[
            "12 error VirtualIP/tenants/z: virtual IP 198.18.0.2 is asked for by VirtualIP tenants/public-198-18-0-2 too, which comes first. Change or delete one of the two.",
        ],
    );
    // Two pools that overlap in three addresses share nine things, and that is one mistake.
    let three: String = [2, 3, 4].map(entry).concat();
    below_a_firewall(
        &format!("{}{}", pool("a", &three), pool("b", &three)),
        &[
            "23 error AddressPool/b: spec.addresses[0].external: 198.18.0.2 is in AddressPool a too, at its spec.addresses[0] (8 more that both have)",
        ],
    );
    let twice = object("VirtualIP", "a", "  firewall: edge\n  address: 198.18.0.2/23\n  interface: wan\n");
    below_a_firewall(
        &format!("{twice}{twice}"),
        &["9 error VirtualIP/tenants/a: stands at standard input:14 too; the one that is applied last wins"],
    );
}

#[test]
fn patches_are_laid_over_and_what_is_not_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("base/kustomization.yaml", "resources: [all.yaml]\n");
    write("base/all.yaml", FIREWALL);
    write("base/not-a-resource.yaml", "kind: [\n");
    write(
        "over/kustomization.yaml",
        "resources: [../base]\nnamePrefix: x-\npatches:\n- path: patch.yaml\n- target: {kind: Firewall}\n  patch: '[]'\n",
    );
    write(
        "over/patch.yaml",
        "apiVersion: skyy.helloskyy.io/v1alpha1\nkind: Firewall\nmetadata: {name: edge}\nspec:\n  url: http://fw.example.net\n",
    );
    let validated = at(&[folder.path().join("over")]);
    let prefix = format!("{}/over/", folder.path().display());
    let found: Vec<String> = lines(&validated, "").iter().map(|line| line.replace(&prefix, "")).collect();
    assert_eq!(
        found,
        [
            "kustomization.yaml:2 note namePrefix: not done here. For the whole: kubectl kustomize DIR | skyyctl validate -",
            "kustomization.yaml:5 note patches: 1 with a target, or as a list of operations: not applied here",
            "patch.yaml:5 error Firewall/edge: spec.url: \"http://fw.example.net\": must begin with https:// (plain http:// is for loopback only)",
        ]
    );
}

#[test]
fn what_is_no_yaml_or_no_object_is_told_and_the_rest_goes_on() {
    assert_eq!(text("a: [\n"), ["1 error the file: not YAML: unclosed bracket '['"]);
    assert_eq!(
        text("a: 1\n"),
        ["1 error the document: no Kubernetes object: apiVersion and kind are needed"]
    );
    let vip = object("Vip", "a", "  x: 1\n");
    below_a_firewall(&vip, &["2 error Vip/tenants/a: kind: there is no kind Vip in skyy.helloskyy.io"]);
    assert_eq!(at(&[PathBuf::from("/nowhere")]).findings[0].level, Level::Error);
}

#[test]
fn the_exit_code_says_whether_something_is_wrong() {
    let run = |args: &[&str]| {
        let cli = Cli::try_parse_from(args).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = cli::run(cli, &mut out, &mut err).unwrap();
        (format!("{code:?}"), String::from_utf8(out).unwrap())
    };
    let demo = workspace().join("desired_state/demo");
    let (code, out) = run(&["skyyctl", "validate", demo.to_str().unwrap()]);
    assert_eq!(code, format!("{:?}", ExitCode::SUCCESS));
    assert!(out.contains("1 Firewall") && out.contains("nothing to report"), "{out}");
    let (code, out) = run(&["skyyctl", "validate", "/nowhere", "-o", "json"]);
    assert_eq!(code, format!("{:?}", ExitCode::FAILURE));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["findings"][0]["level"], "error");
}
