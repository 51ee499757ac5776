//! The client against the simulated Proxmox VE: whole lives, dead nodes, lost quorum, and every fault once.

use std::sync::Arc;
use std::time::Duration;

use skyy_http::{Endpoint, Limits, Trust};
use skyy_proxmox::{
    Auth, AuthFailure, Class, CloneRequest, Cluster, ConfigChange, FindTask, GuestAt, GuestKind,
    NewPciMapping, NodeConfigChange, NodeName, PciDevice, Problem, ProxmoxError, RepositoryPlace, Sent, Vmid,
    limits,
};
use skyy_sim::proxmox::{Preset, Pve, PveOptions};
use skyy_sim::{Fault, FaultKind, Match, Running, Sim};

use crate::life::{self, done};

async fn simulated(preset: Preset) -> Running<Pve> {
    let options = PveOptions { preset, speed: 50.0, ..PveOptions::default() };
    Sim::builder(Arc::new(Pve::new(options))).start().await.unwrap()
}

fn connect(sim: &Running<Pve>, auth: Auth) -> Cluster {
    connect_with(sim, auth, limits())
}

fn connect_with(sim: &Running<Pve>, auth: Auth, limits: Limits) -> Cluster {
    let endpoint = Endpoint::new("proxmox", "sim").url(sim.url()).allow_plain_http(true).limits(limits);
    Cluster::new(vec![endpoint.build().unwrap()], auth)
}

fn root() -> Auth {
    Auth::Ticket { user: "root@pam".to_owned(), password: "secret123".into() }
}

fn operator() -> Auth {
    let secret = "11111111-2222-3333-4444-555555555555".into();
    Auth::Token { id: "skyy@pve!operator".to_owned(), secret }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn vmid(number: u32) -> Vmid {
    number.try_into().unwrap()
}

#[tokio::test]
async fn a_guest_lives_on_the_simulated_host() {
    let sim = simulated(Preset::Golden).await;
    life::life(
        &connect(&sim, root()),
        &life::Options { disk: "local:1,format=qcow2".to_owned(), exact: true },
    )
    .await;
    assert_eq!(sim.product().guests(), [], "nothing is left");
}

#[tokio::test]
async fn a_guest_lives_on_a_cluster_behind_a_pinned_certificate() {
    let options = PveOptions { preset: Preset::GoldenCluster, speed: 50.0, ..PveOptions::default() };
    let sim = Sim::builder(Arc::new(Pve::new(options))).tls(true).start().await.unwrap();
    let pin = sim.fingerprint_sha256().unwrap().parse().unwrap();
    let endpoint =
        |pin| Endpoint::new("proxmox", "sim").url(sim.url()).trust(Trust::Pins(vec![pin])).limits(limits());
    let cluster = Cluster::new(vec![endpoint(pin).build().unwrap()], root());
    life::life(&cluster, &life::Options { disk: "shared:1,format=qcow2".to_owned(), exact: true }).await;

    let other = "AA".repeat(32).parse().unwrap();
    let cluster = Cluster::new(vec![endpoint(other).build().unwrap()], root());
    let error = cluster.version().await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Untrusted, Sent::No));
    let (class, text) = cluster.endpoints().remove(0).failure.unwrap();
    assert_eq!(class, Class::Untrusted);
    for fingerprint in [pin.to_string(), other.to_string()] {
        assert!(text.contains(&fingerprint), "both fingerprints are shown: {text}");
    }
}

#[tokio::test]
async fn the_demo_cluster_is_read_whole() {
    let sim = simulated(Preset::Demo).await;
    let cluster = connect(&sim, operator());
    let status = cluster.cluster_status().await.unwrap();
    assert_eq!((status.name.as_deref(), status.quorate, status.members.len()), (Some("puma"), true, 8));
    let resources = cluster.cluster_resources().await.unwrap();
    assert_eq!((resources.nodes.len(), resources.storages.len()), (8, 24));
    assert!(
        resources.nodes.iter().all(|node| node.is_online() && node.maxcpu.is_some() && node.maxmem.is_some())
    );
    let mut guests: Vec<_> = sim.product().guests().iter().map(|guest| guest.vmid).collect();
    guests.sort_unstable();
    assert_eq!(resources.guests.iter().map(|guest| guest.vmid.get()).collect::<Vec<_>>(), guests);
    assert!(resources.guests.iter().any(|guest| guest.template && guest.tags.contains("ubuntu-24-04-gpu")));

    for name in ["puma-proxmox-001", "puma-proxmox-008"] {
        let name = node(name);
        let status = cluster.node_status(&name).await.unwrap();
        assert!(status.cpuinfo.cpus.is_some() && status.memory.total.is_some() && status.uptime.is_some());
        assert!(status.current_kernel.release.is_some());
        assert_eq!(cluster.node_version(&name).await.unwrap().numbers().0, 9);
        assert!(cluster.network(&name).await.unwrap().interfaces.iter().any(|one| one.iface == "vmbr0"));
        assert!(!cluster.storages(&name).await.unwrap().is_empty());
        assert!(!cluster.apt_updates(&name).await.unwrap().is_empty());
        assert_eq!(cluster.apt_repositories(&name).await.unwrap().standard_enabled("enterprise"), Some(true));
        assert!(cluster.apt_versions(&name).await.unwrap().iter().any(|one| one.package == "pve-manager"));
        cluster.dns(&name).await.unwrap();
        cluster.time(&name).await.unwrap();
        cluster.node_config(&name).await.unwrap();
    }
    let devices = cluster.pci_devices(&node("puma-proxmox-002")).await.unwrap();
    assert_eq!(devices.iter().filter(|device| device.is_display()).count(), 4);
    let mapping = cluster.pci_mappings(None).await.unwrap().remove(0);
    let entries = mapping.entries();
    assert_eq!((mapping.id.as_str(), entries.len()), ("rtx4090", 6));
    assert!(devices.iter().any(|device| device.vendor_device() == entries[5].id));
    let rights = cluster.permissions(None).await.unwrap();
    assert!(rights.missing("/vms/120", ["VM.Clone", "VM.PowerMgmt"]).is_empty());
    assert_eq!(sim.counts().writes(), 0);
}

#[tokio::test]
async fn repositories_notes_and_mappings_are_changed() {
    let sim = simulated(Preset::Demo).await;
    let cluster = connect(&sim, root());
    let name = node("puma-proxmox-001");
    let read = cluster.apt_repositories(&name).await.unwrap();
    let mut digest = read.digest;
    for file in &read.files {
        for (index, repository) in (0..).zip(&file.repositories) {
            if repository.enabled
                && repository.components.iter().any(|component| component.contains("enterprise"))
            {
                let place = RepositoryPlace { path: file.path.clone(), index };
                cluster.set_apt_repository(&name, &place, false, digest.as_ref()).await.unwrap();
                // A second change with the digest of the first read would be refused.
                digest = cluster.apt_repositories(&name).await.unwrap().digest;
            }
        }
    }
    let read = cluster.apt_repositories(&name).await.unwrap();
    assert_eq!(read.standard_enabled("enterprise"), Some(false));
    assert_eq!(read.standard_enabled("no-subscription"), None);
    cluster.add_standard_repository(&name, "no-subscription", read.digest.as_ref()).await.unwrap();
    assert_eq!(
        cluster.apt_repositories(&name).await.unwrap().standard_enabled("no-subscription"),
        Some(true)
    );
    done(&cluster, cluster.refresh_apt(&name).await.unwrap()).await;

    let notes = NodeConfigChange { description: Some("mark".to_owned()), ..NodeConfigChange::default() };
    cluster.update_node_config(&name, notes).await.unwrap();
    assert_eq!(
        cluster.node_config(&name).await.unwrap().description.as_deref().map(str::trim_end),
        Some("mark")
    );

    let device =
        cluster.pci_devices(&node("puma-proxmox-003")).await.unwrap().into_iter().find(PciDevice::is_display);
    let device = device.unwrap();
    let line = format!(
        "node=puma-proxmox-003,path={},id={},subsystem-id={},iommugroup={}",
        device.id,
        device.vendor_device().unwrap(),
        device.subsystem().unwrap(),
        device.iommugroup.unwrap()
    );
    let mapping = NewPciMapping { id: "rtx3090".to_owned(), description: None, map: vec![line] };
    cluster.create_pci_mapping(&mapping).await.unwrap();
    let checked = cluster.pci_mappings(Some(&node("puma-proxmox-003"))).await.unwrap();
    let made = checked.iter().find(|one| one.id == "rtx3090").unwrap();
    assert_eq!((made.entries().len(), made.checks.len()), (1, 0), "{made:?}");
    let changed = NewPciMapping { description: Some("cards".to_owned()), ..mapping };
    cluster.update_pci_mapping(&changed, made.digest.as_ref()).await.unwrap();
    let stale = cluster.update_pci_mapping(&changed, made.digest.as_ref()).await.unwrap_err();
    assert!(matches!(stale.problem(), Problem::DigestMismatch), "{stale}");
    cluster.delete_pci_mapping("rtx3090").await.unwrap();
}

#[tokio::test]
async fn a_container_is_told_from_a_machine() {
    let sim = simulated(Preset::Golden).await;
    let cluster = connect(&sim, root());
    let at = GuestAt::lxc(node("pve1"), vmid(300));
    let missing = cluster.guest_config(&at).await.unwrap_err();
    assert!(
        missing.is_missing(&at) && !missing.is_missing(&GuestAt::qemu(at.node.clone(), at.vmid)),
        "{missing}"
    );
    // The simulated storages hold no template of a container, so none can be made here.
    let new = ConfigChange::new().set("hostname", "ct").set("memory", 256).set("rootfs", "local:1");
    let new = new.set("ostemplate", "local:vztmpl/none.tar.zst");
    let refused = cluster.create_guest(&at, new).await.unwrap_err();
    assert!(refused.to_string().starts_with("create lxc/300 on pve1: answered 500: volume "), "{refused}");
    assert_eq!(cluster.guests(&at.node, GuestKind::Lxc).await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_answer_to_a_clone_is_found_in_the_task_list() {
    let sim = simulated(Preset::Demo).await;
    let cluster = connect(&sim, operator());
    let source = GuestAt::qemu(node("puma-proxmox-002"), vmid(9020));
    let since = cluster.time(&source.node).await.unwrap().time.unwrap() - 5;
    sim.faults().add(Fault::answer_lost(Match::next("POST", "*/clone")));
    let lost = cluster.clone_guest(&source, &CloneRequest::full(vmid(700))).await.unwrap_err();
    assert_eq!((lost.class(), lost.sent()), (Class::Transient, Sent::Maybe), "{lost}");
    assert_eq!(sim.counts().writes(), 1, "not repeated by itself");

    let wanted =
        FindTask { vmid: source.vmid, kind: "qmclone".to_owned(), since, user: cluster.user().to_owned() };
    let found = cluster.find_task(&source.node, &wanted).await.unwrap().unwrap();
    done(&cluster, found.upid).await;
    cluster.guest_config(&GuestAt::qemu(source.node.clone(), vmid(700))).await.unwrap();
    let other = FindTask { user: "skyy@pve!other".to_owned(), ..wanted };
    assert_eq!(cluster.find_task(&source.node, &other).await.unwrap(), None);
}

#[tokio::test]
async fn a_lock_refuses_in_the_call_or_in_the_task() {
    let sim = simulated(Preset::Demo).await;
    let cluster = connect(&sim, operator());
    let at = GuestAt::qemu(node("puma-proxmox-002"), vmid(102));
    assert!(sim.product().set_guest_lock(102, Some("backup")));
    let refused = cluster.update_guest(&at, ConfigChange::new().set("cores", 2)).await.unwrap_err();
    assert!(matches!(refused.problem(), Problem::Locked { lock } if lock == "backup"), "{refused}");
    let accepted = cluster.stop_guest(&at).await.unwrap();
    let exit = life::ended(&cluster, &accepted).await;
    assert!(exit.problem().is_some_and(|problem| problem.is_lock()), "{exit}");
}

#[tokio::test]
async fn a_dead_node_is_unreachable_and_its_guests_are_not_gone() {
    let sim = simulated(Preset::GoldenCluster).await;
    let cluster = connect(&sim, root());
    let at = GuestAt::qemu(node("pve3"), vmid(430));
    done(&cluster, cluster.create_guest(&at, ConfigChange::new().set("memory", 64)).await.unwrap()).await;
    // Lists come from broadcasts.
    while cluster.cluster_resources().await.unwrap().guests.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(sim.product().node_down("pve3"));
    let error = cluster.guest_config(&at).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::NodeUnreachable { status: 595, .. }), "{error}");
    assert!(!error.is_missing(&at));
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No));
    let members = cluster.cluster_status().await.unwrap().members;
    let online: Vec<bool> = members.iter().map(|member| member.online).collect();
    assert_eq!(online, [true, true, false]);
    assert!(cluster.cluster_resources().await.unwrap().guests.iter().any(|guest| guest.vmid == at.vmid));

    // Two of three gone: no quorum, nothing is written.
    let here = GuestAt::qemu(node("pve1"), vmid(431));
    done(&cluster, cluster.create_guest(&here, ConfigChange::new().set("memory", 64)).await.unwrap()).await;
    assert!(sim.product().node_down("pve2"));
    assert!(!cluster.cluster_status().await.unwrap().quorate);
    let refused = cluster.update_guest(&here, ConfigChange::new().set("cores", 2)).await.unwrap_err();
    assert!(matches!(refused.problem(), Problem::NoQuorum(_)), "{refused}");
    let refused = cluster.start_guest(&here).await.unwrap_err();
    assert!(matches!(refused.problem(), Problem::NoQuorum(_)), "{refused}");
    let unknown = GuestAt::qemu(node("nope"), vmid(431));
    let error = cluster.guest_config(&unknown).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::NodeUnreachable { .. }), "{error}");
}

/// What a fault does to one read and one write.
struct Expected {
    read: Option<(Class, Sent)>,
    write: Option<(Class, Sent)>,
}

async fn check(kind: FaultKind, expected: Expected) {
    let Expected { read, write } = expected;
    let sim = simulated(Preset::Demo).await;
    let short = Limits { total: Duration::from_millis(500), ..limits() };
    let at = GuestAt::qemu(node("puma-proxmox-002"), vmid(102));
    let outcome = |result: Result<(), ProxmoxError>| result.err().map(|error| (error.class(), error.sent()));

    let cluster = connect_with(&sim, operator(), short);
    let every = Match::every("*", "*");
    sim.faults().add(Fault::new(every.clone(), kind.clone()));
    assert_eq!(outcome(cluster.cluster_resources().await.map(drop)), read, "a read under {kind:?}");
    sim.faults().clear();
    let cluster = connect_with(&sim, operator(), short);
    sim.faults().add(Fault::new(every, kind.clone()));
    let before = sim.counts().writes();
    let change = ConfigChange::new().set("onboot", false);
    assert_eq!(outcome(cluster.update_guest(&at, change.clone()).await), write, "a write under {kind:?}");
    let seen = u64::from(kind != FaultKind::Refuse);
    assert_eq!(sim.counts().writes(), before + seen, "a write is sent once under {kind:?}");

    // And when it passes, so does everything, unless credentials were refused.
    sim.faults().clear();
    let refused = matches!(kind, FaultKind::Status { status: 401, .. });
    assert_eq!(cluster.cluster_resources().await.is_ok(), !refused, "after {kind:?}");
    assert_eq!(cluster.held().await.is_some(), refused);
}

#[tokio::test]
async fn every_fault_once() {
    use Class::{Auth, Protocol, Transient};
    use Sent::{Maybe, No};
    let status = |status| FaultKind::Status { status, retry_after: None, body: None };
    let both = |class, read, write| Expected { read: Some((class, read)), write: Some((class, write)) };
    check(FaultKind::Refuse, both(Transient, Maybe, Maybe)).await;
    check(FaultKind::AnswerLost, both(Transient, Maybe, Maybe)).await;
    check(FaultKind::Hang, both(Transient, Maybe, Maybe)).await;
    check(FaultKind::BrokenJson, both(Protocol, Maybe, Maybe)).await;
    check(FaultKind::HtmlPage, both(Protocol, Maybe, Maybe)).await;
    check(FaultKind::Delay { ms: 20 }, Expected { read: None, write: None }).await;
    check(status(401), both(Auth, No, No)).await;
    check(status(403), both(Auth, No, No)).await;
    check(status(429), both(Transient, Maybe, Maybe)).await;
    check(status(500), both(Transient, Maybe, Maybe)).await;
    check(status(503), both(Transient, Maybe, Maybe)).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_once() {
    let sim = simulated(Preset::Demo).await;
    let wrong = Auth::Token { id: "skyy@pve!operator".to_owned(), secret: "wrong".into() };
    let cluster = connect(&sim, wrong);
    for _ in 0..5 {
        assert_eq!(cluster.nodes().await.unwrap_err().class(), Class::Auth);
    }
    assert_eq!(cluster.held().await, Some(AuthFailure::Refused));
    assert_eq!(sim.counts().path("GET", "/api2/json/nodes"), 1);
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let sim = simulated(Preset::Demo).await;
    let cluster = connect(&sim, operator());
    cluster.version().await.unwrap();
    sim.stop().await;
    let error = cluster.version().await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No), "{error}");
    sim.start().await.unwrap();
    cluster.version().await.unwrap();
}
