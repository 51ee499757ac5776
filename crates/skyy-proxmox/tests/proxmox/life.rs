//! The life of a guest against something that keeps state: whatever `SKYY_PROXMOX_URL` names (a disposable system only:
//! guests are made and removed there).

use std::time::Duration;

use skyy_http::{Endpoint, Trust};
use skyy_proxmox::{
    Auth, CloneRequest, Cluster, ConfigChange, DeleteOptions, Digest, FindTask, GuestAt, GuestState,
    InterfaceKind, InterfaceSpec, NodeName, Problem, TaskExit, Upid, Vmid, limits,
};
use tokio::time::{interval, timeout};

/// Asks until the task has ended.
pub(crate) async fn ended(cluster: &Cluster, upid: &Upid) -> TaskExit {
    let asking = async {
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            if let Some(exit) = cluster.task_status(upid).await.unwrap().exit {
                return exit;
            }
        }
    };
    timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("{upid} does not end"))
}

pub(crate) async fn done(cluster: &Cluster, upid: Upid) {
    let exit = ended(cluster, &upid).await;
    assert!(exit.is_success(), "{upid}: {exit}");
}

async fn free_id(cluster: &Cluster, beside: &[Vmid]) -> Vmid {
    let taken: Vec<Vmid> =
        cluster.cluster_resources().await.unwrap().guests.iter().map(|guest| guest.vmid).collect();
    let mut ids = (700..800).map(|number| Vmid::try_from(number).unwrap());
    ids.find(|id| !taken.contains(id) && !beside.contains(id)).unwrap()
}

/// What is to be tried, and what it depends on that not every double has.
pub(crate) struct Options {
    /// The first disk, as a configuration says it: `local-lvm:1`.
    pub(crate) disk: String,
    /// Whether growth of disks, stale digests, a second start and staged networks behave as recorded.
    pub(crate) exact: bool,
}

/// From nothing to nothing, through every step a Deployment takes.
pub(crate) async fn life(cluster: &Cluster, options: &Options) {
    assert!(cluster.version().await.unwrap().numbers() >= (8, 0, 0));
    let status = cluster.cluster_status().await.unwrap();
    assert!(status.quorate);
    let node: NodeName = cluster.nodes().await.unwrap().into_iter().next().unwrap().node;
    assert!(status.members.iter().any(|member| member.name == node && member.online));
    cluster.node_status(&node).await.unwrap();
    let (storage, _) = options.disk.split_once(':').unwrap();
    assert!(
        cluster.storages(&node).await.unwrap().iter().any(|one| one.storage == storage && one.status.active)
    );

    // Made, and only once.
    let source = GuestAt::qemu(node.clone(), free_id(cluster, &[]).await);
    let new = || {
        let change = ConfigChange::new()
            .set("name", "life-source")
            .set("memory", 64)
            .set("scsi0", options.disk.as_str());
        change.set("description", "mark").tags(["Skyy", "a"])
    };
    let upid = cluster.create_guest(&source, new()).await.unwrap();
    done(cluster, upid.clone()).await;
    let again = cluster.create_guest(&source, new()).await.unwrap_err();
    assert!(
        matches!(again.problem(), Problem::AlreadyExists { vmid, .. } if *vmid == source.vmid),
        "{again}"
    );
    let since = upid.starttime();
    let wanted =
        FindTask { vmid: source.vmid, kind: "qmcreate".to_owned(), since, user: cluster.user().to_owned() };
    assert_eq!(cluster.find_task(&node, &wanted).await.unwrap().map(|task| task.upid), Some(upid));

    // Changed, and not on top of somebody else's change.
    let config = cluster.guest_config(&source).await.unwrap();
    assert_eq!((config.name(), config.description(), config.memory_mib()), (Some("life-source"), "mark", 64));
    assert_eq!(config.tags().into_iter().collect::<Vec<_>>(), ["a", "skyy"]);
    assert_eq!(config.disks()["scsi0"].size, Some(1 << 30));
    assert!(config.digest.is_some());
    let change = ConfigChange::new().set("cores", 2).digest(config.digest.as_ref());
    cluster.update_guest(&source, change).await.unwrap();
    if options.exact {
        let stale = ConfigChange::new().set("cores", 3).digest(config.digest.as_ref());
        let refused = cluster.update_guest(&source, stale).await.unwrap_err();
        assert!(matches!(refused.problem(), Problem::DigestMismatch), "{refused}");
    }
    assert_eq!(cluster.guest_config(&source).await.unwrap().cores(), 2);
    let wrong = ConfigChange::new().set("bogus", 1);
    let refused = cluster.update_guest(&source, wrong).await.unwrap_err();
    assert!(
        matches!(refused.problem(), Problem::ParameterInvalid { errors } if errors.contains_key("bogus"))
    );

    // Cloned, grown, started.
    if let Some(upid) = cluster.convert_to_template(&source).await.unwrap() {
        done(cluster, upid).await;
    }
    assert!(cluster.guest_config(&source).await.unwrap().is_template());
    let clone = GuestAt::qemu(node.clone(), free_id(cluster, &[source.vmid]).await);
    let request = CloneRequest { name: Some("life-clone".to_owned()), ..CloneRequest::full(clone.vmid) };
    let upid = cluster.clone_guest(&source, &request).await.unwrap();
    assert_eq!((upid.kind(), upid.vmid()), ("qmclone", Some(source.vmid)), "a clone's task is the source's");
    done(cluster, upid).await;
    let config = cluster.guest_config(&clone).await.unwrap();
    assert_eq!((config.name(), config.is_template()), (Some("life-clone"), false));
    if options.exact {
        done(cluster, cluster.resize_disk(&clone, "scsi0", 2 << 30, config.digest.as_ref()).await.unwrap())
            .await;
        assert_eq!(cluster.guest_config(&clone).await.unwrap().disks()["scsi0"].size, Some(2 << 30));
    }
    done(cluster, cluster.start_guest(&clone).await.unwrap()).await;
    assert_eq!(cluster.guest_status(&clone).await.unwrap().status, GuestState::Running);
    let listed = cluster.cluster_resources().await.unwrap();
    assert!(listed.guests.iter().any(|guest| guest.vmid == clone.vmid && guest.node == node));

    // Snapshots.
    done(cluster, cluster.create_snapshot(&clone, "before", None).await.unwrap()).await;
    assert_eq!(cluster.snapshots(&clone).await.unwrap().len(), 1);
    done(cluster, cluster.delete_snapshot(&clone, "before").await.unwrap()).await;

    if options.exact {
        again_and_wrong(cluster, &clone).await;
        staged_network(cluster, &node).await;
    }

    // Gone, and seen to be gone.
    done(cluster, cluster.stop_guest(&clone).await.unwrap()).await;
    let all = DeleteOptions { purge: true, unreferenced_disks: true };
    for guest in [&clone, &source] {
        done(cluster, cluster.delete_guest(guest, all).await.unwrap()).await;
        let missing = cluster.guest_config(guest).await.unwrap_err();
        assert!(missing.is_missing(guest), "{missing}");
    }
    assert!(cluster.is_id_free(clone.vmid).await.unwrap());
}

async fn again_and_wrong(cluster: &Cluster, clone: &GuestAt) {
    let second = ended(cluster, &cluster.start_guest(clone).await.unwrap()).await;
    assert!(matches!(second.problem(), Some(Problem::AlreadyRunning(_))), "{second}");
    let digest = Digest::new("0000000000000000000000000000000000000000");
    let stale = cluster.resize_disk(clone, "scsi0", 3 << 30, Some(&digest)).await.unwrap();
    let stale = ended(cluster, &stale).await;
    assert!(matches!(stale.problem(), Some(Problem::DigestMismatch)), "{stale}");
    let agent = cluster.agent_network(clone).await.unwrap_err();
    assert!(matches!(agent.problem(), Problem::NoAgent(_)), "{agent}");
    assert!(!cluster.is_id_free(clone.vmid).await.unwrap());
    cluster.guest_pending(clone).await.unwrap();
    cluster.permissions(None).await.unwrap();
}

async fn staged_network(cluster: &Cluster, node: &NodeName) {
    assert_eq!(cluster.network(node).await.unwrap().changes, None);
    let bridge = InterfaceSpec {
        iface: "vmbr77".to_owned(),
        kind: InterfaceKind::Bridge,
        autostart: true,
        bridge_vlan_aware: true,
        bridge_vids: Some("2-4094".to_owned()),
        comments: Some("life".to_owned()),
        ..InterfaceSpec::default()
    };
    cluster.create_interface(node, &bridge).await.unwrap();
    let staged = cluster.network(node).await.unwrap();
    assert!(staged.changes.is_some_and(|changes| changes.contains("vmbr77")));
    let seen = staged.interfaces.iter().find(|interface| interface.iface == "vmbr77").unwrap();
    assert_eq!(InterfaceSpec::of(seen), bridge, "what was asked for is what is read");
    cluster.revert_network(node).await.unwrap();
    assert_eq!(cluster.network(node).await.unwrap().changes, None);
}

#[tokio::test]
async fn a_guest_lives_on_the_system_that_is_named() {
    let Ok(url) = std::env::var("SKYY_PROXMOX_URL") else {
        println!("skipped: SKYY_PROXMOX_URL names no disposable Proxmox VE");
        return;
    };
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let pins = setting("SKYY_PROXMOX_SHA256", "");
    let trust = if pins.is_empty() { Trust::SystemRoots } else { Trust::Pins(vec![pins.parse().unwrap()]) };
    let endpoint =
        Endpoint::new("proxmox", "named").url(url).allow_plain_http(true).trust(trust).limits(limits());
    let password = setting("SKYY_PROXMOX_PASSWORD", "secret123").into();
    let auth = Auth::Ticket { user: "root@pam".to_owned(), password };
    let cluster = Cluster::new(vec![endpoint.build().unwrap()], auth);
    let exact = setting("SKYY_PROXMOX_EXACT", "1") == "1";
    let disk = setting("SKYY_PROXMOX_DISK", "local:1,format=qcow2");
    life(&cluster, &Options { disk, exact }).await;
}
