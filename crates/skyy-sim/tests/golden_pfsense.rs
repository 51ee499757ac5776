//! The simulated pfSense answers every recorded exchange of the real package as that one did.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod golden;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use golden::{Answer, Earlier, Lists, compare, exchanges, files, recordings, stable};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skyy_sim::{
    Clock, Product,
    pfsense::{Options, Pfsense},
};
use tower::ServiceExt;

/// Exchanges that do not agree, each with its reason. None.
const KNOWN_DIFFERENT: &[(&str, u64, &str)] = &[];

/// How long a reload took while the file was recorded.
fn reload(file: &str) -> Duration {
    Duration::from_secs(match file {
        "apply-vip" | "apply-inline" => 1,
        "apply-firewall" | "apply-dhcp" => 2,
        "apply-queue-full" => 3,
        _ => 0,
    })
}

struct Replay {
    router: Router,
    clock: Clock,
    secrets: BTreeMap<&'static str, String>,
    earlier: Earlier,
}

impl Replay {
    fn new(reload: Duration) -> Self {
        let clock = Clock::manual();
        let race_window = Some(Duration::ZERO);
        let options = Options { clock: clock.clone(), reload, race_window, ..Options::golden() };
        let secrets = BTreeMap::from([
            ("<key>", "0123456789abcdef".repeat(3)),
            ("<limited-key>", "fedcba9876543210".repeat(3)),
            ("<wrong-key>", "0".repeat(48)),
            ("<apiadmin>", "YXBpYWRtaW46YXBpYWRtaW5wdw==".to_owned()),
            ("<wrong-password>", "YXBpYWRtaW46bm90IGl0".to_owned()),
            ("<disabled-user>", "YXBpZGlzYWJsZWQ6YXBpZGlzYWJsZWRwdw==".to_owned()),
            ("<wrong-jwt>", "a.b.c".to_owned()),
        ]);
        let router = Arc::new(Pfsense::new(options)).router();
        Self { router, clock, secrets, earlier: Earlier::default() }
    }

    fn request(&self, recorded: &Value) -> Request<Body> {
        let text = |name: &str| recorded[name].as_str().unwrap_or_default();
        let uri = match text("query") {
            "" => text("path").to_owned(),
            query => format!("{}?{query}", text("path")),
        };
        let body = match (&recorded["raw_body"], &recorded["body"]) {
            (Value::String(raw), _) => raw.clone(),
            (_, Value::Null) => String::new(),
            (_, body) => self.earlier.filled(body).to_string(),
        };
        let mut request = Request::builder().method(text("method")).uri(uri);
        for (name, value) in recorded["headers"].as_object().unwrap() {
            let mut value = value.as_str().unwrap().to_owned();
            for (kind, secret) in &self.secrets {
                value = value.replace(kind, secret);
            }
            assert!(!value.contains('<'), "no secret for {value}");
            request = request.header(name, value);
        }
        request.body(Body::from(body)).unwrap()
    }

    async fn send(&mut self, exchange: &Value) -> Answer {
        let recorded = &exchange["request"];
        if let Some(seconds) = recorded["wait_before_s"].as_f64() {
            self.clock.advance(Duration::from_secs_f64(seconds));
        }
        let head = recorded["method"] == "HEAD";
        let answer = self.router.clone().oneshot(self.request(recorded)).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = if head { String::new() } else { String::from_utf8(bytes.to_vec()).unwrap() };
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.earlier.keep(exchange, &body);
        if let Some(token) = body["data"]["token"].as_str() {
            self.secrets.insert("<jwt>", token.to_owned());
        }
        let content_type =
            parts.headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
        Answer { status: parts.status.as_u16(), content_type, body }
    }
}

/// Replays one file and gives what differed, line by line.
async fn replay(file: &Path) -> (usize, Vec<String>) {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let mut replay = Replay::new(reload(name));
    let (mut agreed, mut differed) = (0, Vec::new());
    for exchange in exchanges(file) {
        let answer = replay.send(&exchange).await;
        if !stable(&exchange) {
            continue;
        }
        let seq = exchange["seq"].as_u64().unwrap();
        let found = compare(&exchange, &answer, Lists::InOrder);
        if found.is_empty() {
            agreed += 1;
        } else if !KNOWN_DIFFERENT.iter().any(|(file, line, _)| *file == name && *line == seq) {
            let request = &exchange["request"];
            differed.push(format!(
                "{name}:{seq} {} {}\n    {}",
                request["method"],
                request["path"],
                found.join("\n    ")
            ));
        }
    }
    (agreed, differed)
}

#[tokio::test]
async fn every_recorded_exchange_agrees() {
    let Some(folder) = recordings("pfsense") else { return };
    let (mut agreed, mut differed) = (0, Vec::new());
    for file in files(&folder) {
        let (same, other) = replay(&file).await;
        agreed += same;
        differed.extend(other);
    }
    assert!(differed.is_empty(), "{agreed} agreed, {} differed:\n{}", differed.len(), differed.join("\n"));
    assert!(agreed > 400, "only {agreed} exchanges were compared");
    println!("{agreed} exchanges agreed");
}

#[test]
fn the_comparison_sees_differences() {
    let check = |recorded: Value, got: Value, lists: Lists, expected: usize| {
        let exchange =
            json!({"response": {"status": 200, "content_type": "application/json", "body": recorded}});
        let answer =
            Answer { status: 200, content_type: "application/json; charset=x".to_owned(), body: got };
        let found = compare(&exchange, &answer, lists);
        assert_eq!(found.len(), expected, "{recorded:?}: {found:?}", recorded = exchange["response"]["body"]);
    };
    let same = |recorded, got, lists| check(recorded, got, lists, 0);
    same(json!({"a": "<any>", "b": "x<any>z", "c": "<any?>"}), json!({"a": [1], "b": "xyz"}), Lists::InOrder);
    same(json!(["<cut>"]), json!([1, 2, 3]), Lists::InOrder);
    same(json!([{"id": 2}, {"id": 1}]), json!([{"id": 1}, {"id": 2}]), Lists::Sorted);
    same(json!("b,a"), json!("a,b"), Lists::Sorted);
    check(json!([{"id": 2}, {"id": 1}]), json!([{"id": 1}, {"id": 2}]), Lists::InOrder, 2);
    check(json!({"a": 1, "b": 2}), json!({"a": "1", "c": 2}), Lists::InOrder, 3);
    check(json!([1, 2]), json!([1]), Lists::InOrder, 1);
    check(json!("x<any>z"), json!("xy"), Lists::InOrder, 1);
    check(json!(null), json!(false), Lists::InOrder, 1);
    let exchange =
        json!({"response": {"status": 500, "body": {"code": 500, "response_id": "X", "message": "trace"}}});
    let answer = |status, id: &str| Answer {
        status,
        content_type: String::new(),
        body: json!({"code": 500, "response_id": id, "message": "other"}),
    };
    assert!(compare(&exchange, &answer(500, "X"), Lists::InOrder).is_empty());
    assert_eq!(compare(&exchange, &answer(500, "Y"), Lists::InOrder).len(), 1);
    assert_eq!(compare(&exchange, &answer(501, "X"), Lists::InOrder).len(), 2);
}
