//! What watches bring: objects that cannot be read harm nobody, Secrets are followed, gates hold passes back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use skyy_api::{Reason, SecretKeyRef, VirtualIp};
use skyy_runtime::{Class, Controller, Gate, Runtime, Wake, metrics::Metrics, secrets::Secrets};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{Fake, World, fresh},
    conditions::violations,
    script::{Answer, Asked, serve},
    server::{Story, lock},
};

/// Waits for a state; a test that waits in vain fails.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{what}: waited in vain"));
}

fn named(name: &str) -> Value {
    let mut object = fresh();
    object["metadata"]["name"] = json!(name);
    object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
    object
}

/// Three objects of which the middle one cannot be read; everything that is written is taken.
fn answer(asked: &Asked) -> Answer {
    if asked.method == Method::GET {
        if asked.is_watch() {
            return Answer::Silence;
        }
        let mut odd = named("odd");
        odd["spec"]["mode"] = json!("Levitating");
        let list = json!({"apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIPList",
            "metadata": {"resourceVersion": "100"}, "items": [named("first"), odd, named("last")]});
        return Answer::Json(200, list);
    }
    if asked.method == Method::POST {
        return Answer::Json(201, asked.body.clone());
    }
    let mut object = named(asked.path.split('/').nth(7).unwrap_or_default());
    object["metadata"]["finalizers"] = json!(["skyy.helloskyy.io/cleanup"]);
    Answer::Json(200, object)
}

fn statuses(calls: &Mutex<Vec<Asked>>, name: &str) -> Vec<Value> {
    let end = format!("/{name}/status");
    lock(calls).iter().filter(|asked| asked.path.ends_with(&end)).map(|asked| asked.body.clone()).collect()
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_so_and_the_others_go_on() {
    let (client, calls) = serve(answer);
    let metrics = Metrics::default();
    let runtime = Runtime::new(client, None, metrics.clone());
    let kind = Fake::new(Arc::new(Mutex::new(World::default())), Story::default());
    let stop = CancellationToken::new();
    let mut controller = Controller::<VirtualIp>::default();
    let hooked = Arc::new(AtomicUsize::new(0));
    let counter = hooked.clone();
    controller.on_change(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let (lookup, waker) = (controller.lookup(), controller.waker());
    let running = tokio::spawn(controller.run(kind, runtime, stop.clone()));

    until("the good ones", || {
        ["first", "last"].iter().all(|name| !statuses(&calls, name).is_empty())
            && !statuses(&calls, "odd").is_empty()
    })
    .await;
    assert!(lookup.ready().await);
    assert_eq!((lookup.all().len(), hooked.load(Ordering::Relaxed)), (2, 2));
    assert!(lookup.get(Some("tenants"), "first").is_some());
    assert!(lookup.get(Some("tenants"), "odd").is_none());

    let odd = statuses(&calls, "odd")[0].clone();
    let ready = &odd["status"]["conditions"][0];
    assert_eq!(
        (&ready["type"], &ready["status"], &ready["reason"]),
        (&json!("Ready"), &json!("False"), &json!("Invalid"))
    );
    assert!(ready["message"].as_str().is_some_and(|message| message.contains("Levitating")), "{ready}");
    assert_eq!(odd["status"]["observedGeneration"], 3);
    assert!(metrics.text().unwrap().contains(r#"skyy_undecodable_objects_total{kind="virtualip"} 1"#));

    // One that is woken is looked at again, and no other.
    let before = lock(&calls).len();
    waker.wake(Wake { namespace: Some("tenants".into()), name: "last".into() });
    until("the one that was woken", || lock(&calls).len() > before).await;
    assert!(lock(&calls)[before..].iter().all(|asked| asked.path.contains("/last")), "{:?}", lock(&calls));

    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_is_said_of_an_object_that_cannot_be_read_keeps_to_the_rules() {
    let (client, calls) = serve(|asked| {
        let Answer::Json(code, mut list) = answer(asked) else { return Answer::Silence };
        for object in list["items"].as_array_mut().into_iter().flatten() {
            object["metadata"]["creationTimestamp"] = json!("2027-01-15T08:00:00Z");
        }
        Answer::Json(code, list)
    });
    let kind = Fake::new(Arc::new(Mutex::new(World::default())), Story::default());
    let stop = CancellationToken::new();
    let runtime = Runtime::new(client, None, Metrics::default());
    let running = tokio::spawn(Controller::<VirtualIp>::default().run(kind, runtime, stop.clone()));
    until("its status", || !statuses(&calls, "odd").is_empty()).await;
    let status = statuses(&calls, "odd")[0]["status"].clone();
    assert_eq!(violations(&status, 3), Vec::<String>::new(), "{status:#}");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn no_pass_begins_before_the_gate_opens() {
    let (client, calls) = serve(answer);
    let (keeper, gate) = Gate::closed();
    let mut runtime = Runtime::new(client, None, Metrics::default());
    runtime.gate = gate;
    let story = Story::default();
    let kind = Fake::new(Arc::new(Mutex::new(World::default())), story.clone());
    let stop = CancellationToken::new();
    let controller = Controller::<VirtualIp>::default();
    let lookup = controller.lookup();
    let running = tokio::spawn(controller.run(kind, runtime, stop.clone()));
    until("the objects", || lookup.all().len() == 2).await;
    until("what needs no pass", || !statuses(&calls, "odd").is_empty()).await;
    assert_eq!((story.take().len(), statuses(&calls, "first").len()), (0, 0));
    keeper.open();
    until("the passes", || !statuses(&calls, "first").is_empty() && !statuses(&calls, "last").is_empty())
        .await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_the_first_list_is_told() {
    let (client, _) = serve(answer);
    let kind = Fake::new(Arc::new(Mutex::new(World::default())), Story::default());
    let stop = CancellationToken::new();
    let runtime = Runtime::new(client, None, Metrics::default());
    let controller = Controller::<VirtualIp>::default();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let lookup = controller.lookup();
            tokio::spawn(async move { lookup.ready().await })
        })
        .collect();
    // All of them wait before the controller begins, and the controller itself waits as well.
    tokio::task::yield_now().await;
    let running = tokio::spawn(controller.run(kind, runtime, stop.clone()));
    for (n, waiter) in waiting.into_iter().enumerate() {
        let ready = tokio::time::timeout(Duration::from_secs(5), waiter).await;
        assert!(ready.is_ok_and(|joined| joined.unwrap()), "waiter {n} is never told");
    }
    stop.cancel();
    running.await.unwrap();
}

fn secret(version: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "data": data,
        "metadata": {"name": "edge", "namespace": "skyy-system", "uid": "u", "resourceVersion": version}})
}

fn reference(key: &str) -> SecretKeyRef {
    SecretKeyRef { namespace: "skyy-system".into(), name: "edge".into(), key: key.into() }
}

/// A list of Secrets, or the one that is watched, and silence after that.
fn secrets(items: Value) -> impl Fn(&Asked) -> Answer {
    move |asked| {
        assert_eq!(asked.path, "/api/v1/namespaces/skyy-system/secrets");
        assert!(
            asked.query.contains("fieldSelector=metadata.name%3Dedge"),
            "one Secret, not all: {}",
            asked.query
        );
        if asked.is_watch() {
            return Answer::Silence;
        }
        let list = json!({"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "5"}, "items": items});
        Answer::Json(200, list)
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_or_lacks_the_key_is_named() {
    // "a2V5" is "key", "IAo=" is white space, "/w==" is no text.
    let data = json!({"api-key": "a2V5", "blank": "IAo=", "binary": "/w=="});
    for (items, key, expected) in [
        (json!([secret("1", data.clone())]), "api-key", Ok("key")),
        (json!([secret("1", data.clone())]), "token", Err("has no key token; it has api-key, binary, blank")),
        (json!([secret("1", data.clone())]), "blank", Err("key blank is empty")),
        (json!([secret("1", data)]), "binary", Err("key binary is not text")),
        (json!([secret("1", json!({}))]), "token", Err("has no key token; it has nothing")),
        (json!([]), "token", Err("does not exist; create it with the key token")),
    ] {
        let (client, _) = serve(secrets(items));
        let found = Secrets::new(client, |_, _| {}).get(&reference(key)).await;
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.value, expected);
                assert!(!format!("{found:?}").contains(expected), "{found:?}");
            }
            (Err(failure), Err(expected)) => {
                assert_eq!((failure.class, failure.reason), (Class::Waiting, Reason::SecretMissing));
                assert!(failure.message.starts_with("Secret skyy-system/edge"), "{failure}");
                assert!(failure.message.contains(expected), "{failure}");
            }
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_secret_that_changes_is_told_and_used() {
    let changes = Arc::new(AtomicUsize::new(0));
    let asked_so_far = AtomicUsize::new(0);
    let (client, _) = serve(move |asked| {
        let list = secrets(json!([secret("1", json!({"api-key": "b2xk"}))]));
        if asked.is_watch() && asked_so_far.fetch_add(1, Ordering::Relaxed) == 0 {
            let changed = secret("2", json!({"api-key": "bmV3"}));
            return Answer::Lines(vec![json!({"type": "MODIFIED", "object": changed})]);
        }
        list(asked)
    });
    let counter = changes.clone();
    let secrets = Secrets::new(client, move |namespace, name| {
        assert_eq!((namespace, name), ("skyy-system", "edge"));
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let first = secrets.get(&reference("api-key")).await.unwrap();
    until("the change", || changes.load(Ordering::Relaxed) >= 2).await;
    let second = secrets.get(&reference("api-key")).await.unwrap();
    assert_eq!(second.value, "new");
    assert!(first.value == "new" || first.version != second.version, "a change is told by its version");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_read_says_so() {
    let (client, calls) = serve(|_| {
        let message = "secrets \"edge\" is forbidden: User \"skyy\" cannot list resource \"secrets\"";
        Answer::Json(
            403,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": 403, "reason": "Forbidden", "message": message}),
        )
    });
    let failure = Secrets::new(client, |_, _| {}).get(&reference("api-key")).await.unwrap_err();
    assert_eq!(failure.reason, Reason::SecretMissing);
    assert!(failure.message.contains("cannot be read") && failure.message.contains("forbidden"), "{failure}");
    assert!(lock(&calls).len() < 20, "a refusal is not asked for over and over");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_keeps_nobody_waiting_for_a_secret() {
    let (client, _) = serve(|_| Answer::Silence);
    let began = tokio::time::Instant::now();
    let failure = Secrets::new(client, |_, _| {}).get(&reference("api-key")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(failure.message.contains("did not answer in time"), "{failure}");
}
