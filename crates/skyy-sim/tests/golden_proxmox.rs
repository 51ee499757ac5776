//! The simulated Proxmox against the recorded exchanges of the real one.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod proxmox_replay;

use std::time::Duration;

use proxmox_replay::{Lab, Replay, golden_folder};
use skyy_sim::proxmox::Preset;

/// Lines that differ, each with its reason. One that starts to agree must be taken out.
const EXCEPTIONS: &[(&str, u64, &str)] = &[
    ("s23_vm_clone", 29, "the stub for kvm could not mirror a running disk, so the recorded clone failed"),
    ("s25_vm_resize", 32, "the stub for kvm did not grow the image of the running guest"),
    ("s90_race", 8, "the recording chose the names by chance; the replay sends none"),
];

/// What happened in the laboratory between the recorded lines.
fn stage(file: &str, lab: &Lab, seq: u64) {
    match (file, seq) {
        // The recording's guest ignored the first shutdowns.
        ("s30_tasks", 3) => drop(lab.pve.set_guest_deaf(320, true)),
        // The recording waited for what the line before had begun.
        ("s31_tasks_unknown_list", 10 | 12) => lab.clock.advance(Duration::from_secs(5)),
        ("c04_ha", 14 | 19 | 24) => lab.clock.advance(Duration::from_secs(30)),
        ("c05_node_down", 4) => drop(lab.pve.node_stop_daemons("pve3")),
        ("c05_node_down", 5) => drop(lab.pve.node_cut("pve3")),
        ("c05_node_down", 34) => drop(lab.pve.node_up("pve3")),
        ("c06_no_quorum" | "c07_no_quorum_tasks", 5) => {
            lab.pve.node_cut("pve2");
            lab.pve.node_cut("pve3");
        }
        ("c06_no_quorum", 34) | ("c07_no_quorum_tasks", 25) => {
            lab.pve.node_up("pve2");
            lab.pve.node_up("pve3");
        }
        _ => {}
    }
}

async fn check(file: &str) {
    let Some(folder) = golden_folder() else { return };
    let preset = if file.starts_with('c') { Preset::GoldenCluster } else { Preset::Golden };
    let lab = Lab::start(preset).await;
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect(name);
    let mut replay = Replay::new(&lab);
    if file == "s61_network_invalid" {
        // Recorded after s60 had written the interfaces file once.
        Replay::new(&lab).run(&read("s60_network"), |_, _| {}).await;
    }
    let outcome = replay.run(&read(file), |lab, seq| stage(file, lab, seq)).await;
    let known: Vec<u64> = EXCEPTIONS.iter().filter(|e| e.0 == file).map(|e| e.1).collect();
    let news: Vec<String> = outcome
        .differed
        .iter()
        .filter(|d| !known.contains(&d.seq))
        .map(|d| format!("{file}:{} {}", d.seq, d.what))
        .collect();
    let healed: Vec<&u64> = known.iter().filter(|k| outcome.agreed.contains(k)).collect();
    println!(
        "{file}: {} agreed, {} differed as listed, {} not compared",
        outcome.agreed.len(),
        outcome.differed.len() - news.len(),
        outcome.skipped
    );
    assert!(news.is_empty(), "{} differ:\n{}", news.len(), news.join("\n"));
    assert!(healed.is_empty(), "{file}: listed as exceptions but they agree: {healed:?}");
}

macro_rules! recordings {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            check(stringify!($name)).await;
        })*
    };
}

recordings!(
    s01_auth_token,
    s02_auth_ticket,
    s03_auth_partial,
    s04_auth_partial2,
    s10_node_empty,
    s11_resources,
    s20_vm_create,
    s20b_vm_create_bad,
    s21_vm_config,
    s22_vm_invalid,
    s22b_vm_invalid,
    s23_vm_clone,
    s24_vm_template,
    s25_vm_resize,
    s26_vm_power,
    s27_vm_pending_tags,
    s28_vm_snapshot,
    s29_vm_delete,
    s2a_vm_agent_cloudinit,
    s30_tasks,
    s31_tasks_unknown_list,
    s40_pci,
    s50_storage,
    s60_network,
    s61_network_invalid,
    s70_apt,
    s80_access,
    s81_pools_tags,
    s90_race,
    s95_node_misc,
    s96_transport,
    c01_cluster_read,
    c03_migrate,
    c04_ha,
    c05_node_down,
    c06_no_quorum,
    c07_no_quorum_tasks,
    c99_reboot_member,
);
