//! What every simulated endpoint does, over real connections: faults, hooks, counters, coming and going, TLS, its state.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use skyy_sim::{
    Fault, FaultKind, Hook, Match, Running, Sim, StateFile, Stored, When,
    pfsense::{Options, Pfsense},
};

const VIP: &str = "/api/v2/firewall/virtual_ip";
const VIPS: &str = "/api/v2/firewall/virtual_ips";

fn client() -> Client {
    // Only the first test to come here installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().build().unwrap()
}

async fn started() -> Running<Pfsense> {
    Sim::builder(Arc::new(Pfsense::new(Options::golden()))).start().await.unwrap()
}

async fn send(
    client: &Client,
    url: &str,
    method: &str,
    path: &str,
    body: impl Into<Option<Value>>,
) -> reqwest::Result<Response> {
    let key = "0123456789abcdef".repeat(3);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = client.request(method, format!("{url}{path}")).header("X-API-Key", key);
    match body.into() {
        Some(body) => request.json(&body).send().await,
        None => request.send().await,
    }
}

fn vip(last: u8) -> Value {
    json!({"mode": "ipalias", "interface": "wan", "subnet": format!("198.18.0.{last}"), "subnet_bits": 32})
}

/// Sends one GET of the virtual IPs with a fault in force.
async fn with_fault(kind: FaultKind) -> reqwest::Result<Response> {
    let sim = started().await;
    sim.faults().add(Fault::new(Match::next("GET", "/api/v2/*"), kind));
    send(&client(), &sim.url(), "GET", VIPS, None).await
}

#[tokio::test]
async fn a_refused_request_gets_no_answer_and_is_no_call() {
    let (sim, client) = (started().await, client());
    sim.faults().add(Fault::refuse(Match::next("POST", VIP)));
    assert!(send(&client, &sim.url(), "POST", VIP, vip(1)).await.is_err());
    assert_eq!((sim.counts().refused, sim.counts().total.calls), (1, 0));
    assert!(sim.product().rows("virtual_ips").is_empty());
    assert_eq!(send(&client, &sim.url(), "POST", VIP, vip(1)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write() {
    let (sim, client) = (started().await, client());
    sim.faults().add(Fault::answer_lost(Match::next("POST", VIP)));
    assert!(send(&client, &sim.url(), "POST", VIP, vip(1)).await.is_err());
    assert_eq!(sim.product().rows("virtual_ips").len(), 1);
    assert_eq!(sim.requests().last().unwrap().status, 0);
}

#[tokio::test]
async fn error_answers_carry_their_status_and_retry_after() {
    for (status, retry_after) in [(401, None), (403, None), (429, Some(7)), (500, None), (503, Some(300))] {
        let answer = with_fault(FaultKind::Status { status, retry_after, body: None }).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let sent =
            answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(sent, retry_after);
        assert!(answer.json::<Value>().await.unwrap().is_object());
    }
}

#[tokio::test]
async fn broken_json_and_a_html_page_come_with_200() {
    let answer = with_fault(FaultKind::BrokenJson).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.json::<Value>().await.is_err());
    let answer = with_fault(FaultKind::HtmlPage).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "text/html;charset=UTF-8")
    );
}

#[tokio::test]
async fn a_hanging_request_ends_when_the_endpoint_stops() {
    let (sim, client) = (started().await, client());
    sim.faults().add(Fault::new(Match::next("GET", "*"), FaultKind::Hang));
    let url = sim.url();
    let hanging = tokio::spawn(async move { send(&client, &url, "GET", VIPS, None).await.is_err() });
    while sim.counts().total.calls == 0 {
        tokio::task::yield_now().await;
    }
    sim.stop().await;
    assert!(hanging.await.unwrap());
}

#[tokio::test]
async fn a_delayed_request_is_answered_all_the_same() {
    let answer = with_fault(FaultKind::Delay { ms: 5 }).await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["response_id"], "SUCCESS");
}

#[tokio::test]
async fn a_stopped_endpoint_refuses_and_comes_back_with_its_state() {
    let (sim, client) = (started().await, client());
    let (url, addr) = (sim.url(), sim.addr());
    send(&client, &url, "POST", VIP, vip(1)).await.unwrap();
    for _ in 0..3 {
        sim.stop().await;
        assert!(send(&client, &url, "GET", VIPS, None).await.unwrap_err().is_connect());
        sim.start().await.unwrap();
        sim.start().await.unwrap(); // running already: nothing happens
        assert_eq!(sim.addr(), addr);
        let listed = send(&client, &url, "GET", VIPS, None).await.unwrap().json::<Value>().await.unwrap();
        assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_taken_address_is_an_error_with_the_way_out() {
    let sim = started().await;
    let other =
        Sim::builder(Arc::new(Pfsense::new(Options::golden()))).addr(sim.addr().to_string()).start().await;
    let message = other.unwrap_err().to_string();
    assert!(message.contains(&sim.addr().to_string()) && message.contains("port 0"), "{message}");
}

#[tokio::test]
async fn an_unplugged_endpoint_drops_everything_but_its_control() {
    let (sim, client) = (started().await, client());
    let url = sim.url();
    let post = |path: &'static str, body: Value| client.post(format!("{url}{path}")).json(&body).send();
    assert_eq!(post("/_sim/unplug", json!({"ms": 600_000})).await.unwrap().status(), 204);
    assert!(send(&client, &url, "GET", VIPS, None).await.is_err());
    let counters =
        client.get(format!("{url}/_sim/counters")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!((counters["refused"].as_u64(), counters["total"]["calls"].as_u64()), (Some(1), Some(0)));
    assert_eq!(post("/_sim/plug", json!({})).await.unwrap().status(), 204);
    assert!(send(&client, &url, "GET", VIPS, None).await.is_ok());
    sim.unplug(Duration::from_mins(10));
    assert!(send(&client, &url, "GET", VIPS, None).await.is_err());
    sim.plug();
    assert!(send(&client, &url, "GET", VIPS, None).await.is_ok());
}

#[tokio::test]
async fn a_hook_edits_between_a_read_and_a_write() {
    let (sim, client) = (started().await, client());
    let url = sim.url();
    for last in 1..=2 {
        send(&client, &url, "POST", VIP, vip(last)).await.unwrap();
    }
    let person = Stored::new("DELETE", &format!("{VIP}?id=0"), None);
    sim.hooks().add(Hook { on: Match::next("PATCH", VIP), when: When::Before, request: person }).unwrap();
    // Meant for .1, which was id 0 when it was read; the id is another object's by now.
    let patched = send(&client, &url, "PATCH", VIP, json!({"id": 0, "descr": "mine"})).await.unwrap();
    let patched = patched.json::<Value>().await.unwrap();
    assert_eq!((patched["code"].as_u64(), &patched["data"]["subnet"]), (Some(200), &json!("198.18.0.2")));
    assert_eq!(sim.hooks().list()[0].last_status, Some(200));
    assert_eq!(sim.counts().method("DELETE"), 0, "a person's calls are not counted");
    let after = Stored::new("POST", VIP, Some(vip(9)));
    sim.hooks().add(Hook { on: Match::next("GET", VIPS).nth(2), when: When::After, request: after }).unwrap();
    for expected in [1, 1, 2] {
        let listed = send(&client, &url, "GET", VIPS, None).await.unwrap().json::<Value>().await.unwrap();
        assert_eq!(listed["data"].as_array().unwrap().len(), expected);
    }
}

#[tokio::test]
async fn the_control_surface_does_what_the_library_does() {
    let (sim, client) = (started().await, client());
    let url = sim.url();
    let get = |path: &str| client.get(format!("{url}{path}")).send();
    let fault =
        json!({"method": "GET", "path": VIPS, "nth": 2, "kind": "status", "status": 503, "retry_after": 9});
    let added = client.post(format!("{url}/_sim/faults")).json(&fault).send().await.unwrap();
    assert_eq!(added.json::<Value>().await.unwrap(), json!({"id": 1}));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(send(&client, &url, "GET", VIPS, None).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 200]);
    let faults = get("/_sim/faults").await.unwrap().json::<Value>().await.unwrap();
    assert_eq!((&faults[0]["seen"], &faults[0]["fired"]), (&json!(3), &json!(1)));
    assert_eq!(client.delete(format!("{url}/_sim/faults/1")).send().await.unwrap().status(), 204);
    assert_eq!(client.delete(format!("{url}/_sim/faults/1")).send().await.unwrap().status(), 404);
    let counters = get("/_sim/counters").await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(counters["by_path"][format!("GET {VIPS}")]["calls"], 3);
    let requests = get("/_sim/requests").await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(requests[1], json!({"seq": 2, "method": "GET", "path": VIPS, "status": 503}));
    assert_eq!(client.post(format!("{url}/_sim/counters/reset")).send().await.unwrap().status(), 204);
    assert_eq!(sim.counts().total.calls, 0);
    let state = get("/_sim/state").await.unwrap().json::<Value>().await.unwrap();
    send(&client, &url, "POST", VIP, vip(1)).await.unwrap();
    let put = client.put(format!("{url}/_sim/state")).json(&state).send().await.unwrap();
    assert_eq!((put.status().as_u16(), sim.product().rows("virtual_ips").len()), (204, 0));
    let put = client.put(format!("{url}/_sim/state")).json(&json!({"x": 1})).send().await.unwrap();
    assert_eq!(put.status(), 400);
    let hook = json!({"method": "GET", "path": VIPS, "when": "after", "request": {"method": "GET", "path": "no path"}});
    assert_eq!(client.post(format!("{url}/_sim/hook")).json(&hook).send().await.unwrap().status(), 400);
    assert_eq!(get("/_sim/nothing").await.unwrap().status(), 404);
    assert_eq!(get("/_sim").await.unwrap().status(), 200);
}

#[tokio::test]
async fn tls_has_a_certificate_that_can_be_trusted_and_pinned() {
    let product = Arc::new(Pfsense::new(Options::golden()));
    let sim = Sim::builder(product).tls(true).start().await.unwrap();
    assert!(sim.url().starts_with("https://127.0.0.1:"));
    assert!(send(&client(), &sim.url(), "GET", VIPS, None).await.is_err(), "nobody trusts it unasked");
    let ca = reqwest::Certificate::from_pem(sim.certificate_pem().unwrap().as_bytes()).unwrap();
    let trusting = Client::builder().tls_certs_only([ca]).build().unwrap();
    assert_eq!(send(&trusting, &sim.url(), "GET", VIPS, None).await.unwrap().status(), 200);
    let fingerprint = sim.fingerprint_sha256().unwrap().to_owned();
    sim.stop().await;
    sim.start().await.unwrap();
    assert_eq!(sim.fingerprint_sha256().unwrap(), fingerprint);
    assert_eq!(send(&trusting, &sim.url(), "GET", VIPS, None).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_state_file_is_saved_after_changes_and_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let start = |file: &Arc<StateFile>| {
        let product = Arc::new(Pfsense::new(Options::golden()));
        Sim::builder(product).state(Arc::clone(file), "pfsense").start()
    };
    let client = client();
    {
        let file = StateFile::open(&path).unwrap();
        let sim = start(&file).await.unwrap();
        let saving = tokio::spawn(Arc::clone(&file).save_on_change());
        send(&client, &sim.url(), "POST", VIP, vip(1)).await.unwrap();
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains("198.18.0.1")) {
            tokio::task::yield_now().await;
        }
        saving.abort();
        send(&client, &sim.url(), "POST", VIP, vip(2)).await.unwrap();
        file.save().unwrap();
    }
    let sim = start(&StateFile::open(&path).unwrap()).await.unwrap();
    assert_eq!(sim.product().rows("virtual_ips").len(), 2);
    std::fs::write(&path, "{\"pfsense\": {\"running\": 1}}").unwrap();
    let message = start(&StateFile::open(&path).unwrap()).await.unwrap_err().to_string();
    assert!(message.contains("state.json") && message.contains("remove it"), "{message}");
    std::fs::write(&path, "{").unwrap();
    assert!(StateFile::open(&path).unwrap_err().to_string().contains("is not JSON"));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sim = started().await;
    let mut stream = tokio::net::TcpStream::connect(sim.addr()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"</html>\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed after {}", answer.len());
        }
        assert!(answer.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    }
    assert_eq!(sim.counts().path("GET", "/nowhere"), 3);
}
