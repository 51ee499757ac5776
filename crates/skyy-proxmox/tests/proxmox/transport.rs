//! How the client bears failures: which it repeats elsewhere, which it remembers, what it never says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use skyy_proxmox::{
    Auth, AuthFailure, Class, Cluster, ConfigChange, GuestAt, NodeName, Problem, ProxmoxError, Secret, Sent,
    limits,
};

use crate::server::{Reply, Seen, Server, client, client_with, nobody, token};

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vm() -> GuestAt {
    GuestAt::qemu(node(), 120.try_into().unwrap())
}

fn fine(_: &Seen) -> Reply {
    Reply::data(json!({"version": "9.2.11"}))
}

#[track_caller]
fn assert_failed<T: std::fmt::Debug>(
    outcome: Result<T, ProxmoxError>,
    class: Class,
    sent: Sent,
) -> ProxmoxError {
    let error = outcome.unwrap_err();
    assert_eq!((error.class(), error.sent()), (class, sent), "{error}");
    error
}

#[tokio::test]
async fn another_endpoint_is_asked_when_one_is_down() {
    let up = Server::start(fine).await;
    let cluster = Cluster::new(vec![client(&nobody().await), up.client()], token());
    assert_eq!(cluster.version().await.unwrap().numbers(), (9, 2, 11));
    let health = cluster.endpoints();
    assert_eq!(health.iter().map(|one| one.preferred).collect::<Vec<_>>(), [false, true]);
    assert!(health[0].failure.as_ref().is_some_and(|(class, _)| *class == Class::Transient), "{health:?}");
    assert_eq!(health[1].failure, None);

    // The one that answered is asked first from now on, writes included.
    cluster.update_guest(&vm(), ConfigChange::new().set("cores", 2)).await.unwrap();
    assert_eq!(up.count(), 2);
    assert_eq!(cluster.requests().0, 3, "one that failed and two that did not");
}

#[tokio::test]
async fn a_write_goes_on_only_when_nothing_was_sent() {
    let up = Server::start(fine).await;
    let cluster = Cluster::new(vec![client(&nobody().await), up.client()], token());
    cluster.update_guest(&vm(), ConfigChange::new().set("cores", 2)).await.unwrap();
    assert_eq!(up.count(), 1, "no connection came about: the other endpoint may have it");

    // Taken and never answered: it may have happened.
    let silent = Server::start_gated(|seen| fine(seen).held_back(), 0).await;
    let short = skyy_http::Limits { total: Duration::from_millis(300), ..limits() };
    let cluster = Cluster::new(vec![client_with(&silent.url, short), up.client()], token());
    let write = cluster.update_guest(&vm(), ConfigChange::new().set("cores", 3)).await;
    assert_failed(write, Class::Transient, Sent::Maybe);
    assert_eq!((silent.count(), up.count()), (1, 1), "not repeated elsewhere");

    // A read passed on to a node is not repeated either: it is that node which is silent.
    assert_failed(cluster.node_status(&node()).await, Class::Transient, Sent::Maybe);
    assert_eq!(up.count(), 1);
}

#[tokio::test]
async fn a_read_goes_on_when_something_else_answers() {
    let proxy = Server::start(|_| Reply::html(200, "<html>Welcome</html>")).await;
    let up = Server::start(fine).await;
    let cluster = Cluster::new(vec![proxy.client(), up.client()], token());
    cluster.version().await.unwrap();
    assert_eq!((proxy.count(), up.count()), (1, 1));
    // Alone, it is named for what it is.
    let error = assert_failed(proxy.cluster().version().await, Class::Protocol, Sent::Maybe);
    assert!(error.to_string().contains("Welcome"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_not_asked_for_elsewhere() {
    let locked = Server::start(|_| Reply::text(500, "VM is locked (clone)", "")).await;
    let up = Server::start(fine).await;
    let cluster = Cluster::new(vec![locked.client(), up.client()], token());
    let error = assert_failed(cluster.start_guest(&vm()).await, Class::Transient, Sent::No);
    assert!(error.is_lock());
    assert_eq!(error.to_string(), "start qemu/120 on pve1: the guest is locked (clone)");
    assert_eq!((locked.count(), up.count()), (1, 0));
}

#[tokio::test]
async fn all_endpoints_down_is_said_once() {
    let cluster = Cluster::new(vec![client(&nobody().await), client(&nobody().await)], token());
    assert_failed(cluster.version().await, Class::Transient, Sent::No);
    let none = Cluster::new(vec![], token());
    let error = none.version().await.unwrap_err();
    assert!(error.to_string().contains("no endpoint is configured"), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_tried_once_however_many_ask() {
    let server = Server::start(|_| Reply::text(401, "Authentication failed!", "")).await;
    let cluster = server.cluster();
    let asks = (0..20).map(|_| {
        tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.version().await }
        })
    });
    let mut held = 0;
    for ask in asks.collect::<Vec<_>>() {
        let error = assert_failed(ask.await.unwrap(), Class::Auth, Sent::No);
        held += usize::from(matches!(error.problem(), Problem::Held(AuthFailure::Refused)));
    }
    assert_eq!((server.count(), held), (1, 19), "one refusal, the others were not sent");
    assert_eq!(cluster.held().await, Some(AuthFailure::Refused));
    // New credentials are a new client.
    assert_failed(server.cluster().version().await, Class::Auth, Sent::No);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_missing_right_is_neither_absence_nor_a_hold() {
    let server =
        Server::start(|_| Reply::text(403, "Permission check failed (/vms/120, VM.Audit)", "")).await;
    let cluster = server.cluster();
    let error = assert_failed(cluster.guest_config(&vm()).await, Class::Auth, Sent::No);
    assert!(!error.is_missing(&vm()));
    assert_failed(cluster.guest_config(&vm()).await, Class::Auth, Sent::No);
    assert_eq!((server.count(), cluster.held().await), (2, None));
}

/// Logs in like Proxmox VE; tickets are numbered. `taken` says which ticket is taken at a call.
fn with_login(taken: impl Fn(&str) -> bool + Send + Sync + 'static) -> impl Fn(&Seen) -> Reply + Send + Sync {
    let logins = AtomicUsize::new(0);
    move |seen| {
        if seen.path == "/api2/json/access/ticket" {
            assert_eq!((seen.header("cookie"), seen.header("csrfpreventiontoken")), (None, None));
            let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
            assert_eq!(body["username"], "root@pam");
            let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
            return if body["password"] == "hunter2" || body["password"].as_str().unwrap().starts_with("PVE:")
            {
                Reply::data(
                    json!({"ticket": format!("PVE:{number}"), "CSRFPreventionToken": format!("csrf-{number}")}),
                )
            } else {
                Reply::text(
                    401,
                    "authentication failure",
                    r#"{"data":null,"message":"authentication failure\n"}"#,
                )
            };
        }
        let ticket = seen.header("cookie").and_then(|cookie| cookie.strip_prefix("PVEAuthCookie=")).unwrap();
        if !taken(ticket) {
            return Reply::text(401, "permission denied - invalid PVE ticket", "");
        }
        Reply::data(json!({"version": "9.2.11"}))
    }
}

fn ticket(password: &str) -> Auth {
    Auth::Ticket { user: "root@pam".to_owned(), password: Secret::new(password) }
}

#[tokio::test]
async fn a_ticket_is_bought_once_and_its_csrf_token_goes_with_writes_only() {
    let server = Server::start(with_login(|_| true)).await;
    let cluster = Cluster::new(vec![server.client()], ticket("hunter2"));
    let asks = (0..5).map(|_| {
        tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.version().await }
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap().unwrap();
    }
    cluster.update_guest(&vm(), ConfigChange::new().set("cores", 2)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.iter().filter(|one| one.path.ends_with("/access/ticket")).count(), 1);
    for one in seen.iter().filter(|one| !one.path.ends_with("/access/ticket")) {
        let csrf = (one.method != axum::http::Method::GET).then_some("csrf-1");
        assert_eq!(one.header("csrfpreventiontoken"), csrf, "{}", one.method);
        assert_eq!(one.header("authorization"), None);
    }
}

#[tokio::test]
async fn a_ticket_that_ended_early_is_bought_anew_and_the_call_made_again() {
    let server = Server::start(with_login(|ticket| ticket != "PVE:1")).await;
    let cluster = Cluster::new(vec![server.client()], ticket("hunter2"));
    cluster.update_guest(&vm(), ConfigChange::new().set("cores", 2)).await.unwrap();
    let paths: Vec<_> = server.seen().iter().map(|seen| seen.path.clone()).collect();
    let config = "/api2/json/nodes/pve1/qemu/120/config";
    assert_eq!(paths, ["/api2/json/access/ticket", config, "/api2/json/access/ticket", config]);
    assert_eq!(cluster.held().await, None);
}

#[tokio::test]
async fn tickets_that_are_never_taken_end_in_a_hold() {
    let server = Server::start(with_login(|_| false)).await;
    let cluster = Cluster::new(vec![server.client()], ticket("hunter2"));
    assert_failed(cluster.version().await, Class::Auth, Sent::No);
    let asked = server.count();
    assert_failed(cluster.version().await, Class::Auth, Sent::No);
    assert_eq!((asked, server.count()), (4, 4));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Server::start(with_login(|_| true)).await;
    let cluster = Cluster::new(vec![server.client()], ticket("wrong-password"));
    let error = assert_failed(cluster.version().await, Class::Auth, Sent::No);
    assert!(matches!(error.problem(), Problem::Unauthenticated(AuthFailure::Login)), "{error:?}");
    let error = assert_failed(cluster.version().await, Class::Auth, Sent::No);
    assert!(matches!(error.problem(), Problem::Held(AuthFailure::Login)), "{error:?}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_account_with_a_second_factor_is_told_to_use_a_token() {
    let answer = json!({"ticket": "PVE:!tfa!x", "CSRFPreventionToken": "c", "NeedTFA": 1});
    let server = Server::start(move |_| Reply::data(answer.clone())).await;
    let cluster = Cluster::new(vec![server.client()], ticket("hunter2"));
    let error = assert_failed(cluster.version().await, Class::Auth, Sent::No);
    assert!(error.to_string().contains("use an API token"), "{error}");
}

#[tokio::test]
async fn three_calls_at_a_time_per_node_and_nodes_do_not_wait_for_each_other() {
    let script = |seen: &Seen| {
        let reply = Reply::data(json!({}));
        if seen.path.ends_with("/status") { reply.held_back() } else { reply }
    };
    let server = Server::start_gated(script, 0).await;
    let cluster = server.cluster();
    // One call must get through first: until then the credentials are not known to be taken.
    cluster.version().await.unwrap();
    let ask = |name: &str| {
        let (cluster, node) = (cluster.clone(), name.parse::<NodeName>().unwrap());
        tokio::spawn(async move { cluster.node_status(&node).await })
    };
    let asks: Vec<_> = (0..9).map(|_| ask("pve1")).chain((0..2).map(|_| ask("pve2"))).collect();
    reached(&server, 1 + 3 + 2).await;
    cluster.version().await.unwrap(); // what the endpoint does itself waits for no node
    server.let_through(11);
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    let most = server.most_under_way();
    assert_eq!((most["/api2/json/nodes/pve1/status"], most["/api2/json/nodes/pve2/status"]), (3, 2));
}

/// Waits until the server has seen this many requests.
async fn reached(server: &Server, count: usize) {
    while server.count() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_longer_than_the_api_takes_is_not_sent() {
    let server = Server::start(fine).await;
    let change = ConfigChange::new().set("description", "x".repeat(600 << 10));
    let error = assert_failed(server.cluster().update_guest(&vm(), change).await, Class::Refused, Sent::No);
    assert!(matches!(error.problem(), Problem::TooLarge(_)), "{error:?}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn broken_answers_name_the_call() {
    for body in ["{\"data\":", "", "[]", "{\"other\":1}", "{\"data\":[{\"type\":\"qemu\"}]}"] {
        let server = Server::start(move |_| Reply::text(200, "OK", body)).await;
        let error = assert_failed(server.cluster().cluster_resources().await, Class::Protocol, Sent::Maybe);
        assert!(error.to_string().starts_with("read the cluster resources: "), "{error}");
    }
    // A guest that cannot be read must not look absent.
    let server =
        Server::start(|_| Reply::data(json!([{"type": "qemu", "node": "pve1", "id": "qemu/100"}]))).await;
    assert_failed(server.cluster().cluster_resources().await, Class::Protocol, Sent::Maybe);
}

#[tokio::test]
async fn reason_phrases_are_read_where_the_body_is_empty() {
    let server = Server::start(|_| Reply::text(595, "No route to host", "")).await;
    let error = assert_failed(server.cluster().node_status(&node()).await, Class::Transient, Sent::No);
    assert_eq!(error.to_string(), "read the status of pve1: the node cannot be reached: No route to host");
    let server = Server::start(|_| Reply::text(596, "Connection reset by peer", "")).await;
    assert_failed(server.cluster().start_guest(&vm()).await, Class::Transient, Sent::Maybe);
}

#[tokio::test]
async fn secrets_are_in_no_text() {
    let echo = |seen: &Seen| {
        let said = format!("bad value: {} {:?}", seen.body, seen.headers);
        Reply::text(500, "Internal Server Error", json!({"data": null, "message": said}).to_string())
    };
    let server = Server::start(echo).await;
    let cluster = server.cluster();
    let change = ConfigChange::new().set_secret("cipassword", &Secret::new("hunter\"2"));
    let error = cluster.update_guest(&vm(), change).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), format!("{cluster:?}")] {
        assert!(!text.contains("0123-secret") && !text.contains("hunter"), "{text}");
    }
    assert!(server.seen()[0].body.contains("hunter"), "it was sent, though");
}
