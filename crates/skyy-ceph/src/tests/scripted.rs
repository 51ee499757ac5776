//! Logins, fail-over, versions, refusals: what is sent, and how often.

use std::time::Duration;

use serde_json::json;
use skyy_http::{Class, Sent};

use super::server::{Reply, Server, client_of};
use crate::{Ceph, CephError, Credentials, Done, NewPool, PoolChange, Release};

fn summary() -> Reply {
    Reply::json(200, &json!({"version": "ceph version 18.2.7 (x) reef (stable)"}))
}

fn wrong_password() -> Reply {
    Reply::json(
        400,
        &json!({"detail": "Invalid credentials", "code": "invalid_credentials", "component": "auth"}),
    )
}

fn no_pool() -> Reply {
    Reply::refused(404, "The path 'No such pool' was not found.")
}

#[tokio::test]
async fn one_login_serves_all_calls_and_no_cookie_is_kept() {
    let server = Server::start([summary(), summary()]).await;
    let client = server.client();
    assert_eq!(client.summary().await.unwrap().release(), Release::parse("18.2.7"));
    client.clone().summary().await.unwrap();
    assert_eq!(server.calls(), ["POST /api/auth", "GET /api/summary", "GET /api/summary"]);
    let seen = server.seen();
    assert_eq!(seen[0].body, Some(json!({"username": "admin", "password": "s3cret-pw"})));
    for request in &seen[1..] {
        assert_eq!(request.headers["authorization"], "Bearer jwt-1");
        assert_eq!(request.headers["accept"], "application/vnd.ceph.api.v1.0+json");
        assert!(!request.headers.contains_key("cookie") && !request.headers.contains_key("content-type"));
    }
    assert_eq!(client.http().counters().snapshot().writes, 0, "a login changes nothing");
}

#[tokio::test]
async fn callers_at_once_log_in_once() {
    let server = Server::start(vec![summary(); 8]).await;
    let client = server.client();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.summary().await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(server.calls().iter().filter(|call| *call == "POST /api/auth").count(), 1);
}

#[tokio::test]
async fn a_refused_login_is_the_last_until_the_credentials_change() {
    let server = Server::start([summary()]).await;
    server.then_login(wrong_password());
    let client = server.client();
    let error = client.summary().await.unwrap_err();
    assert!(matches!(error, CephError::LoginRefused { .. }), "{error:?}");
    for _ in 0..20 {
        let error = client.summary().await.unwrap_err();
        assert!(matches!(error, CephError::LoginHeld { .. }), "{error:?}");
        assert_eq!((error.class(), error.sent()), (Class::Auth, Sent::No));
    }
    assert_eq!(server.calls(), ["POST /api/auth"]);
    let same = Credentials { username: "admin".into(), password: "s3cret-pw".into() };
    assert!(!client.set_credentials(same));
    assert!(matches!(client.summary().await.unwrap_err(), CephError::LoginHeld { .. }));
    assert!(client.set_credentials(Credentials { username: "admin".into(), password: "other".into() }));
    client.summary().await.unwrap();
}

#[tokio::test]
async fn the_hold_can_be_lifted_and_passes_by_itself() {
    let server = Server::start([summary(), summary()]).await;
    server.then_login(wrong_password());
    let client = server.client();
    client.summary().await.unwrap_err();
    client.credentials_changed();
    client.summary().await.unwrap();

    server.then_login(wrong_password());
    let credentials = Credentials { username: "admin".into(), password: "x".into() };
    let impatient = Ceph::with_hold(server.client().http().clone(), credentials, Duration::ZERO);
    impatient.summary().await.unwrap_err();
    impatient.summary().await.unwrap();
}

#[tokio::test]
async fn a_password_that_must_be_changed_is_said() {
    let server = Server::start([]).await;
    server.then_login(Reply::json(201, &json!({"token": "t", "pwdUpdateRequired": true})));
    let error = server.client().summary().await.unwrap_err();
    assert!(matches!(error, CephError::PasswordExpired { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Auth);
}

#[tokio::test]
async fn an_ended_token_costs_one_login_also_for_a_write() {
    let ended = || Reply::refused(401, "You are not authorized to access that resource");
    let server = Server::start([summary(), ended(), Reply::json(200, &json!(null))]).await;
    let client = server.client();
    client.summary().await.unwrap();
    assert_eq!(client.change_pool("vms", &PoolChange::default()).await.unwrap(), Done::Now);
    assert_eq!(server.calls()[2..], ["PUT /api/pool/vms", "POST /api/auth", "PUT /api/pool/vms"]);
    assert_eq!(server.seen()[4].headers["authorization"], "Bearer jwt-2");

    server.then(ended());
    server.then(ended());
    let error = client.summary().await.unwrap_err();
    assert!(matches!(error, CephError::TokenRefused { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 8, "one more login, and no third try");
}

#[tokio::test]
async fn an_opaque_500_is_tried_again_for_reads_only() {
    let opaque = || Reply::refused(500, "The server encountered an unexpected condition");
    let server = Server::start([opaque(), summary(), opaque(), opaque(), opaque()]).await;
    let client = server.client();
    client.summary().await.unwrap();
    let error = client.summary().await.unwrap_err();
    assert!(matches!(error, CephError::Server { status: 500, .. }), "{error:?}");
    let before = server.calls().len();
    let error = client.change_pool("vms", &PoolChange::default()).await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::Maybe));
    assert_eq!(server.calls().len(), before + 1);
}

#[tokio::test]
async fn a_standby_leads_to_the_active_manager_with_the_same_call() {
    let active = Server::start([Reply::json(200, &json!(null)), summary()]).await;
    let to_active = Reply::redirect(&format!("{}/", active.url));
    let standby = Server::start([to_active.clone()]).await;
    standby.then_login(to_active);
    let client = standby.client();
    client.change_pool("vms", &PoolChange { size: Some(3), ..PoolChange::default() }).await.unwrap();
    client.summary().await.unwrap();
    assert_eq!(standby.calls(), ["POST /api/auth"], "the active one is known from then on");
    assert_eq!(active.calls(), ["POST /api/auth", "PUT /api/pool/vms", "GET /api/summary"]);
    assert_eq!(active.seen()[1].body, Some(json!({"size": 3})), "a redirect must not turn it into a GET");
}

#[tokio::test]
async fn a_manager_that_is_gone_leads_to_the_next_one() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let server = Server::start([Reply::json(204, &json!(null))]).await;
    let client = client_of([gone.as_str(), server.url.as_str()]);
    assert_eq!(client.delete_pool("a/b").await.unwrap(), Done::Now);
    assert_eq!(server.calls(), ["POST /api/auth", "DELETE /api/pool/a%2Fb"]);
}

#[tokio::test]
async fn managers_that_name_each_other_or_nobody_end_in_a_wait() {
    let first = Server::start([]).await;
    let second = Server::start([]).await;
    first.then_login(Reply::redirect(&second.url));
    second.then_login(Reply::redirect(&first.url));
    let error = first.client().summary().await.unwrap_err();
    assert!(matches!(error, CephError::NoActiveManager { .. }), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No));
    assert_eq!((first.calls().len(), second.calls().len()), (1, 1));

    let page = format!(
        "<html>{}<h1>No active ceph-mgr instance is currently running the dashboard.</h1>",
        " ".repeat(999)
    );
    let nobody = Server::start([Reply::html(200, &page)]).await;
    let error = nobody.client().change_pool("vms", &PoolChange::default()).await.unwrap_err();
    assert!(matches!(error, CephError::NoActiveManager { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::No);
}

#[tokio::test]
async fn another_configured_manager_is_asked_where_one_names_nobody() {
    let page = Reply::html(200, "No active ceph-mgr instance");
    let lost = Server::start([]).await;
    lost.then_login(page);
    let active = Server::start([summary()]).await;
    client_of([lost.url.as_str(), active.url.as_str()]).summary().await.unwrap();
    assert_eq!((lost.calls().len(), active.calls().len()), (1, 2));
}

#[tokio::test]
async fn a_standby_cannot_lead_outside_loopback_unencrypted() {
    let standby = Server::start([]).await;
    standby.then_login(Reply::redirect("http://192.0.2.1:8080/"));
    let error = standby.client().summary().await.unwrap_err();
    assert!(
        matches!(&error, CephError::NoActiveManager { detail, .. } if detail.contains("not encrypted")),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_version_that_the_manager_has_is_learned_where_understood() {
    let has = |version: &str| {
        Reply::refused(415, &format!("Incorrect version: endpoint is '{version}', client requested '1.0'"))
    };
    let rules = || Reply::json(200, &json!([{"rule_id": 0, "rule_name": "replicated_rule", "type": 1}]));
    let server = Server::start([has("2.0"), rules(), rules(), has("3.0")]).await;
    let client = server.client();
    assert_eq!(client.list_crush_rules().await.unwrap()[0].name, "replicated_rule");
    client.list_crush_rules().await.unwrap();
    let versions: Vec<String> =
        server.seen()[1..].iter().map(|seen| seen.headers["accept"].to_str().unwrap().to_owned()).collect();
    let expected = ["v1.0", "v2.0", "v2.0"].map(|version| format!("application/vnd.ceph.api.{version}+json"));
    assert_eq!(versions, expected);
    let error = client.summary().await.unwrap_err();
    assert!(matches!(&error, CephError::Version { detail, .. } if detail.contains("3.0")), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Protocol, Sent::No));
}

#[tokio::test]
async fn a_pool_is_made_only_where_there_is_none() {
    let accepted = Reply::json(202, &json!({"name": "pool/create", "metadata": {"pool_name": "vms"}}));
    let server = Server::start([no_pool(), accepted, Reply::json(200, &json!({"pool_name": "vms"}))]).await;
    let client = server.client();
    let pool = NewPool { application_metadata: vec!["rbd".into()], ..NewPool::replicated("vms", 32, 3) };
    assert_eq!(client.create_pool(&pool).await.unwrap(), Done::Later);
    let expected = json!({"pool": "vms", "pool_type": "replicated", "pg_num": 32, "size": 3, "application_metadata": ["rbd"]});
    assert_eq!(server.seen()[2].body, Some(expected));
    let error = client.create_pool(&pool).await.unwrap_err();
    assert!(matches!(error, CephError::PoolExists(_)), "{error:?}");
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("POST /api/pool")).count(), 1);
}

#[tokio::test]
async fn every_refusal_is_told_apart() {
    use CephError as E;
    use {Class::*, Sent::*};
    type Case = (Reply, fn(&E) -> bool, Class, Sent, &'static str);
    let pool = |status, detail: &str, code: serde_json::Value| {
        Reply::json(status, &json!({"detail": detail, "code": code, "component": "pool"}))
    };
    let task =
        json!({"detail": "no", "code": "2", "component": "pool", "status": 400, "task": {"name": "x"}});
    let orchestrator = json!({"detail": "Orchestrator is unavailable", "code": "orchestrator_status_unavailable", "component": "orchestrator"});
    let cases: Vec<Case> = vec![
        (Reply::refused(403, "no"), |e| matches!(e, E::Forbidden { .. }), Auth, No, "give the user a role"),
        (no_pool(), |e| matches!(e, E::NotFound { .. }), Refused, No, "No such pool"),
        (
            pool(400, "[errno -2] nope", json!("2")),
            |e| matches!(e, E::Refused { code, .. } if code == "2"),
            Refused,
            Maybe,
            "[errno -2] nope",
        ),
        (
            pool(409, "busy", json!(16)),
            |e| matches!(e, E::Refused { code, .. } if code == "16"),
            Refused,
            Maybe,
            "busy",
        ),
        (Reply::json(400, &task), |e| matches!(e, E::Refused { .. }), Refused, Maybe, "no"),
        (
            Reply::json(503, &orchestrator),
            |e| matches!(e, E::NoOrchestrator { .. }),
            Refused,
            No,
            "unavailable",
        ),
        (
            Reply::refused(500, "unexpected"),
            |e| matches!(e, E::Server { .. }),
            Transient,
            Maybe,
            "unexpected",
        ),
        (Reply::html(502, "<html>"), |e| matches!(e, E::Http(_)), Transient, Maybe, "502"),
        (
            Reply::html(200, "<html>hello"),
            |e| matches!(e, E::Http(_)),
            Protocol,
            Maybe,
            "text/html where JSON",
        ),
    ];
    for (reply, is, class, sent, part) in cases {
        let server = Server::start([reply]).await;
        let error = server.client().change_pool("vms", &PoolChange::default()).await.unwrap_err();
        assert!(is(&error), "{error:?}");
        assert_eq!((error.class(), error.sent()), (class, sent), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret-pw") && !shown.contains("jwt-1"), "{shown}");
        assert_eq!(server.calls(), ["POST /api/auth", "PUT /api/pool/vms"], "a write is never repeated");
    }
}
