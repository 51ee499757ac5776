//! The simulated Ceph manager against answers recorded from real ones: same status, same media type, same keys, same
//! JSON types, request by request in the recorded order. Values are free where they are measurements.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // helpers of tests are tests

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skyy_sim::{
    ceph::{CephMgr, CephOptions, Health, HealthCheck, PoolUsage, Release, TimingChange},
    product::{NoAnswer, Product},
};
use tower::ServiceExt;

/// Recorded, but not simulated; the simulator says so with 501.
const LEFT_OUT: &[(&str, &str)] = &[
    ("get-osd-0-histogram", "performance histograms: nothing the operator decides by"),
    ("get-perf_counters-osd-0", "performance counters: likewise"),
    ("get-logs-all", "the cluster log"),
    ("get-settings", "the dashboard's own settings"),
    ("get-role", "definitions of roles; what a role allows is simulated"),
    ("get-cluster-user", "cephx users (18 only)"),
    ("cephx-user-create", "cephx users (18 only)"),
    ("get-ui-orchestrator-status", "the web interface's private API"),
    ("get-ui-pool-info", "the web interface's private API"),
    ("get-ui-login-custom_banner", "the web interface's private API"),
];

/// Sent with the second user's token.
const AS_VIEWER: [&str; 3] = ["viewer-read", "viewer-write-403", "viewer-old-token-after-edit"];

/// Objects whose keys are data, not fields.
const OPEN_MAPS: [&str; 8] = [
    ".statuses",
    ".pg_status",
    ".metadata",
    ".osd_map.osd_metadata",
    ".options",
    ".erasure_code_profiles",
    ".application_metadata",
    "/options",
];

struct Sim {
    mgr: Arc<CephMgr>,
    router: Router,
}

struct Answer {
    status: u16,
    content_type: String,
    location: Option<String>,
    total: Option<String>,
    body: Value,
}

impl Sim {
    fn new(options: CephOptions) -> Self {
        let mgr = Arc::new(CephMgr::new(options));
        let router = mgr.clone().router();
        Self { mgr, router }
    }

    fn golden(release: Release) -> Self {
        Self::new(CephOptions::golden(release))
    }

    /// Status 0 stands for a connection that broke.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            None => Body::empty(),
            Some(Value::String(raw)) => Body::from(raw.clone()),
            Some(value) => Body::from(value.to_string()),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (status, content_type) = (response.status().as_u16(), header("content-type").unwrap_or_default());
        let (location, total) = (header("location"), header("x-total-count"));
        if response.extensions().get::<NoAnswer>().is_some() {
            return Answer { status: 0, content_type: String::new(), location, total, body: json!("") };
        }
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { status, content_type, location, total, body }
    }

    async fn login(&self, username: &str, password: &str) -> String {
        let body = json!({ "username": username, "password": password });
        let answer = self.send("POST", "/api/auth", &[ACCEPT, JSON], Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["token"].as_str().unwrap().to_owned()
    }

    async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let authorization = format!("Bearer {token}");
        let accept = if path.starts_with("/api/block/image") && method == "GET" && !path.contains('%') {
            ("accept", "application/vnd.ceph.api.v2.0+json")
        } else {
            ACCEPT
        };
        let headers = [accept, JSON, ("authorization", authorization.as_str())];
        let body = (!body.is_null()).then_some(&body);
        self.send(method, path, &headers, body).await
    }
}

const ACCEPT: (&str, &str) = ("accept", "application/vnd.ceph.api.v1.0+json");
const JSON: (&str, &str) = ("content-type", "application/json");

fn samples(release: Release) -> Option<Vec<Value>> {
    let root = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let name = match release {
        Release::V16 => "samples-16.2.15.jsonl",
        Release::V18 => "samples-18.2.7.jsonl",
    };
    let path = root.join("ceph").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no recorded samples at {}", path.display());
        return None;
    };
    Some(text.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}

/// Each place in a JSON value with the types found there; elements of a list share one place.
fn shape(value: &Value) -> BTreeMap<String, BTreeSet<&'static str>> {
    fn walk(value: &Value, at: String, out: &mut BTreeMap<String, BTreeSet<&'static str>>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(n) if n.is_f64() => "float",
            Value::Number(_) => "integer",
            Value::String(_) => "text",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        out.entry(at.clone()).or_default().insert(kind);
        match value {
            Value::Array(items) => items.iter().for_each(|v| walk(v, format!("{at}[]"), out)),
            Value::Object(map) => {
                let open = OPEN_MAPS.iter().any(|end| at.ends_with(end));
                for (key, v) in map {
                    let key = if open { "*" } else { key };
                    walk(v, format!("{at}.{key}"), out);
                }
            }
            _ => {}
        }
    }
    let mut out = BTreeMap::new();
    walk(value, String::new(), &mut out);
    out
}

/// Where the two shapes differ. What lies in a list or an open map that is empty in the sample is free.
fn differences(sample: &Value, ours: &Value, root: &str, whole: bool) -> Vec<String> {
    let rooted =
        |v: &Value| shape(v).into_iter().map(|(k, t)| (format!("{root}{k}"), t)).collect::<BTreeMap<_, _>>();
    let (sample, ours) = (rooted(sample), rooted(ours));
    let mut found = Vec::new();
    for (place, types) in &sample {
        match ours.get(place) {
            None if place.ends_with(".*") || place.contains(".*.") => {}
            None => found.push(format!("{place}: missing")),
            Some(got) if got.is_disjoint(types) => {
                found.push(format!("{place}: {got:?}, recorded {types:?}"));
            }
            Some(_) => {}
        }
    }
    for place in ours.keys().filter(|_| whole) {
        let unseen = |mark: &str| {
            place.match_indices(mark).any(|(i, _)| !sample.contains_key(&place[..i + mark.len()]))
        };
        if !sample.contains_key(place) && !unseen("[]") && !unseen(".*") {
            found.push(format!("{place}: not recorded"));
        }
    }
    found
}

/// Makes a cut-off JSON text whole: back to the last complete element, then everything closed.
fn completed(text: &str) -> Value {
    let (mut stack, mut safe) = (Vec::new(), (0, Vec::new()));
    let (mut in_text, mut escaped) = (false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' => stack.push('}'),
            '[' => stack.push(']'),
            '}' | ']' => {
                stack.pop();
                safe = (i + 1, stack.clone());
            }
            ',' => safe = (i, stack.clone()),
            _ => {}
        }
    }
    let closers: String = safe.1.iter().rev().collect();
    serde_json::from_str(&format!("{}{closers}", &text[..safe.0])).expect("cut at a complete element")
}

#[test]
fn cut_off_json_is_completed() {
    let check = |text: &str, expected: Value| assert_eq!(completed(text), expected, "{text}");
    check(r#"{"a": [1, 2, {"b": "x, y"}, {"c": "#, json!({"a": [1, 2, {"b": "x, y"}]}));
    check(r#"[{"a": 1}, {"b": 2, "c": "tru"#, json!([{"a": 1}, {"b": 2}]));
}

async fn replay(release: Release) {
    let Some(samples) = samples(release) else { return };
    let sim = Sim::golden(release);
    let (mut admin, mut viewer) = (String::new(), String::new());
    let (mut wrong, mut compared, mut left_out) = (Vec::new(), 0, 0);
    for sample in &samples {
        let numbered = sample["name"].as_str().unwrap();
        let name = &numbered[4..];
        match name {
            // Not recorded one by one: the bad logins two to nine.
            "viewer-lockout-10" => {
                for _ in 2..10 {
                    let body = json!({ "username": "viewer", "password": "wrong" });
                    let answer = sim.send("POST", "/api/auth", &[ACCEPT, JSON], Some(&body)).await;
                    assert_eq!(answer.status, 400);
                }
            }
            "task-finished" => sim.mgr.advance(Duration::from_mins(2)),
            "logout" => sim.mgr.advance(Duration::from_secs(10)),
            _ => {}
        }
        let (request, recorded) = (&sample["request"], &sample["response"]);
        let token = if AS_VIEWER.contains(&name) { &viewer } else { &admin };
        let filled = |text: &str| text.replace("<jwt>", token);
        let headers: Vec<(String, String)> = request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), filled(v.as_str().unwrap())))
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let body: Option<Value> = match &request["body"] {
            Value::Null => None,
            body => Some(serde_json::from_str(&filled(&body.to_string())).unwrap()),
        };
        let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        let ours = sim.send(method, path, &headers, body.as_ref()).await;

        if ours.status == 501 {
            assert!(LEFT_OUT.iter().any(|(n, _)| *n == name), "{numbered}: 501, but not listed as left out");
            left_out += 1;
            continue;
        }
        compared += 1;
        let mut differ = |what: String| wrong.push(format!("{numbered} {method} {path}: {what}"));
        let status = recorded["status"].as_u64().unwrap();
        if u64::from(ours.status) != status {
            differ(format!("status {}, recorded {status}: {}", ours.status, ours.body));
            continue;
        }
        if status == 0 {
            continue;
        }
        let content_type = recorded["headers"]["Content-Type"].as_str().unwrap_or_default();
        if ours.content_type != content_type {
            differ(format!("content type {}, recorded {content_type}", ours.content_type));
        }
        let total = recorded["headers"]["X-Total-Count"].as_str();
        if ours.total.as_deref() != total {
            differ(format!("total {:?}, recorded {total:?}", ours.total));
        }
        let (expected, whole) = match recorded["body_truncated"].as_str() {
            Some(cut) => (completed(cut), false),
            None => (recorded["body"].clone(), true),
        };
        let root = if path.ends_with("/options") { "/options" } else { "" };
        differences(&expected, &ours.body, root, whole).into_iter().for_each(&mut differ);
        // What an error says is not a measurement.
        for key in ["detail", "code", "component", "status"] {
            if status >= 400 && expected.get(key) != ours.body.get(key) {
                let (got, recorded) = (ours.body.get(key), expected.get(key));
                differ(format!("{key} {got:?}, recorded {recorded:?}"));
            }
        }
        match name {
            "auth-login" => ours.body["token"].as_str().unwrap().clone_into(&mut admin),
            "viewer-login" => ours.body["token"].as_str().unwrap().clone_into(&mut viewer),
            _ => {}
        }
    }
    println!("{release:?}: {compared} recorded answers compared, {left_out} left out");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 165, "only {compared} compared");
}

#[tokio::test]
async fn answers_as_16_does() {
    replay(Release::V16).await;
}

#[tokio::test]
async fn answers_as_18_does() {
    replay(Release::V18).await;
}

fn demo() -> Sim {
    Sim::new(CephOptions::demo())
}

const DEMO: (&str, &str) = ("skyy", "skyy-demo-password");

fn new_pool(name: &str) -> Value {
    json!({
        "pool": name, "pool_type": "replicated", "pg_num": 32, "size": 3, "quota_max_bytes": 1 << 30,
        "application_metadata": ["rbd", "skyy.test"], "rule_name": "replicated_rule",
    })
}

#[tokio::test]
async fn a_pool_is_hidden_then_bare_then_whole() {
    let sim = demo();
    sim.mgr.change_timing(&TimingChange { create_seconds: Some(600.0), ..TimingChange::default() });
    let token = sim.login(DEMO.0, DEMO.1).await;
    let created = sim.call(&token, "POST", "/api/pool", new_pool("vms")).await;
    assert_eq!(created.status, 202);
    assert_eq!(created.body, json!({ "name": "pool/create", "metadata": { "pool_name": "vms" } }));

    assert_eq!(sim.call(&token, "GET", "/api/pool/vms", Value::Null).await.status, 404);
    sim.mgr.advance(Duration::from_secs(301));
    let bare = sim.call(&token, "GET", "/api/pool/vms", Value::Null).await;
    assert_eq!((bare.status, &bare.body["application_metadata"]), (200, &json!([])));
    assert_eq!(bare.body["quota_max_bytes"], 0);
    let running = sim.call(&token, "GET", "/api/task?name=pool/create", Value::Null).await;
    assert_eq!(running.body["executing_tasks"][0]["metadata"]["pool_name"], "vms");

    sim.mgr.advance(Duration::from_mins(5));
    let whole = sim.call(&token, "GET", "/api/pool/vms", Value::Null).await;
    assert_eq!(whole.body["application_metadata"], json!(["rbd", "skyy.test"]));
    assert_eq!(whole.body["quota_max_bytes"], 1 << 30);
    let done = sim.call(&token, "GET", "/api/task?name=pool/create", Value::Null).await;
    assert_eq!(done.body["executing_tasks"], json!([]));
    assert_eq!(done.body["finished_tasks"][0]["success"], true);

    let again = json!({ "pool": "vms", "pool_type": "replicated", "pg_num": 32, "quota_max_bytes": 5 });
    assert_eq!(sim.call(&token, "POST", "/api/pool", again).await.status, 201);
    assert_eq!(sim.call(&token, "GET", "/api/pool/vms", Value::Null).await.body["quota_max_bytes"], 5);
    for _ in 0..2 {
        assert_eq!(sim.call(&token, "DELETE", "/api/pool/vms", Value::Null).await.status, 204);
    }
    assert_eq!(sim.mgr.pool_names(), [".mgr", "ceph-vm", "cephfs_metadata", "cephfs_data"]);
}

/// Seen on a real 16.2.15: while an edit of a pool runs, another edit of it is answered by the first one and lost.
#[tokio::test]
async fn an_edit_during_an_edit_is_lost() {
    let sim = demo();
    sim.mgr.change_timing(&TimingChange { pg_seconds: Some(600.0), ..TimingChange::default() });
    let token = sim.login("admin", "admin-password").await;
    let pool = "/api/pool/ceph-vm";
    let pgs = json!({ "pg_autoscale_mode": "off", "pg_num": 512 });
    assert_eq!(sim.call(&token, "PUT", pool, pgs).await.status, 202);
    let quota = || json!({ "quota_max_bytes": 1_000_000 });
    assert_eq!(sim.call(&token, "PUT", pool, quota()).await.status, 202);
    sim.mgr.advance(Duration::from_secs(601));
    let after = sim.call(&token, "GET", pool, Value::Null).await;
    assert_eq!((&after.body["pg_num"], &after.body["quota_max_bytes"]), (&json!(512), &json!(0)));
    let answer = sim.call(&token, "PUT", pool, quota()).await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
    assert_eq!(sim.call(&token, "GET", pool, Value::Null).await.body["quota_max_bytes"], 1_000_000);
}

/// Seen on a real 16.2.15: a few changes at once become a task, and what is refused in it nobody hears.
#[tokio::test]
async fn slow_commands_make_an_edit_a_task() {
    let sim = demo();
    let slow = TimingChange { command_seconds: Some(1.0), ..TimingChange::default() };
    sim.mgr.change_timing(&slow);
    let token = sim.login("admin", "admin-password").await;
    let pool = "/api/pool/ceph-vm";
    let five = json!({ "application_metadata": ["a", "b", "c", "d", "e"] });
    assert_eq!(sim.call(&token, "PUT", pool, five).await.status, 202);
    sim.mgr.advance(Duration::from_secs(10));
    let after = sim.call(&token, "GET", pool, Value::Null).await;
    assert_eq!(after.body["application_metadata"], json!(["a", "b", "c", "d"]));
    let tasks = sim.call(&token, "GET", "/api/task?name=pool/edit", Value::Null).await;
    assert_eq!(
        tasks.body["finished_tasks"][0]["exception"]["detail"],
        "[errno -22] too many enabled applications on pool 'ceph-vm'; max 4"
    );
}

#[tokio::test]
async fn lists_come_in_pages_on_18() {
    let sim = demo();
    let token = sim.login(DEMO.0, DEMO.1).await;
    let check = async |path: &str, entries: usize, total: &str| {
        let answer = sim.call(&token, "GET", path, Value::Null).await;
        let groups = answer.body.as_array().unwrap();
        let images = |g: &Value| g["value"].as_array().map_or(1, Vec::len);
        assert_eq!(groups.iter().map(images).sum::<usize>(), entries, "{path}");
        assert_eq!(answer.total.as_deref(), Some(total), "{path}");
    };
    check("/api/osd", 10, "24").await;
    check("/api/osd?limit=-1", 24, "24").await;
    check("/api/osd?offset=20&limit=10", 4, "24").await;
    check("/api/host", 5, "8").await;
    check("/api/block/image", 5, "12").await;
    check("/api/block/image?limit=-1&pool_name=ceph-vm", 12, "12").await;
    check("/api/block/image?limit=-1&pool_name=cephfs_data", 0, "0").await;
}

#[tokio::test]
async fn a_standby_names_the_active_manager_and_loses_the_path() {
    let sim = demo();
    let token = sim.login(DEMO.0, DEMO.1).await;
    let standby = sim.call(&token, "GET", "/_mgr/1/api/pool", Value::Null).await;
    assert_eq!((standby.status, standby.location.as_deref()), (303, Some("http://127.0.0.1/")));

    let answer = sim.send("POST", "/_sim/ceph/failover", &[], Some(&json!({ "outageSeconds": 3 }))).await;
    assert_eq!((answer.status, &answer.body["active"]), (200, &json!(1)));
    assert_eq!(
        sim.call(&token, "GET", "/_mgr/1/api/pool", Value::Null).await.status,
        0,
        "nobody is active yet"
    );
    sim.mgr.advance(Duration::from_secs(4));
    assert_eq!(sim.call(&token, "POST", "/api/pool", json!({})).await.status, 303);
    let active = sim.call(&token, "GET", "/_mgr/1/api/summary", Value::Null).await;
    assert_eq!(
        (active.status, &active.body["mgr_id"]),
        (200, &json!("y")),
        "the token outlives the fail-over"
    );
    sim.mgr.set_manager_url(1, "https://mgr-y.example:8443");
    let moved = sim.call(&token, "GET", "/api/pool", Value::Null).await;
    assert_eq!(moved.location.as_deref(), Some("https://mgr-y.example:8443/"));
}

#[tokio::test]
async fn tokens_end_with_time_logout_and_a_new_password() {
    let sim = demo();
    let status = async |token: &str| sim.call(token, "GET", "/api/summary", Value::Null).await.status;
    let token = sim.login(DEMO.0, DEMO.1).await;
    assert_eq!(status(&token).await, 200);
    sim.mgr.advance(Duration::from_secs(8 * 3600 + 1));
    assert_eq!(status(&token).await, 401);

    let token = sim.login(DEMO.0, DEMO.1).await;
    assert_eq!(sim.call(&token, "POST", "/api/auth/logout", json!({})).await.status, 200);
    assert_eq!(status(&token).await, 401);

    let token = sim.login(DEMO.0, DEMO.1).await;
    assert!(sim.mgr.set_password(DEMO.0, "another-password"));
    assert_eq!(status(&token).await, 401);
    let token = sim.login(DEMO.0, "another-password").await;
    assert_eq!(status(&token).await, 200);
    let forged = format!("{}x", &token[..token.len() - 1]);
    assert_ne!(status(&forged).await, 200);
}

/// Seen on a real 16.2.15: behind the exact media type is nothing, and the body goes unseen.
#[tokio::test]
async fn a_charset_hides_the_body() {
    let sim = demo();
    let body = json!({ "username": DEMO.0, "password": DEMO.1 });
    let headers = [ACCEPT, ("content-type", "application/json; charset=utf-8")];
    assert_eq!(sim.send("POST", "/api/auth", &headers, Some(&body)).await.status, 500);
    assert_eq!(sim.send("POST", "/api/auth", &[ACCEPT], None).await.status, 411);
}

#[tokio::test]
async fn pool_deletion_may_be_switched_off() {
    let sim = demo();
    let token = sim.login("admin", "admin-password").await;
    let option =
        json!({ "name": "mon_allow_pool_delete", "value": [{ "section": "mon", "value": "false" }] });
    assert_eq!(sim.call(&token, "POST", "/api/cluster_conf", option).await.status, 201);
    let refused = sim.call(&token, "DELETE", "/api/pool/cephfs_data", Value::Null).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("1")));
    assert!(sim.mgr.pool_names().contains(&"cephfs_data".to_owned()));
}

#[tokio::test]
async fn health_and_capacity_follow_the_state_and_commands() {
    let sim = demo();
    let token = sim.login(DEMO.0, DEMO.1).await;
    let minimal = async || sim.call(&token, "GET", "/api/health/minimal", Value::Null).await.body;
    let status = |body: &Value| body["health"]["status"].as_str().unwrap().to_owned();
    let before = minimal().await;
    assert_eq!(status(&before), "HEALTH_OK");
    let total = before["df"]["stats"]["total_bytes"].as_u64().unwrap();
    assert_eq!(total >> 40, 200, "about 200 TiB");
    let used = before["df"]["stats"]["total_used_raw_bytes"].as_u64().unwrap();

    let usage = PoolUsage { name: "ceph-vm".to_owned(), stored_bytes: Some(1 << 40), objects: None };
    assert!(sim.mgr.set_pool_usage(&usage));
    let after = minimal().await["df"]["stats"]["total_used_raw_bytes"].as_u64().unwrap();
    assert_eq!(after - used, 3 << 40, "three copies");

    let check =
        HealthCheck { code: "OSD_NEARFULL".to_owned(), message: "1 nearfull osd(s)".to_owned(), count: 1 };
    sim.mgr.set_health(Some(Health { status: "HEALTH_ERR".to_owned(), checks: vec![check] }));
    let told = minimal().await;
    assert_eq!(status(&told), "HEALTH_ERR");
    assert_eq!(told["health"]["checks"][0]["type"], "OSD_NEARFULL");
    let back = sim.send("POST", "/_sim/ceph/health", &[], Some(&json!({}))).await;
    assert_eq!((back.status, status(&minimal().await).as_str()), (200, "HEALTH_OK"));

    let down = sim.send("POST", "/_sim/ceph/osds", &[], Some(&json!({ "down": [3, 4] }))).await;
    assert_eq!((down.status, status(&minimal().await).as_str()), (200, "HEALTH_WARN"));
    let unknown = sim.send("POST", "/_sim/ceph/osds", &[], Some(&json!({ "dwon": [3] }))).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn a_saved_state_goes_on() {
    let sim = demo();
    let token = sim.login(DEMO.0, DEMO.1).await;
    assert_eq!(sim.call(&token, "POST", "/api/pool", new_pool("vms")).await.status, 202);
    sim.mgr.advance(Duration::from_secs(5));
    let saved = sim.mgr.snapshot();

    let other = Sim::golden(Release::V16);
    other.mgr.restore(saved).unwrap();
    let pool = other.call(&token, "GET", "/api/pool/vms", Value::Null).await;
    assert_eq!((pool.status, &pool.body["size"]), (200, &json!(3)));
    assert!(other.mgr.restore(json!({ "cluster": 1 })).unwrap_err().starts_with("Ceph: "));
}
