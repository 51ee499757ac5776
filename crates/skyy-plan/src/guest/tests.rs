//! The life of a guest, step by step, and what is never done to one.

use expect_test::{Expect, expect};

use super::*;

fn mark() -> GuestMark {
    GuestMark {
        installation: "0f0f0f0f".into(),
        namespace: "tenants".into(),
        deployment: "gpu-worker".into(),
        uid: "6f1d5a52-0000".into(),
        guest: "gpu-worker-0".into(),
    }
}

fn spec() -> GuestSpec {
    GuestSpec {
        name: "gpu-worker-0".into(),
        mark: mark(),
        cores: Some(8),
        memory_mib: Some(32768),
        root_bytes: Some(200 << 30),
        disks: vec![DiskSpec { name: "data".into(), storage: "ceph-vm".into(), bytes: 100 << 30 }],
        gpus: vec!["rtx4090".into()],
        cards: vec![CardSpec {
            bridge: "vmbr1".into(),
            vlan: Some(7),
            mac: Some("02:00:2e:8c:5e:78".into()),
        }],
        cloud_init: Some(CloudInitSpec {
            user: Some("ops".into()),
            ssh_keys: Some("ssh-ed25519 AAAA+/= ops\n".into()),
            name_servers: vec![],
            search_domain: None,
        }),
        may_interrupt: false,
    }
}

/// As a clone of a template stands there.
fn cloned() -> Config {
    let keys = [
        ("name", "gpu-worker-0"),
        ("description", "skyy:0f0f0f0f/tenants/gpu-worker/gpu-worker-0#6f1d5a52-0000\n"),
        ("cores", "2"),
        ("memory", "2048"),
        ("boot", "order=scsi0;net0"),
        ("scsi0", "ceph-vm:vm-100000-disk-0,size=32G"),
        ("ide2", "ceph-vm:vm-100000-cloudinit,media=cdrom"),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"),
        ("tags", "ubuntu-24-04-gpu"),
    ];
    Config { keys: keys.map(|(k, v)| (k.to_owned(), v.to_owned())).into(), digest: "d1".into() }
}

fn ours(running: bool, config: Config) -> Sight {
    Sight::Ours(Guest { node: "puma-005".into(), running, config, lock: None })
}

#[track_caller]
fn check(sight: &Sight, goal: GuestGoal, expected: Expect) {
    let said = match plan(&spec(), sight, goal) {
        Ok(None) => "nothing to do".to_owned(),
        Ok(Some(Step::Configure { set, delete, digest, .. })) => {
            let lines: Vec<String> = set.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            format!("configure at {digest}\n{}\ndelete {delete:?}", lines.join("\n"))
        }
        Ok(Some(step)) => step.to_string(),
        Err(refusal) => format!("{}: {}", refusal.reason, refusal.message),
    };
    expected.assert_eq(&said);
}

/// What Proxmox makes of a step.
fn after(config: &Config, step: &Step) -> Config {
    let mut config = config.clone();
    match step {
        Step::Configure { set, delete, .. } => {
            for (key, value) in set {
                let mut value = value.clone();
                if let Some((storage_size, rest)) = value.split_once(',').filter(|_| key.starts_with("scsi"))
                    && let Some((storage, gib)) = storage_size.split_once(':')
                    && gib.parse::<u64>().is_ok()
                {
                    value = format!("{storage}:vm-100000-disk-9,{rest},size={gib}G");
                }
                config.keys.insert(key.clone(), value);
            }
            for key in delete {
                config.keys.remove(key);
            }
        }
        Step::Resize { disk, bytes, .. } => {
            let old = config.keys[disk].clone();
            let mut value = PropertyString::parse(&old);
            value.pairs.retain(|(key, _)| key != "size");
            let volume: Vec<String> = value.pairs.iter().map(|(k, v)| format!(",{k}={v}")).collect();
            config.keys.insert(
                disk.clone(),
                format!("{}{},size={}G", value.bare.unwrap_or_default(), volume.concat(), bytes >> 30),
            );
        }
        Step::Clone | Step::Start | Step::Stop | Step::Destroy | Step::Wait(_) => {}
    }
    config
}

#[test]
fn a_life_from_nothing_to_running_and_back() {
    check(&Sight::Absent, GuestGoal::Running, expect!["clone the template"]);
    check(
        &Sight::Busy { what: "it is being cloned".into() },
        GuestGoal::Running,
        expect!["wait: it is being cloned"],
    );
    check(
        &ours(false, cloned()),
        GuestGoal::Running,
        expect![[r"
            configure at d1
            ciuser: ops
            cores: 8
            hostpci0: mapping=rtx4090
            ipconfig0: ip=dhcp
            memory: 32768
            net0: virtio=02:00:2E:8C:5E:78,bridge=vmbr1,firewall=1,tag=7
            scsi1: ceph-vm:100,serial=skyy-data
            sshkeys: ssh-ed25519%20AAAA%2B%2F%3D%20ops
            tags: skyy-0f0f0f0f-6f1d5a52;ubuntu-24-04-gpu
            delete []"]],
    );
    let step = plan(&spec(), &ours(false, cloned()), GuestGoal::Running).unwrap().unwrap();
    let configured = after(&cloned(), &step);
    check(&ours(false, configured.clone()), GuestGoal::Running, expect!["grow scsi0 to 200 GiB"]);
    let step = plan(&spec(), &ours(false, configured.clone()), GuestGoal::Running).unwrap().unwrap();
    let grown = after(&configured, &step);
    check(&ours(false, grown.clone()), GuestGoal::Running, expect!["start"]);
    check(&ours(true, grown.clone()), GuestGoal::Running, expect!["nothing to do"]);
    check(&ours(true, grown.clone()), GuestGoal::Gone, expect!["shut down"]);
    check(&ours(false, grown), GuestGoal::Gone, expect!["destroy with its disks"]);
    check(&Sight::Absent, GuestGoal::Gone, expect!["nothing to do"]);
}

#[test]
fn what_is_not_ours_is_never_touched() {
    let foreign = Sight::Foreign { name: "somebody's database".into() };
    check(&foreign, GuestGoal::Gone, expect!["nothing to do"]);
    check(&foreign, GuestGoal::Released, expect!["nothing to do"]);
    check(
        &foreign,
        GuestGoal::Running,
        expect![[
            r#"NotOwned: gpu-worker-0: its reserved id was taken by "somebody's database", which is not ours; another id will be reserved"#
        ]],
    );
}

#[test]
fn unknown_is_never_gone() {
    for goal in [GuestGoal::Running, GuestGoal::Gone, GuestGoal::Released] {
        let refusal = plan(&spec(), &Sight::Unknown("puma-005 is offline".into()), goal).unwrap_err();
        assert_eq!(refusal.reason, Reason::EndpointUnavailable);
    }
}

#[test]
fn a_running_guest_is_not_interrupted_unless_it_may() {
    let mut settled = cloned();
    for _ in 0..4 {
        if let Some(step) = plan(&spec(), &ours(false, settled.clone()), GuestGoal::Running).unwrap() {
            settled = after(&settled, &step);
        }
    }
    let mut more = spec();
    more.cores = Some(16);
    let refusal = plan(&more, &ours(true, settled.clone()), GuestGoal::Running).unwrap_err();
    assert_eq!(refusal.reason, Reason::DisruptionNotAllowed);
    assert!(refusal.message.contains("cores 8 → 16"), "{}", refusal.message);
    more.may_interrupt = true;
    let step = plan(&more, &ours(true, settled.clone()), GuestGoal::Running).unwrap();
    assert!(matches!(step, Some(Step::Configure { .. })));

    // A mark that somebody took off is put back at once: it interrupts nobody.
    settled.keys.remove("tags");
    let step = plan(&spec(), &ours(true, settled), GuestGoal::Running).unwrap();
    assert!(
        matches!(step, Some(Step::Configure { ref set, .. }) if set.len() == 1 && set.contains_key("tags"))
    );
}

#[test]
fn a_disk_never_shrinks_and_a_locked_guest_waits() {
    let mut config = cloned();
    config.keys.insert("scsi0".into(), "ceph-vm:vm-100000-disk-0,size=2T".into());
    assert_eq!(config::difference(&spec(), &config).grow, vec![]);
    let locked = Sight::Ours(Guest { node: "a".into(), running: true, config, lock: Some("backup".into()) });
    check(&locked, GuestGoal::Gone, expect!["wait: it is locked (backup)"]);
}

#[test]
fn a_released_guest_keeps_what_people_wrote() {
    let mut config = cloned();
    config.keys.insert("description".into(), format!("{}\nask Ann before stopping\n", mark().description()));
    config.keys.insert("tags".into(), "db;skyy-0f0f0f0f-6f1d5a52".into());
    check(
        &ours(true, config.clone()),
        GuestGoal::Released,
        expect![[r"
            configure at d1
            description: ask Ann before stopping
            tags: db
            delete []"]],
    );
    let step = plan(&spec(), &ours(true, config.clone()), GuestGoal::Released).unwrap().unwrap();
    check(&ours(true, after(&config, &step)), GuestGoal::Released, expect!["nothing to do"]);
}

#[test]
fn another_deployment_of_the_same_name_does_not_inherit() {
    let mut other = mark();
    other.uid = "00000000-ffff".into();
    assert!(!other.is_on(cloned().description()));
    assert!(mark().is_on(cloned().description()));
    assert!(!mark().is_on("x skyy:0f0f0f0f/tenants/gpu-worker/gpu-worker-0#6f1d5a52-0000"));
}

#[test]
fn sizes_as_proxmox_writes_them() {
    for (text, bytes) in [
        ("32G", Some(32 << 30)),
        ("512M", Some(512 << 20)),
        ("2T", Some(2 << 40)),
        ("4", Some(4)),
        ("x", None),
    ] {
        assert_eq!(config::size_bytes(text), bytes, "{text}");
    }
}
