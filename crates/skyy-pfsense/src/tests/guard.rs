//! One refused login must not become a ban.

use std::time::Duration;

use serde_json::json;
use skyy_http::{Class, Sent};

use super::server::{Reply, Server};
use crate::{Auth, PfSense, PfSenseError};

fn refused() -> Reply {
    Reply::error(401, "AUTH_AUTHENTICATION_FAILED", "Authentication failed.")
}

fn version() -> Reply {
    Reply::data(json!({"version": "2.8.0"}))
}

#[tokio::test]
async fn after_a_refusal_nothing_is_sent() {
    let server = Server::start([refused()]).await;
    let client = server.client();
    assert!(matches!(client.version().await.unwrap_err(), PfSenseError::AuthRefused { .. }));
    for _ in 0..5 {
        let error = client.clone().list_rules().await.unwrap_err();
        assert!(matches!(error, PfSenseError::LoginHeld { .. }), "{error:?}");
        assert_eq!((error.class(), error.sent()), (Class::Auth, Sent::No));
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn callers_at_once_cost_one_refusal() {
    let server = Server::start([refused()]).await;
    let client = server.client();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.version().await.unwrap_err() })
        })
        .collect();
    let mut refusals = 0;
    for call in calls {
        refusals += usize::from(matches!(call.await.unwrap(), PfSenseError::AuthRefused { .. }));
    }
    assert_eq!((refusals, server.seen().len()), (1, 1));
}

#[tokio::test]
async fn other_credentials_lift_the_hold_and_the_same_ones_do_not() {
    let server = Server::start([refused(), version(), version()]).await;
    let client = server.client();
    client.version().await.unwrap_err();
    assert!(!client.set_credentials(Auth::ApiKey("k3y".into())));
    assert!(matches!(client.version().await.unwrap_err(), PfSenseError::LoginHeld { .. }));
    assert!(client.set_credentials(Auth::Basic { user: "root".into(), password: "pw".into() }));
    assert_eq!(client.version().await.unwrap().version, "2.8.0");
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].headers["authorization"], "Basic cm9vdDpwdw==");
    assert!(!seen[1].headers.contains_key("x-api-key"), "the box would look at one method only");
}

#[tokio::test]
async fn the_hold_can_be_lifted_and_passes_by_itself() {
    let server = Server::start([refused(), version(), refused(), version()]).await;
    let client = server.client();
    client.version().await.unwrap_err();
    client.credentials_changed();
    client.version().await.unwrap();

    let impatient = PfSense::with_hold(server.http(), Auth::ApiKey("k3y".into()), Duration::ZERO);
    impatient.version().await.unwrap_err();
    impatient.version().await.unwrap();
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_missing_privilege_holds_nothing() {
    let server = Server::start([Reply::error(403, "AUTH_AUTHORIZATION_FAILED", "no")]).await;
    let client = server.client();
    assert!(matches!(client.list_rules().await.unwrap_err(), PfSenseError::Forbidden { .. }));
    server.then(version());
    client.version().await.unwrap();
}
