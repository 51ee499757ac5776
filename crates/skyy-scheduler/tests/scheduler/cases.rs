//! One behaviour per case: hosts, promises and a request in, the rendered table out.

use expect_test::{Expect, expect};
use skyy_scheduler::{DuplicateHost, Explanation, Inventory, Policy, Weights, schedule, schedule_many};

use crate::text::{host, inventory, request, reservation};

#[track_caller]
fn check(hosts: &[&str], reserved: &[&str], asked: &str, expected: Expect) {
    let reserved: Vec<_> = reserved.iter().map(|line| reservation(line)).collect();
    let decision = schedule(&inventory(hosts), &reserved, &request(asked));
    expected.assert_eq(&format!("{}{}\n", decision.render(), decision.summary));
}

#[track_caller]
fn check_many(hosts: &[&str], asked: &[&str], expected: &[Option<&str>]) {
    let asked: Vec<_> = asked.iter().map(|line| request(line)).collect();
    let decisions = schedule_many(&inventory(hosts), &[], &asked);
    let chosen: Vec<_> = decisions
        .iter()
        .map(|decision| decision.chosen.as_ref().map(skyy_scheduler::HostName::as_str))
        .collect();
    assert_eq!(chosen, expected);
}

#[test]
fn the_question_why_there_is_answered() {
    check(
        &[
            "puma-010 gpu:rtx4090=0/4 run:16c64g shared:u24 label:gpu=true store:vm=shared,900g",
            "puma-007 gpu:rtx4090=3/4 run:40c100g shared:u24 label:gpu=true store:vm=shared,900g",
            "puma-006 cordoned:maintenance gpu:rtx4090=4/4 label:gpu=true store:vm=shared,900g",
            "puma-005 gpu:rtx4090=2/4 run:30c60g here:u24 label:gpu=true store:vm=shared,900g",
            "puma-001 store:vm=shared,900g",
        ],
        &[],
        "gpu-worker-0 8c 32g gpu:rtx4090=1 from:u24 label:gpu=true spread:gpu-worker/host disk:vm=200g",
        expect![[r#"
            gpu-worker-0 → puma-005   policy Rules, margin 0.20 over puma-007
              host      fits  why not                   balance  spread  locality  gpu   total
              puma-005  yes                             0.64     1.00    1.00      0.75  0.82
              puma-007  yes                             0.48     1.00    0.50      0.50  0.62
              puma-001  no    selector: no label gpu, must be "true"; rtx4090: none on this host
              puma-006  no    cordoned (maintenance)
              puma-010  no    rtx4090: 0 of 4 free
            gpu-worker-0 goes to puma-005 (score 0.82, 0.20 ahead of puma-007; 2 of 5 hosts fit)
        "#]],
    );
}

#[test]
fn memory_counts_running_guests_and_promises_not_stopped_ones_and_templates() {
    check(
        &["a run:4c236g stop:64c200g tmpl:8c200g", "b 32c 128g run:4c100g keep:10g"],
        &["other-0 2c 8g -> a"],
        "big 4c 32g",
        expect![[r#"
            big → nowhere yet   policy Rules
              host  fits  why not                   total
              a     no    memory: needs 32 GiB, 12 GiB of 256 GiB free (running guests 236 GiB, reserved 8 GiB)
              b     no    memory: needs 32 GiB, 18 GiB of 118 GiB free (running guests 100 GiB), 10 GiB more kept for the host
            big waits: no host fits. a: memory: needs 32 GiB, 12 GiB of 256 GiB free (running guests 236 GiB, reserved 8 GiB); b: memory: needs 32 GiB, 18 GiB of 118 GiB free (running guests 100 GiB), 10 GiB more kept for the host.
        "#]],
    );
    check(
        &["a run:4c220g stop:64c200g tmpl:8c200g"],
        &[],
        "fits 4c 36g",
        expect![[r#"
            fits → a   policy Rules, no other host fits
              host  fits  why not  balance  total
              a     yes            0.00     0.00
            fits goes to a (the only host)
        "#]],
    );
}

#[test]
fn a_promise_stops_counting_once_its_guest_is_seen_running() {
    check(
        &["a run:4c200g"],
        &["a/0 4c 200g -> a"],
        "next 4c 56g",
        expect![[r#"
            next → a   policy Rules, no other host fits
              host  fits  why not  balance  total
              a     yes            0.00     0.00
            next goes to a (the only host)
        "#]],
    );
    check(
        &["a stop:4c200g"],
        &["a/0 4c 200g -> a"],
        "next 4c 57g",
        expect![[r#"
        next → nowhere yet   policy Rules
          host  fits  why not                   total
          a     no    memory: needs 57 GiB, 56 GiB of 256 GiB free (running guests 0 B, reserved 200 GiB)
        next waits: no host fits. a: memory: needs 57 GiB, 56 GiB of 256 GiB free (running guests 0 B, reserved 200 GiB).
    "#]],
    );
}

#[test]
fn cores_follow_the_ratio_and_the_width_of_the_host() {
    check(
        &["a 8c run:24c8g", "b 8c cpu:100 run:6c8g", "c 4c"],
        &["x 4c 4g -> a"],
        "wide 6c 4g",
        expect![[r#"
            wide → nowhere yet   policy Rules
              host  fits  why not                   total
              a     no    cores: needs 6, 4 of 32 free (running guests 24, reserved 4)
              b     no    cores: needs 6, 2 of 8 free (running guests 6)
              c     no    cores: needs 6 in one guest, the host has 4
            wide waits: no host fits. c: cores: needs 6 in one guest, the host has 4; b: cores: needs 6, 2 of 8 free (running guests 6); a: cores: needs 6, 4 of 32 free (running guests 24, reserved 4).
        "#]],
    );
}

#[test]
fn storages_must_exist_take_the_content_and_have_room() {
    check(
        &[
            "a store:vm=shared,300g",
            "b store:lvm=local,900g",
            "c store:vm=shared,350g,iso",
            "d store:vm=shared,400g",
        ],
        &["x 1c 1g disk:vm=150g -> b"],
        "db 1c 1g disk:vm=100g disk:vm=100g",
        expect![[r#"
            db → d   policy Rules, no other host fits
              host  fits  why not                   balance  total
              d     yes                             0.99     0.99
              a     no    storage vm: needs 200 GiB, 150 GiB free
              b     no    storage vm: not on this host
              c     no    storage vm: does not take content images
            db goes to d (the only one of 4 hosts that fits)
        "#]],
    );
    check(
        &["a store:lvm=local,300g", "b store:lvm=local,300g"],
        &["x 1c 1g disk:lvm=150g -> b"],
        "db 1c 1g disk:lvm=200g",
        expect![[r#"
            db → a   policy Rules, no other host fits
              host  fits  why not                   balance  total
              a     yes                             0.99     0.99
              b     no    storage lvm: needs 200 GiB, 150 GiB free
            db goes to a (the only one of 2 hosts that fits)
        "#]],
    );
    check(
        &["a store:data=local,10g,images"],
        &[],
        "ct 1c 1g rootdir:data=5g",
        expect![[r#"
        ct → nowhere yet   policy Rules
          host  fits  why not                   total
          a     no    storage data: does not take content rootdir
        ct waits: no host fits. a: storage data: does not take content rootdir.
    "#]],
    );
}

#[test]
fn bridges_host_and_selector_are_obeyed() {
    check(
        &[
            "a br:vmbr1 label:gpu=true label:rack=r1",
            "b label:gpu=true",
            "c br:vmbr1 label:gpu=false label:old",
            "d br:vmbr1 label:gpu=true label:rack=r2",
            "e br:vmbr1 label:gpu=true label:rack=r3 label:old",
        ],
        &[],
        "web 1c 1g br:vmbr1 label:gpu=true exists:rack notin:rack=r2 absent:old",
        expect![[r#"
            web → a   policy Rules, no other host fits
              host  fits  why not                   balance  total
              a     yes                             0.99     0.99
              b     no    selector: rack exists, no such label; bridge vmbr1: not on this host
              c     no    selector: label gpu is "false", must be "true"; selector: rack exists, no such label; selector: old does not exist, label is ""
              d     no    selector: rack not in (r2), label is "r2"
              e     no    selector: old does not exist, label is ""
            web goes to a (the only one of 5 hosts that fits)
        "#]],
    );
    check(
        &["a", "b"],
        &[],
        "pinned 1c 1g host:b",
        expect![[r#"
        pinned → b   policy Rules, no other host fits
          host  fits  why not              balance  total
          b     yes                        0.99     0.99
          a     no    host b is asked for
        pinned goes to b (the only one of 2 hosts that fits)
    "#]],
    );
    check(
        &["a", "b"],
        &[],
        "lost 1c 1g host:z in:rack",
        expect![[r#"
        lost → nowhere yet   policy Rules
          host  fits  why not                   total
          a     no    host z is asked for; selector: rack in (), no such label
          b     no    host z is asked for; selector: rack in (), no such label
        lost waits: no host fits. a, b: host z is asked for.
    "#]],
    );
}

#[test]
fn gpus_are_counted_and_promised() {
    check(
        &["a gpu:rtx4090=2/4", "b gpu:a100=4/4", "c gpu:rtx4090=1/4"],
        &["x 1c 1g gpu:rtx4090=1 -> a", "y 1c 1g gpu:rtx4090=1 -> c"],
        "train 4c 8g gpu:rtx4090=2",
        expect![[r#"
            train → nowhere yet   policy Rules
              host  fits  why not                   total
              a     no    rtx4090: needs 2, 1 of 4 free
              b     no    rtx4090: none on this host
              c     no    rtx4090: 0 of 4 free
            train waits: no host fits. c: rtx4090: 0 of 4 free; a: rtx4090: needs 2, 1 of 4 free; b: rtx4090: none on this host.
        "#]],
    );
}

#[test]
fn a_guest_without_gpu_leaves_gpu_hosts_alone_and_gpus_are_packed() {
    check_many(&["gpu-1 gpu:x=4/4", "plain-1 run:40c180g"], &["web 4c 8g"], &[Some("plain-1")]);
    check_many(&["gpu-1 gpu:x=4/4", "gpu-2 gpu:x=2/4 run:8c64g"], &["train 4c 8g gpu:x=1"], &[Some("gpu-2")]);
    // Better a GPU host than none.
    check_many(&["gpu-1 gpu:x=4/4", "plain-1 run:40c256g"], &["web 4c 8g"], &[Some("gpu-1")]);
}

#[test]
fn spread_and_anti_affinity_are_hard_only_where_asked() {
    let hosts = ["a zone:east run:1c1g@web", "b zone:east stop:1c1g@web", "c zone:west run:1c1g@web", "d"];
    check(
        &hosts,
        &[],
        "web-3 1c 1g spread:web/host/max1",
        expect![[r#"
        web-3 → d   policy Rules, no other host fits
          host  fits  why not                   balance  spread  total
          d     yes                             0.99     1.00    1.00
          a     no    spread of web: host a has 1, at most 1 each
          b     no    spread of web: host b has 1, at most 1 each
          c     no    spread of web: host c has 1, at most 1 each
        web-3 goes to d (the only one of 4 hosts that fits)
    "#]],
    );
    check(
        &hosts,
        &["web-9 1c 1g spread:web/host -> c"],
        "web-3 1c 1g spread:web/zone/skew1",
        expect![[r#"
            web-3 → b   policy Rules, margin 0.00 over a
              host  fits  why not                   balance  spread  total
              b     yes                             0.99     0.33    0.71
              a     yes                             0.98     0.33    0.71
              c     yes                             0.98     0.33    0.70
              d     no    spread of web by zone: the host is in no zone
            web-3 goes to b (score 0.71, level with a; 3 of 4 hosts fit)
        "#]],
    );
    check(
        &hosts,
        &[],
        "web-3 1c 1g apart:web/zone",
        expect![[r#"
        web-3 → nowhere yet   policy Rules
          host  fits  why not                   total
          a     no    kept apart from web: zone east has 2
          b     no    kept apart from web: zone east has 2
          c     no    kept apart from web: zone west has 1
          d     no    spread of web by zone: the host is in no zone
        web-3 waits: no host fits. a, b: kept apart from web: zone east has 2; c: kept apart from web: zone west has 1; d: spread of web by zone: the host is in no zone.
    "#]],
    );
    check_many(
        &["a", "b", "c"],
        &[
            "w0 1c 1g spread:w/host",
            "w1 1c 1g spread:w/host",
            "w2 1c 1g spread:w/host",
            "w3 1c 1g spread:w/host",
        ],
        &[Some("a"), Some("b"), Some("c"), Some("a")],
    );
    check_many(
        &["a", "b"],
        &["w0 1c 1g apart:w/host", "w1 1c 1g apart:w/host", "w2 1c 1g apart:w/host"],
        &[Some("a"), Some("b"), None],
    );
}

#[test]
fn a_full_host_still_holds_the_skew_and_an_unfit_kind_of_host_does_not() {
    // "full" has room for nothing, yet could take the guest: the skew waits for it.
    check(
        &["a run:1c1g@w", "full run:1c256g"],
        &[],
        "w-1 1c 1g spread:w/host/skew1",
        expect![[r#"
        w-1 → nowhere yet   policy Rules
          host  fits  why not                   total
          a     no    spread of w: host a has 1, the emptiest host 0, max skew 1
          full  no    memory: needs 1 GiB, 0 B of 256 GiB free (running guests 256 GiB)
        w-1 waits: no host fits. full: memory: needs 1 GiB, 0 B of 256 GiB free (running guests 256 GiB); a: spread of w: host a has 1, the emptiest host 0, max skew 1.
    "#]],
    );
    // A closed host is no domain: two replicas may not wait for a maintenance to end.
    check_many(&["a run:1c1g@w", "closed maintenance"], &["w-1 1c 1g spread:w/host/skew1"], &[Some("a")]);
    // "plain" has no such device and never will take one: it is not a domain.
    check_many(
        &["a gpu:x=3/4 run:1c1g@w", "plain"],
        &["w-1 1c 1g gpu:x=1 spread:w/host/skew1"],
        &[Some("a")],
    );
}

#[test]
fn a_template_nearby_is_preferred_and_can_be_required() {
    check(
        &["a", "b shared:u24", "c here:u24"],
        &[],
        "vm 1c 1g from:u24",
        expect![[r#"
        vm → c   policy Rules, margin 0.17 over b
          host  fits  why not  balance  locality  total
          c     yes            0.99     1.00      0.99
          b     yes            0.99     0.50      0.83
          a     yes            0.99     0.00      0.66
        vm goes to c (score 0.99, 0.17 ahead of b; 3 of 3 hosts fit)
    "#]],
    );
    check(
        &["a", "b run:1c200g shared:u24"],
        &[],
        "vm 1c 1g only-from:u24",
        expect![[r#"
        vm → b   policy Rules, no other host fits
          host  fits  why not                   balance  locality  total
          b     yes                             0.21     0.50      0.31
          a     no    template u24: no copy on this host or on storage it shares
        vm goes to b (the only one of 2 hosts that fits)
    "#]],
    );
}

#[test]
fn closed_hosts_say_so() {
    check(
        &["a offline run:64c512g", "b cordoned", "c maintenance", "d quorum-only version-unknown"],
        &[],
        "vm 1c 1g",
        expect![[r#"
            vm → nowhere yet   policy Rules
              host  fits  why not                   total
              a     no    offline
              b     no    cordoned
              c     no    in maintenance
              d     no    quorum-only node; its version is unknown
            vm waits: no host fits. b: cordoned; c: in maintenance; a: offline; d: quorum-only node.
        "#]],
    );
    check(
        &[],
        &[],
        "vm 1c 1g",
        expect![[r#"
        vm → nowhere yet   policy Rules
          no hosts are known
        vm waits: no hosts are known
    "#]],
    );
}

#[test]
fn a_moving_guest_does_not_compete_with_itself() {
    let hosts = ["a cordoned run:8c200g", "b run:8c200g"];
    let moving = |line: &str, hosts: &[&str]| {
        schedule(&inventory(hosts), &[], &request(line)).chosen.map(|host| host.to_string())
    };
    assert_eq!(
        moving("b/1 8c 250g host:b moving", &hosts),
        None,
        "word numbers start at 0, so this is another guest"
    );
    assert_eq!(moving("b/0 8c 250g host:b moving", &hosts), Some("b".to_owned()));
    assert_eq!(moving("b/0 8c 250g host:b", &hosts), None);
}

#[test]
fn ties_go_to_the_lower_name() {
    check(
        &["b", "a", "c"],
        &[],
        "vm 1c 1g",
        expect![[r#"
            vm → a   policy Rules, margin 0.00 over b
              host  fits  why not  balance  total
              a     yes            0.99     0.99
              b     yes            0.99     0.99
              c     yes            0.99     0.99
            vm goes to a (score 0.99, level with b; 3 of 3 hosts fit)
        "#]],
    );
}

#[test]
fn a_name_given_twice_is_refused() {
    let twice = Inventory::new([host("a 4c"), host("b"), host("a 8c")]);
    assert_eq!(twice, Err(DuplicateHost { name: "a".into() }));
}

#[test]
fn weights_change_the_choice_never_the_filters() {
    let hosts = inventory(&["near run:1c200g here:u24", "far", "closed maintenance here:u24"]);
    let chosen = |weights| {
        let decision = Policy::Rules { weights }.schedule(&hosts, &[], &request("vm 1c 1g from:u24"));
        decision.chosen.map(|host| host.to_string())
    };
    let none = Weights { balance: 0, spread: 0, locality: 0, gpu: 0 };
    assert_eq!(chosen(Weights { locality: 1, ..none }), Some("near".to_owned()));
    assert_eq!(chosen(Weights { balance: 1, ..none }), Some("far".to_owned()));
    assert_eq!(chosen(none), Some("far".to_owned()), "nothing weighs: the name decides");
}

#[test]
fn the_explanation_is_bounded_and_survives_serialisation() {
    let lines: Vec<String> = (0..60)
        .map(|number| {
            format!("host-{number:02} gpu:{}=0/4 quorum-only version-unknown maintenance", "x".repeat(300))
        })
        .collect();
    let hosts = inventory(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let asked = request(&format!("vm 1c 999g gpu:{}=1 br:none", "x".repeat(300)));
    let explanation = schedule(&hosts, &[], &asked).explanation(5);
    assert_eq!((explanation.candidates.len(), explanation.omitted), (5, 55));
    assert!(
        explanation.candidates.iter().all(|candidate| candidate.reasons.len() == 4),
        "three and how many more"
    );
    let json = serde_json::to_string(&explanation).unwrap();
    assert!(json.len() < 5 * 700 + 1_000, "{} bytes", json.len());
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    assert!(explanation.render().ends_with("  and 55 more hosts\n"));
}
