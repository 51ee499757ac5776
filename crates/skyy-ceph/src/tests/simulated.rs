//! The client against the simulated managers of both releases.

use std::sync::Arc;
use std::time::Duration;

use skyy_http::{Class, Endpoint, Sent, Trust};
use skyy_sim::ceph::{CephMgr, CephOptions, Health, PoolUsage, Release as SimRelease, TimingChange};
use skyy_sim::server::Running;
use skyy_sim::{Fault, Match, Sim};

use crate::{Ceph, CephError, Credentials, Done, NewPool, PoolChange, Release, limits};

const BOTH: [SimRelease; 2] = [SimRelease::V16, SimRelease::V18];

fn credentials(password: &str) -> Credentials {
    Credentials { username: "admin".into(), password: password.into() }
}

async fn sim(options: CephOptions) -> Running<CephMgr> {
    Sim::builder(Arc::new(CephMgr::new(options))).start().await.unwrap()
}

fn golden(release: SimRelease) -> CephOptions {
    // Answers come at once; only what takes longer than this becomes a task.
    let timing = TimingChange { answer_seconds: Some(0.0), ..TimingChange::default() };
    CephOptions { timing, ..CephOptions::golden(release) }
}

fn client(sim: &Running<CephMgr>) -> Ceph {
    client_with(sim, "dev-Passw0rd-1")
}

fn client_with(sim: &Running<CephMgr>, password: &str) -> Ceph {
    let http =
        Endpoint::new("ceph", "c").url(sim.url()).allow_plain_http(true).limits(limits()).build().unwrap();
    Ceph::new(http, credentials(password))
}

#[tokio::test]
async fn both_releases_are_read_whole() {
    for release in BOTH {
        let sim = sim(golden(release)).await;
        let client = client(&sim);
        let expected = if release == SimRelease::V16 { "16.2.15" } else { "18.2.7" };
        assert_eq!(client.summary().await.unwrap().release(), Release::parse(expected));
        let report = client.health().await.unwrap();
        assert_eq!((report.osds, report.osds_up, report.mons), (3, 3, 1));
        assert_eq!(client.health_full().await.unwrap(), report);
        assert_eq!(client.capacity().await.unwrap(), report.capacity);
        assert_eq!(client.list_osds().await.unwrap().len(), 3);
        assert_eq!(client.list_crush_rules().await.unwrap()[0].name, "replicated_rule");
        assert_eq!(client.list_erasure_profiles().await.unwrap()[0].k, 2);
        assert_eq!(client.list_pools().await.unwrap().len(), 1);
        assert_eq!(client.fsid().await.unwrap().len(), 36);
        assert_eq!(client.pool("nopool").await.unwrap(), None);
        assert_eq!(sim.counts().path("POST", "/api/auth"), 1);
    }
}

#[tokio::test]
async fn a_pool_lives_and_dies() {
    for release in BOTH {
        let sim = sim(golden(release)).await;
        let client = client(&sim);
        let wanted = NewPool {
            application_metadata: vec!["rbd".into(), "skyy-mark".into()],
            quota_max_bytes: Some(1 << 30),
            ..NewPool::replicated("vms", 8, 2)
        };
        client.create_pool(&wanted).await.unwrap();
        sim.product().advance(Duration::from_mins(1));
        let pool = client.pool("vms").await.unwrap().unwrap();
        assert_eq!((pool.size, pool.quota_max_bytes), (2, 1 << 30));
        assert_eq!(pool.application_metadata, ["rbd", "skyy-mark"]);
        assert!(matches!(client.create_pool(&wanted).await.unwrap_err(), CephError::PoolExists(_)));

        let change = PoolChange {
            quota_max_bytes: Some(2 << 30),
            quota_max_objects: Some(1000),
            application_metadata: Some(vec!["rbd".into()]),
            ..PoolChange::default()
        };
        client.change_pool("vms", &change).await.unwrap();
        sim.product().advance(Duration::from_mins(1));
        let pool = client.pool("vms").await.unwrap().unwrap();
        assert_eq!((pool.quota_max_bytes, pool.quota_max_objects), (2 << 30, 1000));
        assert_eq!(pool.application_metadata, ["rbd"]);

        let usage = PoolUsage { name: "vms".into(), stored_bytes: Some(4096), objects: Some(1) };
        assert!(sim.product().set_pool_usage(&usage));
        let stats = client.pool("vms").await.unwrap().unwrap().stats;
        assert_eq!((stats.stored, stats.objects), (4096, 1));

        client.delete_pool("vms").await.unwrap();
        assert_eq!(client.pool("vms").await.unwrap(), None);
        assert_eq!(client.delete_pool("vms").await.unwrap(), Done::Now, "also where there is none");

        let bad = NewPool { rule_name: Some("nope".into()), ..NewPool::replicated("other", 8, 2) };
        let refusal = client.create_pool(&bad).await.unwrap_err();
        assert!(
            matches!(&refusal, CephError::Refused { component, .. } if component == "pool"),
            "{refusal:?}"
        );
        let missing = client.change_pool("nopool", &change).await.unwrap_err();
        assert!(matches!(missing, CephError::NotFound { .. }), "{missing:?}");
    }
}

#[tokio::test]
async fn what_takes_long_is_followed_by_looking() {
    let timing =
        TimingChange { create_seconds: Some(20.0), answer_seconds: Some(0.0), ..TimingChange::default() };
    let sim = sim(CephOptions { timing, ..CephOptions::golden(SimRelease::V18) }).await;
    let client = client(&sim);
    let pool = NewPool { application_metadata: vec!["rbd".into()], ..NewPool::replicated("vms", 8, 2) };
    assert_eq!(client.create_pool(&pool).await.unwrap(), Done::Later);
    assert_eq!(client.pool("vms").await.unwrap(), None);
    assert!(client.tasks("pool/create").await.unwrap().is_running("pool/create", "vms"));
    sim.product().advance(Duration::from_secs(30));
    assert_eq!(client.pool("vms").await.unwrap().unwrap().application_metadata, ["rbd"]);
    assert!(client.tasks("pool/create").await.unwrap().last("pool/create", "vms").unwrap().success);
}

#[tokio::test]
async fn health_names_its_reasons() {
    let sim = sim(golden(SimRelease::V18)).await;
    let health: Health = serde_json::from_value(serde_json::json!({
        "status": "HEALTH_WARN",
        "checks": [{"type": "OSD_DOWN", "severity": "HEALTH_WARN", "message": "1 osds down"}],
    }))
    .unwrap();
    sim.product().set_health(Some(health));
    let report = client(&sim).health().await.unwrap();
    assert_eq!(report.health.status, "HEALTH_WARN");
    let check = &report.health.checks[0];
    assert_eq!((check.kind.as_str(), check.summary.message.as_str()), ("OSD_DOWN", "1 osds down"));
}

#[tokio::test]
async fn a_change_of_the_active_manager_is_survived_with_the_same_token() {
    let sim = sim(CephOptions { managers: 2, ..golden(SimRelease::V18) }).await;
    let client = client(&sim);
    client.summary().await.unwrap();
    sim.product().fail_over(Duration::from_secs(3));
    let error = client.summary().await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No), "{error:?}");
    sim.product().advance(Duration::from_secs(5));
    client.summary().await.unwrap();
    client
        .change_pool(".mgr", &PoolChange { quota_max_objects: Some(7), ..PoolChange::default() })
        .await
        .unwrap();
    assert!(client.http().base().as_str().ends_with("/_mgr/1"), "{}", client.http().base());
    assert_eq!(sim.counts().path("POST", "/api/auth"), 1);
}

#[tokio::test]
async fn a_wrong_password_does_not_disable_the_account() {
    let sim = sim(golden(SimRelease::V18)).await;
    let client = client_with(&sim, "wrong");
    for _ in 0..30 {
        assert_eq!(client.summary().await.unwrap_err().class(), Class::Auth);
    }
    assert!(client.set_credentials(credentials("dev-Passw0rd-1")));
    client.summary().await.unwrap();
    assert_eq!(sim.counts().path("POST", "/api/auth"), 2);
}

#[tokio::test]
async fn an_edited_user_costs_one_login() {
    for release in BOTH {
        let sim = sim(golden(release)).await;
        let client = client(&sim);
        client.summary().await.unwrap();
        sim.product().set_password("admin", "dev-Passw0rd-1");
        client.summary().await.unwrap();
        assert_eq!(sim.counts().path("POST", "/api/auth"), 2);
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_sent_again_and_tls_is_pinned() {
    let product = Arc::new(CephMgr::new(golden(SimRelease::V18)));
    let sim = Sim::builder(product).tls(true).start().await.unwrap();
    let pin = sim.fingerprint_sha256().unwrap().parse().unwrap();
    let http = Endpoint::new("ceph", "c")
        .url(sim.url())
        .trust(Trust::Pins(vec![pin]))
        .limits(limits())
        .build()
        .unwrap();
    let client = Ceph::new(http, credentials("dev-Passw0rd-1"));
    client.create_pool(&NewPool::replicated("vms", 8, 2)).await.unwrap();
    sim.product().advance(Duration::from_mins(1));
    sim.faults().add(Fault::answer_lost(Match::next("PUT", "/api/pool/*")));
    let change = PoolChange { quota_max_objects: Some(5), ..PoolChange::default() };
    let error = client.change_pool("vms", &change).await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::Maybe));
    assert_eq!(client.pool("vms").await.unwrap().unwrap().quota_max_objects, 5);
    assert_eq!(client.http().counters().snapshot().writes, 2);
}
