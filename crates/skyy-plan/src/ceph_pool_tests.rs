//! Pools: made, changed, given up, and above all left alone.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn owner() -> PoolOwner {
    PoolOwner { installation: "prod".into(), namespace: "tenants".into(), name: "vm-gpu".into() }
}

const MARK: &str = "skyy:prod/tenants/vm-gpu";

fn spec(value: Value) -> CephPoolSpec {
    let mut whole = json!({"cluster": "main"});
    for (name, value) in value.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn pool(applications: &[&str]) -> Pool {
    Pool {
        id: 2,
        name: "vm-gpu".into(),
        kind: "replicated".into(),
        size: 3,
        min_size: 2,
        crush_rule: "replicated_rule".into(),
        applications: applications.iter().map(|name| (*name).to_owned()).collect(),
        quota_bytes: 0,
        quota_objects: 0,
        stored_bytes: Some(5 << 40),
        stored_objects: Some(1_000),
    }
}

#[track_caller]
fn check(wanted: Value, seen: Option<&Pool>, goal: Goal, expect: &str) {
    let said = match plan("vm-gpu", &spec(wanted), seen, &owner(), goal, false) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(plan)) => plan.to_string(),
        Err(refusal) => format!("{}: {refusal}", refusal.reason),
    };
    assert_eq!(said, expect);
}

#[test]
fn a_pool_is_made_changed_and_left_alone() {
    check(json!({}), None, Goal::Present, "create pool vm-gpu: size 3, for rbd");
    check(
        json!({"size": 2, "quota": {"bytes": "4Ti"}, "application": "cephfs"}),
        None,
        Goal::Present,
        "create pool vm-gpu: size 2, for cephfs, quota 4 TiB",
    );
    check(json!({}), Some(&pool(&["rbd", MARK])), Goal::Present, "nothing");
    check(
        json!({"quota": {"bytes": "6Ti", "objects": 5000}, "size": 2, "minSize": 1, "crushRule": "ssd"}),
        Some(&pool(&["rbd", MARK])),
        Goal::Present,
        "pool vm-gpu: size 3 → 2, minSize 2 → 1, crushRule replicated_rule → ssd, quota none → 6 TiB, quota of objects none → 5000",
    );
}

#[test]
fn what_is_not_ours_is_refused_or_adopted_with_everything_else_kept() {
    check(
        json!({"quota": {"bytes": "6Ti"}}),
        Some(&pool(&["rbd"])),
        Goal::Present,
        "NotOwned: pool vm-gpu already exists, not made by Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change (quota none → 6 TiB).",
    );
    check(
        json!({"adopt": true}),
        Some(&pool(&["rbd", "skyy:prod/other/x"])),
        Goal::Present,
        "Conflict: pool vm-gpu carries the mark skyy:prod/other/x of another object. Release it there first.",
    );
    let adopted = plan(
        "vm-gpu",
        &spec(json!({"adopt": true})),
        Some(&pool(&["rbd", "backup"])),
        &owner(),
        Goal::Present,
        false,
    );
    let adopted = adopted.unwrap().unwrap();
    let Step::Update { settings, .. } = &adopted.step else { panic!("{adopted}") };
    let all = ["rbd", "backup", MARK].map(str::to_owned).to_vec();
    assert_eq!(*settings, Settings { applications: Some(all), ..Settings::default() });
}

#[test]
fn only_an_empty_pool_of_ours_is_deleted() {
    let mut ours = pool(&["rbd", MARK]);
    check(
        json!({}),
        Some(&ours),
        Goal::Absent,
        "Refused: pool vm-gpu holds 5 TiB in 1000 object(s) and is not deleted. Empty it, or set spec.deletionPolicy: Retain to leave it.",
    );
    ours.stored_bytes = Some(0);
    check(
        json!({}),
        Some(&ours),
        Goal::Absent,
        "Refused: pool vm-gpu holds 0 B in 1000 object(s) and is not deleted. Empty it, or set spec.deletionPolicy: Retain to leave it.",
    );
    ours.stored_objects = None;
    check(
        json!({}),
        Some(&ours),
        Goal::Absent,
        "EndpointUnavailable: Ceph does not say what pool vm-gpu holds; it is not deleted before that is known.",
    );
    ours.stored_objects = Some(0);
    check(json!({}), Some(&ours), Goal::Absent, "delete pool vm-gpu, which is empty");
    ours.applications = vec!["rbd".into()];
    check(json!({}), Some(&ours), Goal::Absent, "nothing");
    check(json!({}), None, Goal::Absent, "nothing");
}

#[test]
fn what_would_harm_the_data_is_refused() {
    let ours = pool(&["rbd", MARK]);
    check(
        json!({"size": 1}),
        Some(&ours),
        Goal::Present,
        "Refused: pool vm-gpu holds data; with spec.size: 1 the loss of one disk would lose some of it.",
    );
    check(
        json!({"quota": {"bytes": "1Ti"}}),
        Some(&ours),
        Goal::Present,
        "Refused: pool vm-gpu holds 5497558138880 bytes already; with spec.quota.bytes at 1099511627776 Ceph would refuse all writes.",
    );
    check(
        json!({"quota": {"bytes": "many"}}),
        Some(&ours),
        Goal::Present,
        "Invalid: spec.quota.bytes: \"many\" is not a size: write a number with Ki, Mi, Gi or Ti (or k, M, G, T), such as 32Gi",
    );
    let erasure = Pool { kind: "erasure".into(), ..ours };
    check(
        json!({}),
        Some(&erasure),
        Goal::Present,
        "Invalid: pool vm-gpu is erasure, and a CephPool describes a replicated one.",
    );
    let crowded = pool(&["a", "b", "c", "d"]);
    check(
        json!({"adopt": true}),
        Some(&crowded),
        Goal::Present,
        "Refused: pool vm-gpu has 4 applications; Ceph takes 4, and ours need a place. Disable one.",
    );
}

#[test]
fn a_half_made_pool_of_ours_is_finished() {
    let half = Pool { stored_bytes: Some(0), stored_objects: Some(0), size: 2, ..pool(&[]) };
    let finish = |begun| plan("vm-gpu", &spec(json!({})), Some(&half), &owner(), Goal::Present, begun);
    assert_eq!(finish(false).unwrap_err().reason, Reason::NotOwned);
    assert_eq!(
        finish(true).unwrap().unwrap().to_string(),
        "pool vm-gpu: take it over, size 2 → 3, application rbd"
    );
    let used = Pool { stored_objects: Some(1), ..half };
    let refused = plan("vm-gpu", &spec(json!({})), Some(&used), &owner(), Goal::Present, true);
    assert_eq!(refused.unwrap_err().reason, Reason::NotOwned);
}

#[test]
fn a_long_name_makes_a_short_mark() {
    let long = PoolOwner { name: "n".repeat(253), ..owner() };
    assert!(long.mark().len() <= APPLICATION_LIMIT && long.mark().starts_with("skyy:prod/~"));
    assert_eq!(owner().mark(), MARK);
}

#[test]
fn an_answer_is_read() {
    let raw = json!({"pool": 2, "pool_name": "vms", "type": "replicated", "size": 2, "min_size": 1,
        "crush_rule": "by-osd", "quota_max_bytes": 1_073_741_824_u64, "quota_max_objects": 0,
        "application_metadata": ["rbd"], "pg_status": {"active+clean": 8}, "stats": {"stored": {"latest": 459_280.0}, "objects": {"latest": 2}}});
    let pool = Pool::from_raw(raw.as_object().unwrap());
    assert_eq!((pool.stored_bytes, pool.stored_objects), (Some(459_280), Some(2)));
    assert_eq!((pool.size, pool.min_size, pool.quota_bytes), (2, 1, 1 << 30));
    assert_eq!(pool.applications, ["rbd"]);
    for status in [json!({"active+clean": 7, "unknown": 1}), json!({}), json!(null)] {
        let mut young = raw.clone();
        young["pg_status"] = status;
        assert_eq!(Pool::from_raw(young.as_object().unwrap()).stored_objects, None);
    }
    let without = json!({"pool_name": "vms"});
    assert_eq!(Pool::from_raw(without.as_object().unwrap()).stored_bytes, None);
}

/// What Ceph makes of a call.
fn carry_out(step: &Step, seen: Option<Pool>) -> Option<Pool> {
    let (mut pool, settings) = match step {
        Step::Delete { .. } => return None,
        Step::Create { pool: name, settings, .. } => {
            let fresh =
                Pool { stored_bytes: Some(0), stored_objects: Some(0), name: name.clone(), ..pool(&[]) };
            (fresh, settings)
        }
        Step::Update { settings, .. } => (seen.unwrap(), settings),
    };
    pool.size = settings.size.unwrap_or(pool.size);
    pool.min_size = settings.min_size.unwrap_or(pool.min_size);
    pool.quota_bytes = settings.quota_bytes.unwrap_or(pool.quota_bytes);
    pool.quota_objects = settings.quota_objects.unwrap_or(pool.quota_objects);
    if let Some(rule) = &settings.crush_rule {
        pool.crush_rule.clone_from(rule);
    }
    if let Some(applications) = &settings.applications {
        pool.applications.clone_from(applications);
    }
    Some(pool)
}

prop_compose! {
    fn some_pool()(
        size in 1..4_u32, min_size in 1..4_u32, marks in 0..4_usize, quota_bytes in 0..3_u64, quota_objects in 0..3_u64,
        stored in prop::option::of(0..3_u64), rule in 0..2_usize, kind in prop::bool::weighted(0.9),
    ) -> Pool {
        let applications: [&[&str]; 4] = [&[], &["rbd"], &["rbd", MARK], &["cephfs", "skyy:prod/o/x"]];
        Pool {
            size, min_size, quota_bytes, quota_objects, stored_bytes: stored, stored_objects: stored,
            crush_rule: ["replicated_rule", "ssd"][rule].into(),
            kind: if kind { "replicated" } else { "erasure" }.into(),
            ..pool(applications[marks])
        }
    }
}

prop_compose! {
    fn some_spec()(
        size in 1..4_u32, min_size in prop::option::of(1..4_u32), bytes in prop::option::of(1..4_u64),
        objects in prop::option::of(1..4_u64), rule in prop::option::of(0..2_usize), adopt in any::<bool>(),
    ) -> CephPoolSpec {
        let mut quota = json!({});
        if let Some(bytes) = bytes {
            quota["bytes"] = bytes.to_string().into();
        }
        let mut wanted = spec(json!({"adopt": adopt, "size": size, "quota": quota}));
        wanted.min_size = min_size;
        wanted.quota.objects = objects;
        wanted.crush_rule = rule.map(|rule| ["replicated_rule", "ssd"][rule].to_owned());
        wanted
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_call_is_enough_and_others_are_not_touched(
        seen in prop::option::of(some_pool()), wanted in some_spec(), absent in any::<bool>(), begun in any::<bool>(),
    ) {
        let goal = if absent { Goal::Absent } else { Goal::Present };
        let first = plan("vm-gpu", &wanted, seen.as_ref(), &owner(), goal, begun);
        let Ok(Some(first)) = first else { return Ok(()) };
        if let Some(seen) = &seen {
            let ours = seen.applications.iter().any(|one| one == MARK);
            let empty = seen.stored_objects == Some(0);
            prop_assert!(ours || (!absent && (wanted.adopt || (begun && empty && seen.applications.is_empty()))));
            prop_assert!(!absent || empty, "a pool with data was deleted");
            if let Step::Update { settings, .. } = &first.step {
                let kept = settings.applications.as_ref().unwrap_or(&seen.applications);
                prop_assert!(seen.applications.iter().all(|one| kept.contains(one)));
            }
        }
        let after = carry_out(&first.step, seen);
        prop_assert_eq!(plan("vm-gpu", &wanted, after.as_ref(), &owner(), goal, begun), Ok(None));
    }
}
