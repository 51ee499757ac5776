//! What the recordings of pfSense cannot show: what is loaded, what parallel writes lose, locks, bans, cost.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skyy_sim::{
    Clock, NoAnswer, Peer, Product,
    pfsense::{BanPolicy, Options, Pfsense},
};
use tower::ServiceExt;

const VIP: &str = "firewall/virtual_ip";
const RULE: &str = "firewall/rule";
const NAT: &str = "firewall/nat/one_to_one/mapping";
const MAP: &str = "services/dhcp_server/static_mapping";

/// A box whose time is moved by hand, with a reload of two seconds.
struct Bench {
    router: Router,
    product: Arc<Pfsense>,
    clock: Clock,
    key: String,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let clock = Clock::manual();
        let mut options = Options {
            clock: clock.clone(),
            reload: Duration::from_secs(2),
            race_window: Some(Duration::ZERO),
            ..Options::golden()
        };
        change(&mut options);
        let product = Arc::new(Pfsense::new(options));
        let router = Arc::clone(&product).router();
        Self { router, product, clock, key: "0123456789abcdef".repeat(3) }
    }

    async fn raw(&self, method: &str, uri: &str, body: Option<Value>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(uri).header("X-API-Key", &self.key);
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Peer(SocketAddr::from(([192, 0, 2, 7], 1000))));
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status and answer.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.raw(method, &format!("/api/v2/{path}"), body).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The data of a call that succeeds.
    #[track_caller]
    fn ok(&self, method: &str, path: &str, body: Option<Value>) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let (status, answer) = self.call(method, path, body).await;
            assert_eq!(status, 200, "{caller}: {answer}");
            answer["data"].clone()
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ok("POST", path, Some(body)).await
    }

    async fn applied(&self, path: &str) -> bool {
        self.ok("GET", &format!("{path}/apply"), None).await["applied"] == true
    }

    fn loaded(&self, collection: &str, field: &str) -> Vec<String> {
        let loaded = self.product.loaded();
        let rows = loaded[collection].as_array().unwrap();
        rows.iter().map(|row| row[field].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn vip(last: u8) -> Value {
    json!({"mode": "ipalias", "interface": "wan", "subnet": format!("198.18.0.{last}"), "subnet_bits": 32})
}

fn rule(destination: &str) -> Value {
    json!({
        "type": "pass", "interface": ["wan"], "ipprotocol": "inet", "protocol": "tcp", "source": "any",
        "destination": destination, "destination_port": "22", "descr": destination,
    })
}

fn mapping(last: u8) -> Value {
    json!({
        "interface": "wan", "external": format!("198.18.0.{last}"), "source": format!("10.20.1.{last}"),
        "destination": "any",
    })
}

fn reservation(last: u8) -> Value {
    json!({"parent_id": "opt3", "mac": format!("02:00:00:00:00:{last:02x}"), "ipaddr": format!("10.20.1.{last}")})
}

#[tokio::test]
async fn nothing_is_loaded_before_it_is_applied() {
    let bench = Bench::new(|_| ());
    bench.post(VIP, vip(1)).await;
    bench.post(RULE, rule("10.20.1.1")).await;
    bench.post(NAT, mapping(1)).await;
    bench.post(MAP, reservation(1)).await;
    let before = bench.product.loaded();
    assert_eq!(
        (&before["virtual_ips"], &before["one_to_one"], &before["static_mappings"]["opt3"]),
        (&json!([]), &json!([]), &json!([]))
    );
    bench.post("firewall/apply", json!({})).await;
    assert_eq!(bench.loaded("rules", "descr").len(), 1, "the reload takes two seconds");
    bench.seconds(2);
    assert_eq!(bench.loaded("rules", "descr"), ["Default allow LAN to any rule", "10.20.1.1"]);
    assert_eq!(bench.loaded("one_to_one", "external"), ["198.18.0.1"]);
    assert_eq!(bench.loaded("virtual_ips", "subnet"), [""; 0]);
    bench.post("firewall/virtual_ip/apply", json!({"async": false})).await;
    assert_eq!(bench.loaded("virtual_ips", "subnet"), ["198.18.0.1"]);
    bench.post("services/dhcp_server/apply", json!({"async": false})).await;
    let loaded = bench.product.loaded();
    assert_eq!(loaded["static_mappings"]["opt3"][0]["ipaddr"], "10.20.1.1");
    assert_eq!(loaded["applies"], json!({"firewall": 1, "virtual_ip": 1, "dhcp_server": 1}));
    assert_eq!((&loaded["filter_reloads"], &loaded["busy"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn a_deleted_lower_vip_leaves_a_new_one_unconfigured_yet_applied() {
    let bench = Bench::new(|_| ());
    bench.post(VIP, vip(1)).await;
    bench.post("firewall/virtual_ip/apply", json!({"async": false})).await;
    bench.post(VIP, vip(2)).await;
    bench.ok("DELETE", &format!("{VIP}?id=0"), None).await;
    assert_eq!(bench.loaded("virtual_ips", "subnet"), [""; 0], "a delete acts at once");
    bench.post("firewall/virtual_ip/apply", json!({"async": false})).await;
    assert!(bench.applied(VIP).await);
    assert_eq!(bench.loaded("virtual_ips", "subnet"), [""; 0]);
}

#[tokio::test]
async fn a_patched_vip_replaces_what_was_configured() {
    let bench = Bench::new(|_| ());
    bench.post(VIP, vip(1)).await;
    bench.post(VIP, vip(2)).await;
    bench.post("firewall/virtual_ip/apply", json!({"async": false})).await;
    bench
        .ok("PATCH", VIP, Some(json!({"id": 0, "subnet": "198.18.0.9", "apply": true, "async": false})))
        .await;
    assert_eq!(bench.loaded("virtual_ips", "subnet"), ["198.18.0.2", "198.18.0.9"]);
}

#[tokio::test]
async fn a_change_during_a_reload_is_never_loaded_though_applied() {
    let bench = Bench::new(|_| ());
    bench.post(NAT, mapping(1)).await;
    bench.post("firewall/apply", json!({})).await;
    bench.seconds(1);
    bench.post(NAT, mapping(2)).await;
    assert!(!bench.applied("firewall").await);
    bench.seconds(1);
    assert!(bench.applied("firewall").await);
    assert_eq!(bench.loaded("one_to_one", "external"), ["198.18.0.1"]);
}

#[tokio::test]
async fn an_inline_apply_claims_to_be_applied_before_it_is() {
    let bench = Bench::new(|_| ());
    let mut body = mapping(1);
    body["apply"] = json!(true);
    bench.post(NAT, body).await;
    assert!(bench.applied("firewall").await);
    assert_eq!(bench.loaded("one_to_one", "external"), [""; 0]);
    bench.seconds(2);
    assert_eq!(bench.loaded("one_to_one", "external"), ["198.18.0.1"]);
}

#[tokio::test]
async fn a_vip_apply_loads_the_filter_too() {
    let bench = Bench::new(|_| ());
    bench.post(NAT, mapping(1)).await;
    bench.post("firewall/virtual_ip/apply", json!({"async": false})).await;
    assert!(bench.applied("firewall").await);
    assert_eq!(bench.loaded("one_to_one", "external"), ["198.18.0.1"]);
}

#[tokio::test]
async fn queued_applies_run_one_by_one() {
    let bench = Bench::new(|_| ());
    for _ in 0..10 {
        bench.post("firewall/apply", json!({})).await;
    }
    assert_eq!(bench.call("POST", "firewall/apply", None).await.0, 503);
    bench.post("firewall/virtual_ip/apply", json!({})).await; // a queue of its own
    for (after, runs) in [(2, 1), (1, 1), (1, 2), (100, 10)] {
        bench.seconds(after);
        assert_eq!(bench.product.loaded()["applies"]["firewall"], runs);
    }
}

#[tokio::test]
async fn pf_has_floating_rules_first_and_none_that_are_disabled_or_unresolvable() {
    let bench = Bench::new(|_| ());
    bench.post("firewall/alias", json!({"name": "hosts", "type": "host", "address": ["10.20.1.9"]})).await;
    bench.post(RULE, rule("10.20.1.1")).await;
    bench.post(RULE, rule("hosts")).await;
    let mut floating = rule("10.20.1.2");
    floating["floating"] = json!(true);
    bench.post(RULE, floating).await;
    let mut disabled = rule("10.20.1.3");
    disabled["disabled"] = json!(true);
    bench.post(RULE, disabled).await;
    let apply = json!({"async": false});
    bench.post("firewall/apply", apply.clone()).await;
    assert_eq!(
        bench.loaded("rules", "descr"),
        ["10.20.1.2", "Default allow LAN to any rule", "10.20.1.1", "hosts"]
    );
    bench.ok("DELETE", "firewall/alias?id=0", None).await;
    bench.post("firewall/apply", apply).await;
    assert_eq!(bench.loaded("rules", "descr"), ["10.20.1.2", "Default allow LAN to any rule", "10.20.1.1"]);
    let (status, answer) = bench.call("PATCH", RULE, Some(json!({"id": 2, "descr": "x"}))).await;
    assert_eq!((status, &answer["response_id"]), (400, &json!("FILTER_ADDRESS_FIELD_INVALID")));
}

#[tokio::test]
async fn parallel_writes_lose_data_and_say_200() {
    let bench = Bench::new(|options| options.race_window = Some(Duration::from_millis(50)));
    let posts = (1..=8).map(|last| bench.post(VIP, vip(last)));
    let answers = futures::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| answer["id"] == 0), "one id for all: {answers:?}");
    assert_eq!(bench.product.rows("virtual_ips").len(), 1);
    // The unit is the whole configuration: kinds lose each other's writes too.
    futures::future::join(bench.post(NAT, mapping(1)), bench.post(MAP, reservation(1))).await;
    assert_eq!(bench.product.rows("one_to_one").len() + bench.product.rows("static_mappings").len(), 1);
}

#[tokio::test]
async fn writes_that_wait_for_each_other_lose_nothing() {
    let bench = Bench::new(|options| options.race_window = None);
    let mut answers = futures::future::join_all((1..=20).map(|last| bench.post(VIP, vip(last)))).await;
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert!(answers.iter().enumerate().all(|(id, answer)| answer["id"] == id), "{answers:?}");
    assert_eq!(bench.product.rows("virtual_ips").len(), 20);
}

#[tokio::test]
async fn failed_logins_bring_a_ban_for_a_while() {
    let mut bench = Bench::new(|options| options.ban = Some(BanPolicy::default()));
    let good = std::mem::replace(&mut bench.key, "wrong".to_owned());
    for _ in 0..4 {
        assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 401);
    }
    bench.key = good;
    let dropped = bench.raw("GET", "/api/v2/firewall/rules", None).await;
    assert!(dropped.extensions().get::<NoAnswer>().is_some(), "the right key does not help any more");
    assert_eq!(bench.raw("GET", "/_sim/loaded", None).await.status(), 200);
    bench.seconds(121);
    assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 200);
}

#[tokio::test]
async fn a_rotated_key_replaces_the_old_one() {
    let mut bench = Bench::new(|_| ());
    bench.product.set_api_key("apiadmin", "feedfeed");
    assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 401);
    bench.key = "feedfeed".to_owned();
    assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 200);
}

#[tokio::test]
async fn locks_that_nobody_gives_back_stop_writes_and_applies() {
    let bench = Bench::new(|_| ());
    let tune = |knobs: Value| bench.raw("PUT", "/_sim/pfsense", Some(knobs));
    assert_eq!(tune(json!({"write_lock": true})).await.status(), 200);
    let before = bench.clock.now();
    let (status, answer) = bench.call("POST", VIP, Some(vip(1))).await;
    assert_eq!((status, &answer["response_id"]), (503, &json!("MODEL_WRITE_CONFIG_LOCKED")));
    assert_eq!(bench.clock.now().checked_sub(before).unwrap(), Duration::from_secs(61));
    assert!(!bench.applied(VIP).await, "the failed write left its mark");
    tune(json!({"write_lock": false, "apply_lock": true})).await;
    bench.post(NAT, mapping(1)).await;
    bench.post("firewall/apply", json!({})).await;
    bench.seconds(3600);
    assert!(!bench.applied("firewall").await, "no queued job begins");
    bench.post("firewall/apply", json!({"async": false})).await;
    assert!(bench.applied("firewall").await, "one that is waited for passes by");
}

#[tokio::test]
async fn a_mass_delete_of_many_dies_half_way_without_json() {
    let bench = Bench::new(|_| ());
    let maps: Vec<Value> = (0..120).map(|last| reservation(last + 1)).collect();
    bench.ok("PATCH", "services/dhcp_server", Some(json!({"id": "opt3", "staticmap": maps}))).await;
    let path = "services/dhcp_server/static_mappings?parent_id=opt3";
    assert_eq!(bench.call("DELETE", path, None).await, (500, Value::Null));
    let left = bench.product.rows("static_mappings").len();
    assert!((1..120).contains(&left), "{left} left");
    bench.ok("DELETE", path, None).await;
    assert!(bench.product.rows("static_mappings").is_empty());
}

#[tokio::test]
async fn a_mass_delete_of_rules_keeps_the_last_one() {
    let bench = Bench::new(|_| ());
    for last in 1..=3 {
        bench.post(RULE, rule(&format!("10.20.1.{last}"))).await;
    }
    assert_eq!(bench.call("DELETE", "firewall/rules?all=true", None).await.0, 403);
    assert_eq!(bench.product.rows("rules").len(), 1);
}

#[tokio::test]
async fn sorting_on_a_write_orders_all_rules() {
    let bench = Bench::new(|_| ());
    for last in [3, 1] {
        bench.post(RULE, rule(&format!("10.20.1.{last}"))).await;
    }
    let mut body = rule("10.20.1.2");
    body["sort_by"] = json!("descr");
    assert_eq!(bench.post(RULE, body).await["id"], 1);
    let order: Vec<_> = bench.product.rows("rules").iter().map(|row| row["descr"].clone()).collect();
    assert_eq!(order, ["10.20.1.1", "10.20.1.2", "10.20.1.3", "Default allow LAN to any rule"]);
}

#[tokio::test]
async fn a_port_forward_makes_its_rule_and_takes_it_along() {
    let bench = Bench::new(|_| ());
    let forward = json!({
        "interface": "wan", "protocol": "tcp", "source": "any", "destination": "198.51.100.2",
        "destination_port": "8443", "target": "10.20.1.5", "local_port": "443", "descr": "web",
        "associated_rule_id": "new",
    });
    let made = bench.post("firewall/nat/port_forward", forward.clone()).await;
    let rules = bench.product.rows("rules");
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[1]["associated_rule_id"], made["associated_rule_id"]);
    assert_eq!(
        (&rules[1]["destination"], &rules[1]["destination_port"]),
        (&json!("10.20.1.5"), &json!("443"))
    );
    bench.ok("DELETE", "firewall/nat/port_forward?id=0", None).await;
    assert_eq!(bench.product.rows("rules").len(), 1);
    let mut bad = forward;
    bad["target"] = json!("nowhere");
    let (status, answer) = bench.call("POST", "firewall/nat/port_forward", Some(bad)).await;
    assert_eq!((status, &answer["response_id"]), (400, &json!("SPECIAL_NETWORK_FIELD_INVALID")));
}

#[tokio::test]
async fn outbound_translation_has_a_mode_and_mappings() {
    let bench = Bench::new(|_| ());
    let mode = "firewall/nat/outbound/mode";
    assert_eq!(bench.call("PATCH", mode, Some(json!({"mode": "x"}))).await.0, 400);
    bench.ok("PATCH", mode, Some(json!({"mode": "hybrid"}))).await;
    assert_eq!(bench.ok("GET", mode, None).await, json!({"mode": "hybrid"}));
    let mapping =
        json!({"interface": "wan", "source": "10.20.0.0/16", "destination": "any", "target": "198.18.0.1"});
    let made = bench.post("firewall/nat/outbound/mapping", mapping).await;
    assert_eq!((&made["target_subnet"], &made["nat_port"]), (&json!(128), &json!("")));
    assert!(!bench.applied("firewall").await);
    bench.post("firewall/apply", json!({"async": false})).await;
    assert_eq!(bench.product.loaded()["outbound_mode"], "hybrid");
    assert_eq!(bench.loaded("outbound", "source"), ["10.20.0.0/16"]);
}

#[tokio::test]
async fn the_office_has_rows_of_others_and_a_second_start_goes_on() {
    let bench = Bench::new(|options| *options = Options { clock: options.clock.clone(), ..Options::demo() });
    let counts = |product: &Pfsense| {
        ["virtual_ips", "one_to_one", "rules", "static_mappings"].map(|name| product.rows(name).len())
    };
    assert_eq!(counts(&bench.product), [2, 2, 6, 3]);
    assert_eq!(bench.loaded("rules", "descr").len(), 6, "a booted box has everything loaded");
    bench.post(VIP, vip(1)).await;
    bench.ok("PATCH", VIP, Some(json!({"id": 0, "descr": "pending"}))).await;
    let snapshot = bench.product.snapshot();
    let second = Pfsense::new(Options { clock: bench.clock.clone(), ..Options::golden() });
    second.restore(snapshot.clone()).unwrap();
    assert_eq!(second.snapshot(), snapshot);
    assert_eq!(counts(&second), [3, 2, 6, 3]);
    assert!(second.restore(json!({})).is_err());
    assert_eq!(second.snapshot(), snapshot, "a refused state changes nothing");
}

#[tokio::test]
async fn every_row_of_a_preset_passes_the_box_own_validation() {
    for options in [Options::golden(), Options::demo()] {
        let bench = Bench::new(|all| {
            *all = Options { clock: all.clock.clone(), race_window: all.race_window, ..options }
        });
        for (collection, path) in
            [("virtual_ips", VIP), ("one_to_one", NAT), ("rules", RULE), ("static_mappings", MAP)]
        {
            for row in bench.product.rows(collection) {
                let patch = json!({"parent_id": row["parent_id"], "id": row["id"], "descr": "checked"});
                assert_eq!(bench.ok("PATCH", path, Some(patch)).await["descr"], "checked");
            }
        }
    }
}

#[tokio::test]
async fn realistic_cost_grows_with_the_table_on_the_box_clock() {
    let bench = Bench::new(|options| options.realistic_cost = true);
    let mut spent = Vec::new();
    for last in 1..=40 {
        let before = bench.clock.now();
        bench.post(VIP, vip(last)).await;
        spent.push(bench.clock.now().checked_sub(before).unwrap());
    }
    assert!(spent.is_sorted() && spent[39] > spent[0], "{spent:?}");
    assert!((15..60).contains(&spent[39].as_millis()), "{spent:?}");
}

#[tokio::test]
async fn a_read_only_box_refuses_writes_and_a_limited_user_what_is_not_granted() {
    let mut bench = Bench::new(|_| ());
    bench.product.set_settings(json!({"read_only": true}).as_object().unwrap());
    let (status, answer) = bench.call("POST", VIP, Some(vip(1))).await;
    assert_eq!(
        (status, &answer["response_id"]),
        (405, &json!("ENDPOINT_METHOD_NOT_ALLOWED_IN_READ_ONLY_MODE"))
    );
    assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 200);
    bench.key = "fedcba9876543210".repeat(3);
    assert_eq!(bench.call("GET", "firewall/rules", None).await.0, 403);
    assert_eq!(bench.call("GET", "firewall/virtual_ips", None).await.0, 200);
}
