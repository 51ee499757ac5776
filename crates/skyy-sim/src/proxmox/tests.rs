//! The simulated cluster as an operator would use it, on a clock moved by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const TOKEN: &str = "PVEAPIToken=skyy@pve!operator=11111111-2222-3333-4444-555555555555";
const ONE: &str = "puma-proxmox-001";
const TWO: &str = "puma-proxmox-002";

struct Lab {
    pve: Arc<Pve>,
    clock: Clock,
    router: Router,
}

impl Lab {
    fn new(preset: Preset) -> Self {
        let clock = Clock::manual();
        let options = PveOptions { clock: Some(clock.clone()), ..PveOptions::new(preset) };
        Self::of(Arc::new(Pve::new(options)), clock)
    }

    fn of(pve: Arc<Pve>, clock: Clock) -> Self {
        let router = Arc::clone(&pve).router();
        Self { pve, clock, router }
    }

    async fn call(&self, verb: &str, path: &str, form: &str) -> (u16, Value) {
        self.clock.advance(Duration::from_millis(5));
        let (path, body) = match verb {
            "GET" | "DELETE" if !form.is_empty() => (format!("{path}?{form}"), String::new()),
            _ => (path.to_string(), form.to_string()),
        };
        let request = Request::builder()
            .method(verb)
            .uri(format!("/api2/json{path}"))
            .header(header::AUTHORIZATION, TOKEN)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A call that must succeed; its data.
    async fn ok(&self, verb: &str, path: &str, form: &str) -> Value {
        let (status, body) = self.call(verb, path, form).await;
        assert_eq!(status, 200, "{verb} {path} {form}: {body}");
        body["data"].clone()
    }

    /// A call that must be refused; its message.
    async fn refused(&self, verb: &str, path: &str, form: &str) -> String {
        let (status, body) = self.call(verb, path, form).await;
        assert!(status >= 400, "{verb} {path} {form} was not refused: {body}");
        body["message"].as_str().unwrap_or_default().trim_end().to_string()
    }

    /// Waits for the end of a task; its exit status.
    async fn end_of(&self, upid: &Value) -> String {
        let upid = upid.as_str().expect("a UPID");
        let node = upid.split(':').nth(1).unwrap();
        let path = format!("/nodes/{node}/tasks/{}/status", upid.replace('!', "%21").replace(':', "%3A"));
        for _ in 0..2000 {
            let status = self.ok("GET", &path, "").await;
            if status["status"] == "stopped" {
                return status["exitstatus"].as_str().unwrap().to_string();
            }
            self.clock.advance(Duration::from_millis(500));
        }
        panic!("{upid} never ends");
    }

    /// A call whose task must end well.
    async fn done(&self, verb: &str, path: &str, form: &str) {
        let upid = self.ok(verb, path, form).await;
        assert_eq!(self.end_of(&upid).await, "OK", "{verb} {path} {form}");
    }
}

fn vm(node: &str, vmid: u32, rest: &str) -> String {
    format!("/nodes/{node}/qemu/{vmid}{rest}")
}

#[tokio::test]
async fn the_demo_is_what_it_says() {
    let lab = Lab::new(Preset::Demo);
    let nodes = lab.ok("GET", "/nodes", "").await;
    assert_eq!(nodes.as_array().unwrap().len(), 8);
    let mut without = Vec::new();
    for node in lab.pve.nodes() {
        let net = lab.ok("GET", &format!("/nodes/{node}/network"), "").await;
        let has = |name: &str| net.as_array().unwrap().iter().any(|i| i["iface"] == name);
        assert!(has("vmbr0"));
        if !has("vmbr1") {
            without.push(node.clone());
        }
        let repos = lab.ok("GET", &format!("/nodes/{node}/apt/repositories"), "").await;
        assert_eq!(repos["standard-repos"][0]["status"], 1, "enterprise is enabled");
        assert!(
            !lab.ok("GET", &format!("/nodes/{node}/apt/update"), "").await.as_array().unwrap().is_empty()
        );
    }
    assert_eq!(without, ["puma-proxmox-004", "puma-proxmox-007"]);
    let guests = lab.pve.guests();
    assert_eq!(guests.iter().filter(|g| g.running).count(), 5);
    let tagged =
        |tag: &str| guests.iter().filter(|g| g.template && g.tags.split(';').any(|t| t == tag)).count();
    assert_eq!((tagged("ubuntu-24-04"), tagged("ubuntu-24-04-gpu")), (4, 4));
    let gpus = lab.ok("GET", &format!("/nodes/{TWO}/hardware/pci"), "").await;
    let cards = gpus.as_array().unwrap().iter().filter(|d| d["class"] == "0x030000").count();
    assert_eq!(cards, 4);
    let mapping = lab.ok("GET", "/cluster/mapping/pci", &format!("check-node={TWO}")).await;
    assert_eq!(mapping[0]["id"], "rtx4090");
    assert_eq!(mapping[0]["checks"], json!([]), "the mapping fits the hardware");
}

#[tokio::test]
async fn a_guest_from_template_to_nothing() {
    let lab = Lab::new(Preset::Demo);
    let (before, volumes) = (lab.pve.guests(), lab.pve.volumes());
    let id: u32 = lab.ok("GET", "/cluster/nextid", "").await.as_str().unwrap().parse().unwrap();
    assert_eq!(id, 100);
    let form = format!("newid={id}&name=web-1&full=1&target={TWO}&description=mine");
    let upid = lab.ok("POST", &vm(ONE, 9000, "/clone"), &form).await;
    lab.clock.advance(Duration::from_secs(2));
    // While it is made it has neither its name nor its place.
    let half = lab.ok("GET", &vm(ONE, id, "/config"), "").await;
    assert_eq!(half["lock"], "clone");
    assert_eq!(half["description"], " qmclone temporary file");
    assert_eq!(half.get("name"), None);
    assert_eq!(lab.refused("PUT", &vm(ONE, id, "/config"), "name=x").await, "VM is locked (clone)");
    assert_eq!(lab.end_of(&upid).await, "OK");
    let conf = lab.ok("GET", &vm(TWO, id, "/config"), "").await;
    assert_eq!((&conf["name"], &conf["description"]), (&json!("web-1"), &json!("mine")));
    assert!(conf["scsi0"].as_str().unwrap().starts_with("ceph-vm:vm-100-disk-0,"), "{conf}");
    let settings = "cores=4&memory=8192&ipconfig0=ip=192.0.2.99/24,gw=192.0.2.1&tags=skyy;Web&onboot=1";
    lab.ok(
        "PUT",
        &vm(TWO, id, "/config"),
        &format!("{settings}&digest={}", conf["digest"].as_str().unwrap()),
    )
    .await;
    lab.done("PUT", &vm(TWO, id, "/resize"), "disk=scsi0&size=20G").await;
    lab.done("POST", &vm(TWO, id, "/status/start"), "").await;
    let agent = vm(TWO, id, "/agent/network-get-interfaces");
    assert_eq!(lab.refused("GET", &agent, "").await, "QEMU guest agent is not running");
    lab.clock.advance(Duration::from_secs(20));
    let found = lab.ok("GET", &agent, "").await;
    assert_eq!(found["result"][1]["ip-addresses"][0]["ip-address"], "192.0.2.99");
    let status = lab.ok("GET", &vm(TWO, id, "/status/current"), "").await;
    assert_eq!((&status["status"], &status["maxdisk"]), (&json!("running"), &json!(20u64 << 30)));
    assert_eq!(
        lab.refused("DELETE", &vm(TWO, id, ""), "").await,
        format!("VM {id} is running - destroy failed")
    );
    lab.done("POST", &vm(TWO, id, "/status/shutdown"), "").await;
    lab.done("DELETE", &vm(TWO, id, ""), "purge=1&destroy-unreferenced-disks=1").await;
    assert_eq!(
        (lab.pve.guests(), lab.pve.volumes()),
        (before, volumes),
        "nothing is left, nothing else touched"
    );
}

#[tokio::test]
async fn where_a_clone_can_go() {
    let lab = Lab::new(Preset::Demo);
    // Linked, on shared storage: anywhere, at once.
    lab.done("POST", &vm(ONE, 9000, "/clone"), &format!("newid=200&target={TWO}")).await;
    let conf = lab.ok("GET", &vm(TWO, 200, "/config"), "").await;
    assert!(conf["scsi0"].as_str().unwrap().starts_with("ceph-vm:base-9000-disk-0/vm-200-disk-0,"), "{conf}");
    // From local storage: only where the template is.
    let text = lab.refused("POST", &vm(TWO, 9020, "/clone"), &format!("newid=201&target={ONE}")).await;
    assert_eq!(text, format!("can't clone VM to node '{ONE}' (VM uses local storage)"));
    lab.done("POST", &vm(TWO, 9020, "/clone"), "newid=201").await;
    lab.done("POST", &vm(TWO, 201, "/migrate"), &format!("target={ONE}")).await;
    assert!(lab.pve.volumes().contains(&format!("{ONE}/local-lvm:vm-201-disk-0")));
    // A base is not freed under its clones.
    let upid = lab.ok("DELETE", &vm(ONE, 9000, ""), "").await;
    assert!(lab.end_of(&upid).await.contains("still in use by linked cloned"));
}

#[tokio::test]
async fn two_clones_to_one_id() {
    let lab = Lab::new(Preset::Demo);
    let (one, two) = (
        lab.ok("POST", &vm(ONE, 9000, "/clone"), "newid=300&name=a").await,
        lab.ok("POST", &vm(ONE, 9000, "/clone"), "newid=300&name=b").await,
    );
    let mut ends = [lab.end_of(&one).await, lab.end_of(&two).await];
    ends.sort();
    assert_eq!(ends, ["OK", "unable to create VM 300: config file already exists"]);
    assert_eq!(
        lab.pve.volumes().iter().filter(|v| v.contains("vm-300-")).count(),
        2,
        "disk and cloud-init drive"
    );
}

#[tokio::test]
async fn too_many_clones_on_one_storage() {
    let lab = Lab::new(Preset::Demo);
    let mut upids = Vec::new();
    for id in 400..490 {
        upids.push(lab.ok("POST", &vm(TWO, 9020, "/clone"), &format!("newid={id}")).await);
    }
    let mut failed = BTreeSet::new();
    for (id, upid) in (400..490).zip(&upids) {
        let end = lab.end_of(upid).await;
        if end != "OK" {
            assert!(end.contains("pve-storage-local-lvm' - got timeout"), "{end}");
            failed.insert(id);
        }
    }
    assert!(!failed.is_empty() && failed.len() < 90, "{} failed", failed.len());
    let guests: BTreeSet<u32> = lab.pve.guests().iter().map(|g| g.vmid).collect();
    for id in failed {
        assert!(!guests.contains(&id), "{id} left its configuration");
        assert!(!lab.pve.volumes().iter().any(|v| v.contains(&format!("vm-{id}-"))), "{id} left a volume");
    }
}

#[tokio::test]
async fn a_restored_state_goes_on() {
    let lab = Lab::new(Preset::Demo);
    let upid = lab.ok("POST", &vm(ONE, 9000, "/clone"), "newid=500&full=1&name=kept").await;
    lab.clock.advance(Duration::from_secs(3));
    assert_eq!(lab.pve.running_tasks(), 1);
    let saved = lab.pve.snapshot();
    let clock = Clock::manual();
    let options = PveOptions { clock: Some(clock.clone()), ..PveOptions::golden() };
    let other = Arc::new(Pve::new(options));
    other.restore(saved.clone()).unwrap();
    assert_eq!(other.snapshot()["tasks"], saved["tasks"]);
    let other = Lab::of(other, clock);
    assert_eq!(other.end_of(&upid).await, "OK");
    assert_eq!(lab.end_of(&upid).await, "OK");
    assert_eq!(other.pve.guests(), lab.pve.guests());
    assert_eq!(other.pve.volumes(), lab.pve.volumes());
    assert!(other.pve.restore(json!({"rubbish": true})).unwrap_err().contains("not a state"));
}

#[tokio::test]
async fn a_node_that_dies() {
    let lab = Lab::new(Preset::Demo);
    let upid = lab.ok("POST", &vm(TWO, 9020, "/clone"), "newid=600&full=1").await;
    lab.clock.advance(Duration::from_secs(3));
    assert!(lab.pve.node_down(TWO));
    let nodes = lab.ok("GET", "/nodes", "").await;
    let shown = nodes.as_array().unwrap().iter().find(|n| n["node"] == TWO).unwrap();
    assert_eq!((&shown["status"], shown.get("uptime")), (&json!("offline"), None));
    // What it last said is still shown, for a while.
    let shown =
        |vms: Value| vms.as_array().unwrap().iter().find(|v| v["vmid"] == 102).unwrap()["status"].clone();
    assert_eq!(shown(lab.ok("GET", "/cluster/resources", "type=vm").await), "running");
    assert_eq!(lab.call("GET", &vm(TWO, 102, "/config"), "").await.0, 595);
    lab.clock.advance(Duration::from_secs(400));
    assert_eq!(shown(lab.ok("GET", "/cluster/resources", "type=vm").await), "unknown");
    assert!(lab.pve.node_up(TWO));
    assert_eq!(lab.end_of(&upid).await, "unexpected status");
    let left = lab.ok("GET", &vm(TWO, 600, "/config"), "").await;
    assert_eq!(left["lock"], "clone", "the half-made guest stays, locked");
    let running = |id: u32| lab.pve.guests().iter().any(|g| g.vmid == id && g.running);
    assert!(running(102), "guests that start at boot are back");
    assert!(!lab.pve.node_down("nope"));
}

#[tokio::test]
async fn a_reboot_takes_its_time() {
    let lab = Lab::new(Preset::Demo);
    let path = "/nodes/puma-proxmox-007/status";
    let before = lab.ok("GET", path, "").await["uptime"].as_u64().unwrap();
    assert_eq!(lab.ok("POST", path, "command=reboot").await, Value::Null);
    assert_eq!(lab.call("GET", path, "").await.0, 595);
    lab.clock.advance(Duration::from_secs(100));
    let after = lab.ok("GET", path, "").await["uptime"].as_u64().unwrap();
    assert!(after < before && after < 120, "{after}");
}

#[tokio::test]
async fn a_card_goes_to_one_guest() {
    let lab = Lab::new(Preset::Demo);
    for id in 700..703 {
        lab.done("POST", &vm(ONE, 9001, "/clone"), &format!("newid={id}&full=1")).await;
        lab.ok("PUT", &vm(ONE, id, "/config"), "hostpci0=mapping=rtx4090,pcie=1").await;
    }
    for id in 700..702 {
        lab.done("POST", &vm(ONE, id, "/status/start"), "").await;
    }
    let upid = lab.ok("POST", &vm(ONE, 702, "/status/start"), "").await;
    let end = lab.end_of(&upid).await;
    assert!(end.contains("already in use by VMID"), "{end}");
    lab.done("POST", &vm(ONE, 700, "/status/stop"), "").await;
    lab.done("POST", &vm(ONE, 702, "/status/start"), "").await;
    let raw = lab.refused("PUT", &vm(ONE, 701, "/config"), "hostpci1=0000:01:00").await;
    assert_eq!(raw, "only root can set 'hostpci1' config for non-mapped devices");
}

#[tokio::test]
async fn a_source_is_busy_while_it_is_copied() {
    let lab = Lab::new(Preset::Demo);
    let upid = lab.ok("POST", &vm(ONE, 9001, "/clone"), "newid=800&full=1").await;
    lab.clock.advance(Duration::from_secs(1));
    // 16 GiB take longer than anybody waits for the lock.
    let text = lab.refused("PUT", &vm(ONE, 9001, "/config"), "description=x").await;
    assert_eq!(text, "can't lock file '/var/lock/qemu-server/lock-9001.conf' - got timeout");
    // A second clone shares it.
    lab.done("POST", &vm(ONE, 9001, "/clone"), "newid=801").await;
    assert_eq!(lab.end_of(&upid).await, "OK");
    lab.ok("PUT", &vm(ONE, 9001, "/config"), "description=x").await;
}

#[tokio::test]
async fn updates_need_a_subscription_or_another_repository() {
    let lab = Lab::new(Preset::Demo);
    let base = format!("/nodes/{ONE}/apt");
    let upid = lab.ok("POST", &format!("{base}/update"), "").await;
    assert_eq!(lab.end_of(&upid).await, "command 'apt-get update' failed: exit code 100");
    let repos = lab.ok("GET", &format!("{base}/repositories"), "").await;
    let digest = repos["digest"].as_str().unwrap().to_string();
    for file in repos["files"].as_array().unwrap() {
        let form = format!("path={}&index=0&enabled=0", file["path"].as_str().unwrap());
        lab.ok("POST", &format!("{base}/repositories"), &form).await;
    }
    let stale = format!("handle=no-subscription&digest={digest}");
    let text = lab.refused("PUT", &format!("{base}/repositories"), &stale).await;
    assert!(text.starts_with("detected modified configuration"), "{text}");
    lab.ok("PUT", &format!("{base}/repositories"), "handle=no-subscription").await;
    lab.done("POST", &format!("{base}/update"), "").await;
    assert_eq!(lab.ok("GET", &format!("{base}/update"), "").await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_done_by_hand() {
    let lab = Lab::new(Preset::Demo);
    assert!(lab.pve.stop_guest_by_hand(101));
    assert!(!lab.pve.stop_guest_by_hand(101), "it does not run any more");
    assert_eq!(lab.ok("GET", &vm(ONE, 101, "/status/current"), "").await["status"], "stopped");
    for (path, status) in [
        ("/_sim/proxmox/guests/103/kill", 200),
        ("/_sim/proxmox/guests/999/kill", 404),
        ("/_sim/proxmox/nodes/puma-proxmox-008/reinstall", 200),
        ("/_sim/proxmox/nodes/puma-proxmox-008/paint", 404),
    ] {
        let request = Request::post(path).body(Body::empty()).unwrap();
        assert_eq!(lab.router.clone().oneshot(request).await.unwrap().status().as_u16(), status, "{path}");
    }
    assert!(!lab.pve.guests().iter().any(|g| g.vmid == 105), "the guest of the reinstalled node is gone");
    assert!(!lab.pve.volumes().iter().any(|v| v.starts_with("puma-proxmox-008/")));
}

#[tokio::test]
async fn a_dead_endpoint_gives_no_answer() {
    let lab = Lab::new(Preset::GoldenCluster);
    lab.pve.node_stop_daemons("pve1");
    let request = Request::get("/api2/json/version").body(Body::empty()).unwrap();
    let response = lab.router.clone().oneshot(request).await.unwrap();
    assert!(response.extensions().get::<crate::product::NoAnswer>().is_some());
    // Another member answers, and says so of its neighbour.
    let request = Request::get("/api2/json/nodes/pve1/version")
        .header(header::COOKIE, "none")
        .body(Body::empty())
        .unwrap();
    let response = lab.pve.router_for("pve2").oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 401);
}

#[tokio::test]
async fn calls_cost_time_when_wanted() {
    let clock = Clock::manual();
    let options = PveOptions { clock: Some(clock.clone()), realistic_cost: true, ..PveOptions::demo() };
    let lab = Lab::of(Arc::new(Pve::new(options)), clock);
    let before = lab.clock.now();
    lab.ok("GET", &format!("/nodes/{ONE}/qemu"), "").await;
    assert!(lab.clock.now() >= before + Duration::from_millis(45));
}

/// Whatever is asked for, and whoever fails in between, what is left fits together.
#[tokio::test]
async fn laws_of_the_cluster() {
    for seed in 1..=12u64 {
        let lab = Lab::new(Preset::Demo);
        let mut state = seed;
        let mut roll = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        for _ in 0..150 {
            let vmid = 900 + u32::try_from(roll(8)).unwrap();
            let node = format!("puma-proxmox-{:03}", roll(3) + 1);
            let source = [9000, 9001, 9020, 9030][usize::try_from(roll(4)).unwrap()];
            let from = lab
                .pve
                .guests()
                .iter()
                .find(|g| g.vmid == source)
                .map(|g| g.node.clone())
                .unwrap_or_default();
            let (verb, path, form) = match roll(9) {
                0 => ("POST", vm(&from, source, "/clone"), format!("newid={vmid}&full=1&target={node}")),
                1 => ("POST", vm(&from, source, "/clone"), format!("newid={vmid}")),
                2 => ("POST", vm(&node, vmid, "/status/start"), String::new()),
                3 => ("POST", vm(&node, vmid, "/status/stop"), String::new()),
                4 => ("DELETE", vm(&node, vmid, ""), "purge=1".to_string()),
                5 => ("PUT", vm(&node, vmid, "/config"), "memory=1024&scsi1=local-lvm:4".to_string()),
                6 => ("PUT", vm(&node, vmid, "/resize"), "disk=scsi0&size=%2B1G".to_string()),
                7 => ("POST", vm(&node, vmid, "/migrate"), "target=puma-proxmox-001&online=1".to_string()),
                _ => ("GET", "/cluster/resources".to_string(), String::new()),
            };
            let (status, body) = lab.call(verb, &path, &form).await;
            assert!(matches!(status, 200 | 400 | 500 | 503 | 595), "{verb} {path} {form}: {status} {body}");
            match roll(40) {
                0 => drop(lab.pve.node_down(&node)),
                1..=8 => drop(lab.pve.node_up(&node)),
                9..=25 => lab.clock.advance(Duration::from_secs(roll(20))),
                _ => {}
            }
        }
        for node in lab.pve.nodes() {
            lab.pve.node_up(&node);
        }
        lab.clock.advance(Duration::from_hours(1));
        assert_eq!(lab.pve.running_tasks(), 0, "seed {seed}");
        let cluster = lab.pve.locked();
        assert!(cluster.flocks.is_empty(), "seed {seed}: {:?}", cluster.flocks);
        let mut seen = BTreeSet::new();
        for volume in &cluster.volumes {
            assert!(
                seen.insert((&volume.storage, &volume.node, &volume.name)),
                "seed {seed}: twice {volume:?}"
            );
            let owner = volume.vmid.and_then(|id| cluster.guests.get(&id));
            assert!(owner.is_some(), "seed {seed}: nobody's {volume:?}");
        }
        for guest in cluster.guests.values().filter(|g| g.run.is_some()) {
            assert!(!guest.is_template() && !guest.conf.contains_key("lock"), "seed {seed}: {guest:?}");
            for volid in Cluster::own_volumes(guest) {
                assert!(
                    cluster.volume(&volid, &guest.node).is_some(),
                    "seed {seed}: {volid} of {}",
                    guest.vmid
                );
            }
        }
        drop(cluster);
        let saved = lab.pve.snapshot();
        lab.pve.restore(saved.clone()).unwrap();
        assert_eq!(lab.pve.snapshot(), saved, "seed {seed}: a state is what it was saved as");
    }
}
