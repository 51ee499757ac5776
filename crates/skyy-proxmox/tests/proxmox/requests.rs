//! What each call sends: method, path, parameters. Each is also held against the published schema.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};
use skyy_proxmox::{
    CloneRequest, Cluster, ConfigChange, DeleteOptions, Digest, Dns, FindTask, GuestAt, GuestKind,
    InterfaceKind, InterfaceSpec, MigrateOptions, NewPciMapping, NodeConfigChange, NodeName, ProxmoxError,
    RepositoryPlace, Shutdown, TaskFilter, Upid, Vmid,
};

use crate::schema::assert_known;
use crate::server::{Reply, Server};

const UPID: &str = "UPID:pve1:0000ABCD:00012345:65A1B2C3:qmclone:9000:root@pam!ops:";

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vmid(number: u32) -> Vmid {
    number.try_into().unwrap()
}

fn vm() -> GuestAt {
    GuestAt::qemu(node(), vmid(120))
}

fn ct() -> GuestAt {
    GuestAt::lxc(node(), vmid(121))
}

fn upid() -> Upid {
    UPID.parse().unwrap()
}

/// Makes one call against a server that answers `reply`, and checks what was sent.
async fn check<T: Debug, F: Future<Output = Result<T, ProxmoxError>>>(
    expected: &str,
    reply: Value,
    call: impl FnOnce(Cluster) -> F,
) -> T {
    let server = Server::start(move |_| Reply::data(reply.clone())).await;
    let answer = call(server.cluster()).await.unwrap_or_else(|error| panic!("{expected}: {error}"));
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "{expected}: one call is one request");
    let seen = &seen[0];
    let path = seen.path.strip_prefix("/api2/json").expect("below /api2/json");
    let parts = [path, &seen.query, &seen.body].into_iter().filter(|part| !part.is_empty());
    let line = format!("{} {}", seen.method, parts.collect::<Vec<_>>().join(" "));
    assert_eq!(line, expected);

    assert_eq!(seen.header("authorization"), Some("PVEAPIToken=root@pam!ops=0123-secret"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("csrfpreventiontoken"), None, "tokens need no CSRF token");
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(seen.header("content-type"), (!seen.body.is_empty()).then_some("application/json"));
    assert_known(seen.method.as_str(), path, &params(&seen.query, &seen.body));
    answer
}

fn params(query: &str, body: &str) -> BTreeMap<String, Value> {
    if !body.is_empty() {
        return serde_json::from_str(body).expect("an object");
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.into())).unwrap())
        .collect()
}

#[tokio::test]
async fn the_cluster_is_read() {
    check("GET /version", json!({"version": "9.2.11"}), async |c| c.version().await).await;
    check("GET /cluster/status", json!([]), async |c| c.cluster_status().await).await;
    check("GET /cluster/resources", json!([]), async |c| c.cluster_resources().await).await;
    check("GET /nodes", json!([]), async |c| c.nodes().await).await;
    let next = check("GET /cluster/nextid", json!("101"), async |c| c.next_id().await).await;
    assert_eq!(next, vmid(101));
    assert!(
        check("GET /cluster/nextid vmid=101", json!("101"), async |c| c.is_id_free(vmid(101)).await).await
    );
    check("GET /access/permissions path=%2Fvms", json!({}), async |c| c.permissions(Some("/vms")).await)
        .await;
}

#[tokio::test]
async fn tasks_are_asked_about() {
    let filter = TaskFilter {
        vmid: Some(vmid(120)),
        kind: Some("qmclone".to_owned()),
        since: Some(7),
        limit: Some(9),
    };
    check(
        "GET /nodes/pve1/tasks source=all&vmid=120&typefilter=qmclone&since=7&limit=9",
        json!([]),
        async |c| c.tasks(&node(), &filter).await,
    )
    .await;
    check("GET /cluster/tasks", json!([]), async |c| c.cluster_tasks().await).await;
    let path = "/nodes/pve1/tasks/UPID%3Apve1%3A0000ABCD%3A00012345%3A65A1B2C3%3Aqmclone%3A9000%3Aroot%40pam%21ops%3A";
    check(&format!("GET {path}/status"), json!({"status": "running"}), async |c| {
        c.task_status(&upid()).await
    })
    .await;
    check(&format!("GET {path}/log start=0&limit=50"), json!([]), async |c| c.task_log(&upid(), 0, 50).await)
        .await;
    check(&format!("DELETE {path}"), json!(null), async |c| c.stop_task(&upid()).await).await;
}

#[tokio::test]
async fn a_lost_task_is_found_only_if_it_is_ours() {
    let entry = |start: &str, kind: &str, id: &str, user: &str| json!({"upid": format!("UPID:pve1:1:2:{start}:{kind}:{id}:{user}:"), "node": "pve1"});
    let listed = json!([
        entry("64", "qmclone", "9000", "root@pam!ops"),
        entry("66", "qmclone", "9000", "root@pam!ops"),
        entry("67", "qmclone", "9000", "root@pam!other"),
        entry("68", "qmclone", "9000", "root@pam"),
        entry("69", "qmclone", "9001", "root@pam!ops"),
        entry("6A", "qmstart", "9000", "root@pam!ops"),
        entry("10", "qmclone", "9000", "root@pam!ops"),
    ]);
    let wanted = FindTask {
        vmid: vmid(9000),
        kind: "qmclone".to_owned(),
        since: 0x60,
        user: "root@pam!ops".to_owned(),
    };
    let line = "GET /nodes/pve1/tasks source=all&vmid=9000&typefilter=qmclone&since=96";
    let found = check(line, listed.clone(), async |c| c.find_tasks(&node(), &wanted).await).await;
    assert_eq!(found.iter().map(|task| task.upid.starttime()).collect::<Vec<_>>(), [0x66, 0x64]);
    let newest = check(line, listed, async |c| c.find_task(&node(), &wanted).await).await;
    assert_eq!(newest.map(|task| task.upid.starttime()), Some(0x66));
}

#[tokio::test]
async fn guests_are_read() {
    check("GET /nodes/pve1/qemu", json!([]), async |c| c.guests(&node(), GuestKind::Qemu).await).await;
    check("GET /nodes/pve1/lxc", json!([]), async |c| c.guests(&node(), GuestKind::Lxc).await).await;
    check("GET /nodes/pve1/qemu/120/config", json!({}), async |c| c.guest_config(&vm()).await).await;
    check("GET /nodes/pve1/qemu/120/config current=1", json!({}), async |c| c.guest_config_live(&vm()).await)
        .await;
    check("GET /nodes/pve1/lxc/121/config", json!({}), async |c| c.guest_config(&ct()).await).await;
    check("GET /nodes/pve1/qemu/120/pending", json!([]), async |c| c.guest_pending(&vm()).await).await;
    check("GET /nodes/pve1/lxc/121/pending", json!([]), async |c| c.guest_pending(&ct()).await).await;
    let status = json!({"vmid": 120, "status": "running", "ha": {"managed": 1}});
    let status =
        check("GET /nodes/pve1/qemu/120/status/current", status, async |c| c.guest_status(&vm()).await).await;
    assert!(status.is_ha_managed());
    check("GET /nodes/pve1/qemu/120/agent/network-get-interfaces", json!({"result": []}), async |c| {
        c.agent_network(&vm()).await
    })
    .await;
    check("GET /nodes/pve1/qemu/120/cloudinit", json!([]), async |c| c.cloud_init_pending(&vm()).await).await;
    check("GET /nodes/pve1/qemu/120/migrate", json!({}), async |c| c.migrate_check(&vm()).await).await;
    let listed = json!([{"name": "s1", "snaptime": 5}, {"name": "current"}]);
    let snapshots =
        check("GET /nodes/pve1/qemu/120/snapshot", listed, async |c| c.snapshots(&vm()).await).await;
    assert_eq!(snapshots.len(), 1, "the present state is no snapshot");
}

#[tokio::test]
async fn guests_are_made_and_changed() {
    let clone = CloneRequest {
        name: Some("gpu-worker-0".to_owned()),
        description: Some("mark".to_owned()),
        storage: Some("ceph-vm".to_owned()),
        target: Some("pve2".parse().unwrap()),
        pool: Some("tenants".to_owned()),
        ..CloneRequest::full(vmid(120))
    };
    let source = GuestAt::qemu(node(), vmid(9000));
    check(
        r#"POST /nodes/pve1/qemu/9000/clone {"newid":120,"full":1,"name":"gpu-worker-0","description":"mark","storage":"ceph-vm","target":"pve2","pool":"tenants"}"#,
        json!(UPID),
        async |c| c.clone_guest(&source, &clone).await,
    )
    .await;
    let linked = CloneRequest { full: false, name: Some("ct".to_owned()), ..CloneRequest::full(vmid(122)) };
    check(
        r#"POST /nodes/pve1/lxc/121/clone {"newid":122,"full":0,"hostname":"ct"}"#,
        json!(UPID),
        async |c| c.clone_guest(&ct(), &linked).await,
    )
    .await;
    let new = ConfigChange::new().set("name", "web").set("memory", 512).set("onboot", true).tags(["B", "a"]);
    check(
        r#"POST /nodes/pve1/qemu {"name":"web","memory":512,"onboot":1,"tags":"a;b","vmid":120}"#,
        json!(UPID),
        async |c| c.create_guest(&vm(), new).await,
    )
    .await;
    let digest = Digest::new("abc");
    let change = || {
        ConfigChange::new().set("cores", 4).ssh_keys("ssh-ed25519 AAAA me@x").remove("net1").remove("ide3")
    };
    let change = || change().revert("memory").digest(Some(&digest));
    let body = r#"{"cores":4,"sshkeys":"ssh-ed25519%20AAAA%20me%40x","delete":"ide3,net1","revert":"memory","digest":"abc"}"#;
    check(&format!("PUT /nodes/pve1/qemu/120/config {body}"), json!(null), async |c| {
        c.update_guest(&vm(), change()).await
    })
    .await;
    let task = check(&format!("POST /nodes/pve1/qemu/120/config {body}"), json!(UPID), async |c| {
        c.update_guest_task(&vm(), change()).await
    })
    .await;
    assert_eq!(task, Some(upid()));
    let done = ConfigChange::new().set("cores", 2);
    check(r#"PUT /nodes/pve1/lxc/121/config {"cores":2}"#, json!(null), async |c| {
        c.update_guest(&ct(), done).await
    })
    .await;
    check(
        r#"PUT /nodes/pve1/qemu/120/resize {"disk":"scsi0","size":"200G","digest":"abc"}"#,
        json!(UPID),
        async |c| c.resize_disk(&vm(), "scsi0", 200 << 30, Some(&digest)).await,
    )
    .await;
    check(r#"PUT /nodes/pve1/lxc/121/resize {"disk":"rootfs","size":"8G"}"#, json!(UPID), async |c| {
        c.resize_disk(&ct(), "rootfs", 8 << 30, None).await
    })
    .await;
    check("POST /nodes/pve1/qemu/120/template", json!(UPID), async |c| c.convert_to_template(&vm()).await)
        .await;
    let none =
        check("POST /nodes/pve1/lxc/121/template", json!(null), async |c| c.convert_to_template(&ct()).await);
    assert_eq!(none.await, None);
    check("PUT /nodes/pve1/qemu/120/cloudinit", json!(null), async |c| c.regenerate_cloud_init(&vm()).await)
        .await;
}

#[tokio::test]
async fn guests_are_started_stopped_moved_and_removed() {
    let upid = || json!(UPID);
    check("POST /nodes/pve1/qemu/120/status/start", upid(), async |c| c.start_guest(&vm()).await).await;
    check("POST /nodes/pve1/lxc/121/status/start", upid(), async |c| c.start_guest(&ct()).await).await;
    check("POST /nodes/pve1/qemu/120/status/stop", upid(), async |c| c.stop_guest(&vm()).await).await;
    let how = Shutdown { timeout: Duration::from_mins(1), force: true };
    for (path, at) in [("qemu/120", vm()), ("lxc/121", ct())] {
        let line = format!(r#"POST /nodes/pve1/{path}/status/shutdown {{"timeout":60,"forceStop":1}}"#);
        check(&line, upid(), async |c| c.shutdown_guest(&at, how).await).await;
    }
    check(r#"POST /nodes/pve1/qemu/120/status/reboot {"timeout":30}"#, upid(), async |c| {
        c.reboot_guest(&vm(), Duration::from_secs(30)).await
    })
    .await;
    let to = MigrateOptions {
        online: true,
        restart: true,
        with_local_disks: true,
        target_storage: Some("ceph-vm".to_owned()),
        ..MigrateOptions::offline("pve2".parse().unwrap())
    };
    check(
        r#"POST /nodes/pve1/qemu/120/migrate {"target":"pve2","online":1,"with-local-disks":1,"targetstorage":"ceph-vm"}"#,
        upid(),
        async |c| c.migrate_guest(&vm(), &to).await,
    )
    .await;
    check(
        r#"POST /nodes/pve1/lxc/121/migrate {"target":"pve2","restart":1,"target-storage":"ceph-vm"}"#,
        upid(),
        async |c| c.migrate_guest(&ct(), &to).await,
    )
    .await;
    let all = DeleteOptions { purge: true, unreferenced_disks: true };
    check("DELETE /nodes/pve1/qemu/120 purge=1&destroy-unreferenced-disks=1", upid(), async |c| {
        c.delete_guest(&vm(), all).await
    })
    .await;
    let little = DeleteOptions { purge: false, unreferenced_disks: false };
    check("DELETE /nodes/pve1/lxc/121 destroy-unreferenced-disks=0", upid(), async |c| {
        c.delete_guest(&ct(), little).await
    })
    .await;
    check(
        r#"POST /nodes/pve1/qemu/120/snapshot {"snapname":"before","description":"x"}"#,
        upid(),
        async |c| c.create_snapshot(&vm(), "before", Some("x")).await,
    )
    .await;
    check("DELETE /nodes/pve1/qemu/120/snapshot/before", upid(), async |c| {
        c.delete_snapshot(&vm(), "before").await
    })
    .await;
    check("POST /nodes/pve1/qemu/120/snapshot/before/rollback", upid(), async |c| {
        c.rollback_snapshot(&vm(), "before").await
    })
    .await;
}

#[tokio::test]
async fn nodes_are_read_and_changed() {
    check("GET /nodes/pve1/version", json!({}), async |c| c.node_version(&node()).await).await;
    check("GET /nodes/pve1/status", json!({}), async |c| c.node_status(&node()).await).await;
    check("GET /nodes/pve1/config", json!({}), async |c| c.node_config(&node()).await).await;
    let notes = NodeConfigChange { description: Some("mark".to_owned()), ..NodeConfigChange::default() };
    check(r#"PUT /nodes/pve1/config {"description":"mark"}"#, json!(null), async |c| {
        c.update_node_config(&node(), notes).await
    })
    .await;
    check("GET /nodes/pve1/dns", json!({}), async |c| c.dns(&node()).await).await;
    let dns = Dns { search: Some("lab".to_owned()), dns1: Some("192.0.2.1".to_owned()), ..Dns::default() };
    check(r#"PUT /nodes/pve1/dns {"search":"lab","dns1":"192.0.2.1"}"#, json!(null), async |c| {
        c.set_dns(&node(), &dns).await
    })
    .await;
    check("GET /nodes/pve1/time", json!({}), async |c| c.time(&node()).await).await;
    check(r#"PUT /nodes/pve1/time {"timezone":"Etc/UTC"}"#, json!(null), async |c| {
        c.set_timezone(&node(), "Etc/UTC").await
    })
    .await;
    check("GET /nodes/pve1/storage", json!([]), async |c| c.storages(&node()).await).await;
    check("GET /nodes/pve1/storage/local/status", json!({}), async |c| {
        c.storage_status(&node(), "local").await
    })
    .await;
    check("GET /nodes/pve1/storage/local/content content=images&vmid=120", json!([]), async |c| {
        c.storage_content(&node(), "local", Some("images"), Some(vmid(120))).await
    })
    .await;
    check("GET /nodes/pve1/hardware/pci", json!([]), async |c| c.pci_devices(&node()).await).await;
}

#[tokio::test]
async fn networks_are_staged_applied_and_taken_back() {
    let read = check("GET /nodes/pve1/network", json!([{"iface": "vmbr0", "type": "bridge"}]), async |c| {
        c.network(&node()).await
    })
    .await;
    assert_eq!((read.interfaces.len(), read.changes), (1, None));
    let bridge = InterfaceSpec {
        iface: "vmbr1".to_owned(),
        kind: InterfaceKind::Bridge,
        autostart: true,
        cidr: Some("192.0.2.1/24".to_owned()),
        bridge_ports: vec!["eno2".to_owned(), "eno3".to_owned()],
        bridge_vlan_aware: true,
        bridge_vids: Some("2-100".to_owned()),
        comments: Some("workloads".to_owned()),
        ..InterfaceSpec::default()
    };
    let body = r#""type":"bridge","autostart":1,"cidr":"192.0.2.1/24","comments":"workloads","bridge_ports":"eno2 eno3","bridge_vlan_aware":1,"bridge_vids":"2-100""#;
    check(&format!(r#"POST /nodes/pve1/network {{{body},"iface":"vmbr1"}}"#), json!(null), async |c| {
        c.create_interface(&node(), &bridge).await
    })
    .await;
    check(&format!("PUT /nodes/pve1/network/vmbr1 {{{body}}}"), json!(null), async |c| {
        c.update_interface(&node(), &bridge).await
    })
    .await;
    let vlan = InterfaceSpec {
        iface: "storage0".to_owned(),
        kind: InterfaceKind::Vlan,
        vlan_raw_device: Some("vmbr1".to_owned()),
        vlan_id: Some(30),
        mtu: Some(9000),
        ..InterfaceSpec::default()
    };
    check(
        r#"POST /nodes/pve1/network {"type":"vlan","mtu":9000,"vlan-raw-device":"vmbr1","vlan-id":30,"iface":"storage0"}"#,
        json!(null),
        async |c| c.create_interface(&node(), &vlan).await,
    )
    .await;
    let bond = InterfaceSpec {
        iface: "bond0".to_owned(),
        kind: InterfaceKind::Bond,
        slaves: vec!["eno1".to_owned(), "eno2".to_owned()],
        bond_mode: Some("802.3ad".to_owned()),
        bond_xmit_hash_policy: Some("layer3+4".to_owned()),
        ..InterfaceSpec::default()
    };
    check(
        r#"POST /nodes/pve1/network {"type":"bond","slaves":"eno1 eno2","bond_mode":"802.3ad","bond_xmit_hash_policy":"layer3+4","iface":"bond0"}"#,
        json!(null),
        async |c| c.create_interface(&node(), &bond).await,
    )
    .await;
    check("DELETE /nodes/pve1/network/vmbr1", json!(null), async |c| {
        c.delete_interface(&node(), "vmbr1").await
    })
    .await;
    check("PUT /nodes/pve1/network", json!(UPID), async |c| c.apply_network(&node()).await).await;
    check("DELETE /nodes/pve1/network", json!(null), async |c| c.revert_network(&node()).await).await;
}

#[tokio::test]
async fn staged_changes_stand_beside_the_data() {
    let body = r#"{"data":[{"iface":"vmbr1","type":"bridge","bridge_ports":"","vlan-id":"7","exists":null}],"changes":"--- a\n+++ b\n"}"#;
    let server = Server::start(move |_| Reply::text(200, "OK", body)).await;
    let network = server.cluster().network(&node()).await.unwrap();
    assert_eq!(network.changes.as_deref(), Some("--- a\n+++ b\n"));
    assert_eq!(network.interfaces[0].vlan_id, Some(7));
    assert!(network.interfaces[0].bridge_ports.is_empty());
}

#[tokio::test]
async fn packages_and_mappings_are_read_and_changed() {
    check("GET /nodes/pve1/apt/repositories", json!({}), async |c| c.apt_repositories(&node()).await).await;
    let place = RepositoryPlace { path: "/etc/apt/sources.list.d/pve.sources".to_owned(), index: 0 };
    let digest = Digest::new("abc");
    check(
        r#"POST /nodes/pve1/apt/repositories {"path":"/etc/apt/sources.list.d/pve.sources","index":0,"enabled":0,"digest":"abc"}"#,
        json!(null),
        async |c| c.set_apt_repository(&node(), &place, false, Some(&digest)).await,
    )
    .await;
    check(
        r#"PUT /nodes/pve1/apt/repositories {"handle":"no-subscription","digest":"abc"}"#,
        json!(null),
        async |c| c.add_standard_repository(&node(), "no-subscription", Some(&digest)).await,
    )
    .await;
    check(r#"POST /nodes/pve1/apt/update {"notify":0,"quiet":1}"#, json!(UPID), async |c| {
        c.refresh_apt(&node()).await
    })
    .await;
    check("GET /nodes/pve1/apt/update", json!([]), async |c| c.apt_updates(&node()).await).await;
    check("GET /nodes/pve1/apt/versions", json!([]), async |c| c.apt_versions(&node()).await).await;
    check("GET /cluster/mapping/pci", json!([]), async |c| c.pci_mappings(None).await).await;
    check("GET /cluster/mapping/pci check-node=pve1", json!([]), async |c| {
        c.pci_mappings(Some(&node())).await
    })
    .await;
    let line = "node=pve1,path=0000:01:00.0,id=10de:2684";
    let mapping = NewPciMapping { id: "rtx4090".to_owned(), description: None, map: vec![line.to_owned()] };
    check(
        &format!(r#"POST /cluster/mapping/pci {{"map":["{line}"],"id":"rtx4090"}}"#),
        json!(null),
        async |c| c.create_pci_mapping(&mapping).await,
    )
    .await;
    check(
        &format!(r#"PUT /cluster/mapping/pci/rtx4090 {{"map":["{line}"],"digest":"abc"}}"#),
        json!(null),
        async |c| c.update_pci_mapping(&mapping, Some(&digest)).await,
    )
    .await;
    check("DELETE /cluster/mapping/pci/rtx4090", json!(null), async |c| {
        c.delete_pci_mapping("rtx4090").await
    })
    .await;
}
