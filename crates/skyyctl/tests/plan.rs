//! `skyyctl plan` against simulated endpoints: what it says, and that it never writes.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde_json::json;
use skyy_api::VirtualIp;
use skyy_controllers::firewall::{FirewallApi as _, PfSenseFirewall};
use skyy_http::{CallObserver, CallRecord};
use skyy_plan::firewall::{Policy, Step};
use skyy_sim::{Counts, Running, Sim, ceph, pfsense, proxmox};
use skyyctl::{
    manifests::files,
    plan::{EndpointPlan, Planned, Sign, Thing, plan},
    rows::{self, Published},
    validate,
    world::World,
};

/// The word for the installation in these tests.
const INSTALLATION: &str = "test";

#[derive(Debug)]
struct Nobody;

impl CallObserver for Nobody {
    fn finished(&self, _: &CallRecord) {}
}

/// The three simulated endpoints of the demo, and its objects pointed at them.
struct Lab {
    firewall: Running<pfsense::Pfsense>,
    proxmox: Running<proxmox::Pve>,
    ceph: Running<ceph::CephMgr>,
    world: World,
}

impl Lab {
    async fn new() -> Self {
        skyy_controllers::install_crypto_provider();
        let firewall =
            Sim::builder(Arc::new(pfsense::Pfsense::new(pfsense::Options::demo()))).start().await.unwrap();
        let proxmox =
            Sim::builder(Arc::new(proxmox::Pve::new(proxmox::PveOptions::demo()))).start().await.unwrap();
        let ceph =
            Sim::builder(Arc::new(ceph::CephMgr::new(ceph::CephOptions::demo()))).start().await.unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../desired_state/demo");
        let manifests = files::read(&[demo], &mut std::io::empty());
        let mut world = World::default();
        for object in validate::completed(&manifests) {
            world.insert(&object).unwrap();
        }
        for one in world.firewalls.values_mut() {
            one.spec.url = firewall.url();
        }
        for one in world.proxmox_clusters.values_mut() {
            one.spec.endpoints = vec![proxmox.url()];
        }
        for one in world.ceph_clusters.values_mut() {
            one.spec.managers = vec![ceph.url()];
        }
        // Objects that were applied have a uid.
        for (n, one) in world.deployments.values_mut().enumerate() {
            one.metadata.uid = Some(format!("{n:08}-0000-4000-8000-000000000000"));
        }
        Self { firewall, proxmox, ceph, world }
    }

    async fn plan(&self) -> Planned {
        let planned = plan(self.world.clone(), INSTALLATION, None).await.unwrap();
        self.wrote_nothing();
        planned
    }

    async fn plan_of(&self, name: &str) -> EndpointPlan {
        let planned = plan(self.world.clone(), INSTALLATION, Some(name)).await.unwrap();
        self.wrote_nothing();
        assert_eq!(planned.endpoints.len(), 1, "{planned:#?}");
        planned.endpoints.into_iter().next().unwrap()
    }

    /// No endpoint got a call that could have changed something. A login is one at Ceph, and changes nothing.
    fn wrote_nothing(&self) {
        assert_eq!(writes(&self.firewall.counts()), BTreeSet::new());
        assert_eq!(writes(&self.proxmox.counts()), BTreeSet::new());
        let logins: Vec<String> = writes(&self.ceph.counts()).into_iter().collect();
        assert!(logins.iter().all(|call| call == "POST /api/auth"), "{logins:?}");
    }

    /// Carries out what is planned for the firewall, as its hub does.
    async fn carry_out(&self) {
        let key = (String::new(), "edge".to_owned());
        let spec = &self.world.firewalls[&key].spec;
        let secret = self.world.secret(&spec.api_key.secret).unwrap();
        let api = PfSenseFirewall::connect("edge", spec, &secret, Arc::new(Nobody)).unwrap();
        let mut observed = api.observe().await.unwrap();
        observed.interfaces = api.facts().await.unwrap().interfaces;
        let asks = rows::asks(&self.world, "edge", Published::Now).asks;
        let planned = skyy_plan::firewall::plan(&asks, &observed, &Policy::new(INSTALLATION, "edge"));
        for step in planned.steps {
            let now = match step.needs() {
                Some(table) => api.read(table).await.unwrap(),
                None => Vec::new(),
            };
            let apply = matches!(step, Step::Apply(_));
            let call = step.resolve(&now).unwrap();
            api.call(&call).await.unwrap_or_else(|failure| panic!("{apply} {}", failure.failure.message));
        }
        self.firewall.counters().reset();
    }

    /// Nothing of what only guests make: the firewall alone, with a handful of addresses.
    fn small(mut self) -> Self {
        self.world.deployments.clear();
        for pool in self.world.address_pools.values_mut() {
            pool.spec.addresses.truncate(3);
        }
        self
    }

    fn add(&mut self, kind: &str, name: &str, spec: &serde_json::Value) {
        let object = json!({
            "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "tenants", "uid": format!("uid-{name}")}, "spec": spec,
        });
        assert!(self.world.insert(&object).unwrap());
    }
}

fn writes(counts: &Counts) -> BTreeSet<String> {
    let reads = ["GET ", "HEAD ", "OPTIONS "];
    counts.by_path.keys().filter(|call| !reads.iter().any(|read| call.starts_with(read))).cloned().collect()
}

fn of<'a>(planned: &'a Planned, name: &str) -> &'a EndpointPlan {
    planned.endpoints.iter().find(|one| one.name == name).unwrap()
}

fn held(one: &EndpointPlan) -> Vec<(&str, &str)> {
    one.held.iter().map(|held| (held.object.as_str(), held.reason.as_str())).collect()
}

fn changes(one: &EndpointPlan) -> Vec<(Sign, &str)> {
    one.changes.iter().map(|change| (change.sign, change.object.as_str())).collect()
}

#[tokio::test]
async fn the_wanted_state_is_planned_whole_and_nothing_is_written() {
    let lab = Lab::new().await;
    let planned = lab.plan().await;
    assert!(!planned.is_partial(), "{planned:#?}");
    let edge = of(&planned, "edge");
    // 508 addresses of the pool and one by itself.
    for thing in [Thing::VirtualIp, Thing::Nat, Thing::Dhcp, Thing::Rule] {
        let added =
            edge.changes.iter().filter(|change| change.thing == thing && change.sign == Sign::Add).count();
        assert_eq!(added, 509, "{thing:?}");
    }
    assert_eq!((edge.changes.len(), edge.applies), (4 * 509, Some(3)));
    assert!(edge.requests.unwrap() < 640, "{:?}", edge.requests);
    assert_eq!(held(edge), []);

    let puma = of(&planned, "puma");
    let guests: Vec<&str> = puma
        .changes
        .iter()
        .filter(|change| change.thing == Thing::Guest)
        .map(|change| change.what.split(' ').next().unwrap())
        .collect();
    let expected =
        ["database-0", "gateway-0", "gpu-notebook-0", "gpu-worker-0", "runner-0", "web-0", "web-1", "web-2"];
    assert_eq!(guests, expected);
    assert_eq!(held(puma), []);
    // Each guest's life is told to its end, and no two get one id.
    let starts = puma.calls.iter().filter(|call| call.ends_with(": start")).count();
    assert_eq!(starts, expected.len(), "{:#?}", puma.calls);
    let clones =
        puma.calls.iter().filter_map(|call| call.split(" → ").nth(1).filter(|_| call.contains(": clone ")));
    assert_eq!(
        clones.map(|call| call.split(' ').next().unwrap()).collect::<BTreeSet<_>>().len(),
        expected.len()
    );
    // A guest with a GPU is only where one is offered.
    assert!(
        puma.calls.iter().any(|call| call.starts_with("gpu-worker-0: configure") && call.contains("rtx4090"))
    );
    assert!(puma.calls.iter().all(|call| !call.contains("ssh-ed25519")), "keys are not shown");

    let ceph = of(&planned, "ceph-main");
    assert_eq!(ceph.changes.len(), 2);
    assert!(ceph.changes.iter().all(|change| change.sign == Sign::Add));
}

#[tokio::test]
async fn what_is_so_already_leaves_nothing_to_do_and_drift_is_told() {
    let mut lab = Lab::new().await.small();
    lab.carry_out().await;
    let edge = lab.plan_of("edge").await;
    assert_eq!((changes(&edge), edge.calls.as_slice(), held(&edge)), (vec![], &[][..], vec![]));

    // A spec that changed is a change; an object that is going is a removal, with its applies.
    let key = |name: &str| ("tenants".to_owned(), name.to_owned());
    lab.world.firewall_rules.get_mut(&key("status-page")).unwrap().spec.log ^= true;
    let edge = lab.plan_of("edge").await;
    assert_eq!(changes(&edge), [(Sign::Change, "FirewallRule/tenants/status-page")]);
    assert_eq!(edge.applies, Some(1));
    lab.world.firewall_rules.get_mut(&key("status-page")).unwrap().spec.log ^= true;

    let gone: VirtualIp = {
        let vip = lab.world.virtual_ips.get_mut(&key("status-page")).unwrap();
        vip.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        vip.clone()
    };
    let edge = lab.plan_of("edge").await;
    assert_eq!(changes(&edge), [(Sign::Remove, "VirtualIP/tenants/status-page")]);
    assert_eq!(edge.disruption, ["1 row is deleted"]);

    // A paused object keeps its row, which is still its own.
    let paused = [("skyy.helloskyy.io/paused".to_owned(), "true".to_owned())];
    lab.world.virtual_ips.get_mut(&key("status-page")).unwrap().metadata.annotations = Some(paused.into());
    let edge = lab.plan_of("edge").await;
    assert_eq!(
        (changes(&edge), held(&edge)),
        (vec![], vec![("VirtualIP/tenants/status-page", "PausedByUser")])
    );
    assert_eq!(edge.notes, Vec::<String>::new());

    // What no object asks for is left alone, and said.
    lab.world.virtual_ips.retain(|_, vip| vip.metadata.name != gone.metadata.name);
    let edge = lab.plan_of("edge").await;
    assert_eq!(changes(&edge), []);
    assert!(edge.notes.iter().any(|note| note.contains("belongs to no object")), "{:?}", edge.notes);
}

#[tokio::test]
async fn a_pool_that_shrinks_takes_its_rows_away() {
    let mut lab = Lab::new().await.small();
    // The rows of the pool as the operator would have made them.
    let pools = lab.world.address_pools.clone();
    for pool in pools.values() {
        let all = skyy_controllers::address_pool::wanted(pool, skyy_runtime::Goal::Present, &BTreeSet::new());
        for (name, (address, rows)) in all.unwrap() {
            let mut vip = VirtualIp::new(&name, rows.vip);
            vip.metadata = skyy_controllers::address_pool::metadata(pool, &name, &address);
            lab.world.virtual_ips.insert(("tenants".to_owned(), name), vip);
        }
    }
    lab.carry_out().await;
    assert_eq!(changes(&lab.plan_of("edge").await), []);
    for pool in lab.world.address_pools.values_mut() {
        pool.spec.addresses.truncate(2);
    }
    let edge = lab.plan_of("edge").await;
    let removed = edge.count(Sign::Remove);
    assert_eq!(
        (removed, edge.changes.len()),
        (1, 1),
        "only the VirtualIP is an object yet: {:#?}",
        edge.changes
    );
}

#[tokio::test]
async fn what_must_not_be_done_is_held_with_its_reason() {
    let mut lab = Lab::new().await.small();
    let vip = |adopt: bool| json!({"firewall": "edge", "address": "198.51.100.10/32", "interface": "wan", "adopt": adopt});
    lab.add("VirtualIP", "foreign", &vip(false));
    let edge = lab.plan_of("edge").await;
    assert_eq!(held(&edge), [("VirtualIP/tenants/foreign", "NotOwned")]);
    lab.add("VirtualIP", "foreign", &vip(true));
    let edge = lab.plan_of("edge").await;
    assert_eq!(held(&edge), []);
    assert!(changes(&edge).contains(&(Sign::Change, "VirtualIP/tenants/foreign")), "{:#?}", edge.changes);

    // What is only to be planned is said, and not among what is done.
    let annotated = lab.world.virtual_ips.get_mut(&("tenants".to_owned(), "foreign".to_owned())).unwrap();
    annotated.metadata.annotations =
        Some([("skyy.helloskyy.io/plan-only".to_owned(), "true".to_owned())].into());
    let edge = lab.plan_of("edge").await;
    assert_eq!(held(&edge), [("VirtualIP/tenants/foreign", "PlanOnly")]);
    assert!(changes(&edge).iter().all(|(_, object)| *object != "VirtualIP/tenants/foreign"));
    lab.world.virtual_ips.remove(&("tenants".to_owned(), "foreign".to_owned()));

    // A namespace that the firewall does not take.
    lab.world.namespaces.get_mut(&(String::new(), "tenants".to_owned())).unwrap().metadata.labels = None;
    let edge = lab.plan_of("edge").await;
    assert_eq!(held(&edge), [("Namespace/tenants", "NamespaceNotAllowed")]);
    assert_eq!(edge.changes, []);

    // A pause.
    let firewall = lab.world.firewalls.get_mut(&(String::new(), "edge".to_owned())).unwrap();
    firewall.metadata.annotations = Some([("skyy.helloskyy.io/paused".to_owned(), "true".to_owned())].into());
    let edge = lab.plan_of("edge").await;
    assert_eq!((held(&edge), edge.calls.len()), (vec![("Firewall/edge", "PausedByUser")], 0));
}

#[tokio::test]
async fn pools_of_others_are_not_touched() {
    let mut lab = Lab::new().await;
    let foreign = lab.ceph.product().pool_names().into_iter().find(|name| !name.starts_with('.')).unwrap();
    lab.world.ceph_pools.clear();
    lab.add("CephPool", "mine", &json!({"cluster": "ceph-main", "pool": foreign}));
    let ceph = lab.plan_of("ceph-main").await;
    assert_eq!((held(&ceph), ceph.calls.len()), (vec![("CephPool/tenants/mine", "NotOwned")], 0));
}

#[tokio::test]
async fn a_guest_that_fits_nowhere_is_held_and_the_rest_goes_on() {
    let mut lab = Lab::new().await;
    lab.add(
        "Deployment",
        "nowhere",
        &json!({"cluster": "puma", "template": {"tag": "ubuntu-24-04"},
                "placement": {"hostSelector": {"matchLabels": {"no": "such"}}}}),
    );
    lab.add("Deployment", "templateless", &json!({"cluster": "puma", "template": {"tag": "no-such"}}));
    let puma = lab.plan_of("puma").await;
    let held: BTreeSet<(&str, &str)> = held(&puma).into_iter().collect();
    let expected = BTreeSet::from([
        ("Deployment/tenants/nowhere", "NoHostFits"),
        ("Deployment/tenants/templateless", "DependencyMissing"),
    ]);
    assert_eq!(held, expected, "{:#?}", puma.held);
    assert_eq!(puma.changes.iter().filter(|change| change.thing == Thing::Guest).count(), 8);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_asked_keeps_no_other_from_being_planned() {
    let mut lab = Lab::new().await.small();
    lab.world.secrets.retain(|(_, name), _| name != "edge-pfsense");
    for one in lab.world.ceph_clusters.values_mut() {
        one.spec.managers = vec!["http://127.0.0.1:1".to_owned()];
    }
    let planned = lab.plan().await;
    assert!(planned.is_partial());
    assert!(of(&planned, "edge").error.as_ref().unwrap().contains("skyy-system/edge-pfsense"));
    assert!(of(&planned, "ceph-main").error.is_some());
    assert!(of(&planned, "puma").error.is_none());
}

#[tokio::test]
async fn the_command_says_by_its_exit_code_whether_something_would_be_done() {
    let lab = Lab::new().await.small();
    let folder = tempfile::tempdir().unwrap();
    let firewall = json!({
        "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "Firewall", "metadata": {"name": "edge"},
        "spec": {"url": lab.firewall.url(), "allowedNamespaces": {},
                 "apiKey": {"secret": {"namespace": "s", "name": "key", "key": "k"}}},
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "s"},
        "stringData": {"k": "0123456789abcdef0123456789abcdef0123456789abcdef"},
    });
    let vip = json!({
        "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIP", "metadata": {"name": "a", "namespace": "x"},
        "spec": {"firewall": "edge", "address": "198.18.0.9/23", "interface": "wan"},
    });
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret.yaml", secret.to_string());
    let run = |args: &'static str| {
        let folder = folder.path().display().to_string();
        let args = args.replace("DIR", &folder);
        // The command brings a runtime of its own.
        tokio::task::spawn_blocking(move || {
            let cli = clap::Parser::try_parse_from(args.split(' ')).unwrap();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = skyyctl::cli::run(cli, &mut out, &mut err).map_err(|error| format!("{error:#}"));
            (code.map(|code| format!("{code:?}")), String::from_utf8(out).unwrap())
        })
    };
    let code = |n: u8| Ok(format!("{:?}", std::process::ExitCode::from(n)));
    write("all.yaml", firewall.to_string());
    let (done, out) =
        run("skyyctl plan --offline -f DIR/all.yaml --secrets-from DIR/secret.yaml").await.unwrap();
    assert_eq!(done, code(0), "{out}");
    assert!(out.contains("edge (pfSense)   nothing to do"), "{out}");
    write("all.yaml", format!("{firewall}\n---\n{vip}\n"));
    let (done, out) =
        run("skyyctl plan --offline -f DIR/all.yaml --secrets-from DIR/secret.yaml -o wide").await.unwrap();
    assert_eq!(done, code(2), "{out}");
    assert!(out.contains("+ 1 virtual IP") && out.contains("POST virtual IP 198.18.0.9"), "{out}");
    let (done, out) = run("skyyctl plan --offline -f DIR/all.yaml -o json").await.unwrap();
    assert_eq!(done, code(1), "{out}");
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(out["endpoints"][0]["error"].as_str().unwrap().contains("--secrets-from"), "{out}");
    let (done, _) = run("skyyctl plan --offline -f DIR/all.yaml --only nothing").await.unwrap();
    assert!(done.unwrap_err().contains("there is edge"));
    lab.wrote_nothing();
}
