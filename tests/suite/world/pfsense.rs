//! A simulated pfSense beside a test: what stands on it and whose it is, a person at its keyboard, and the manifests of
//! the objects that name it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use skyy_sim::{
    Running, Sim,
    pfsense::{Options, Pfsense},
};

use super::{NAMESPACE, Object, SYSTEM, World};

/// The key that a simulated box takes.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// The tables that the operator writes.
pub(crate) const TABLES: [&str; 4] = ["virtual_ips", "one_to_one", "static_mappings", "rules"];

/// What the box writes into a row by itself.
const STAMPS: [&str; 5] = ["id", "created_time", "created_by", "updated_time", "updated_by"];

/// How a mark begins.
const MARK: &str = "[skyy:";

/// One simulated pfSense.
pub(crate) struct Pf {
    /// The name of its Firewall.
    pub(crate) name: String,
    pub(crate) sim: Arc<Running<Pfsense>>,
    http: reqwest::Client,
}

impl World {
    /// Starts a box with rows of others on it. Nothing names it yet.
    pub(crate) async fn pfsense(&self, name: &str) -> Pf {
        self.start_pfsense(name, false).await
    }

    /// Starts a box that speaks TLS with a certificate of its own.
    pub(crate) async fn pfsense_tls(&self, name: &str) -> Pf {
        self.start_pfsense(name, true).await
    }

    async fn start_pfsense(&self, name: &str, tls: bool) -> Pf {
        let options = Options { reload: Duration::from_millis(20), ..Options::demo() };
        let sim = Arc::new(Sim::builder(Arc::new(Pfsense::new(options))).tls(tls).start().await.unwrap());
        let followed = sim.clone();
        self.follow(name, Box::new(move || followed.requests()));
        Pf { name: name.into(), sim, http: reqwest::Client::builder().build().unwrap() }
    }

    /// Applies the Secret and the Firewall of a box.
    pub(crate) async fn firewall_manifests(&self, pf: &Pf) {
        self.secret(pf, KEY).await;
        self.apply(firewall(pf)).await;
    }

    /// Applies the Secret and the Firewall of a box, and waits until it is Ready.
    pub(crate) async fn firewall(&self, pf: &Pf) -> Object {
        self.firewall_manifests(pf).await;
        self.ready("Firewall", &pf.name).await
    }

    /// A box with its Firewall, Ready, and the operator running: where most tests begin.
    pub(crate) async fn edge(&self) -> Pf {
        let pf = self.pfsense("edge").await;
        self.operator().await;
        self.firewall(&pf).await;
        pf
    }

    /// Waits until a box was looked at this many times more.
    pub(crate) async fn looked(&self, pf: &Pf, further: u64) {
        let target = pf.looks() + further;
        self.until(&format!("{further} further looks"), async || (pf.looks() >= target).then_some(())).await;
    }

    /// Waits until one look at a box has passed in which nothing was written.
    pub(crate) async fn at_rest(&self, pf: &Pf) {
        self.until("nothing is written from one look to the next", async || {
            let before = self.versions().await;
            self.looked(pf, 1).await;
            (self.versions().await == before).then_some(())
        })
        .await;
    }

    /// Applies the Secret that a box's Firewall names.
    pub(crate) async fn secret(&self, pf: &Pf, key: &str) {
        self.apply(json!({
            "kind": "Secret", "metadata": {"name": format!("{}-pfsense", pf.name), "namespace": SYSTEM},
            "stringData": {"api-key": key},
        }))
        .await;
    }
}

impl Pf {
    /// The rows of a table as its API lists them.
    pub(crate) fn rows(&self, table: &str) -> Vec<Value> {
        self.sim.product().rows(table)
    }

    /// The rows of a table that carry a mark.
    pub(crate) fn ours(&self, table: &str) -> Vec<Value> {
        self.rows(table).into_iter().filter(is_marked).collect()
    }

    /// How many rows carry a mark, of all tables.
    pub(crate) fn owned(&self) -> usize {
        TABLES.iter().map(|table| self.ours(table).len()).sum()
    }

    /// The row whose description begins so.
    pub(crate) fn row(&self, table: &str, description: &str) -> Option<Value> {
        self.rows(table)
            .into_iter()
            .find(|row| row["descr"].as_str().is_some_and(|text| text.starts_with(description)))
    }

    /// The rows of others, to the letter and in their order. Left out are positions, who wrote a rule and when, and fields
    /// that hold nothing: all of that the box itself writes anew on every rule of a list that is written as a whole.
    pub(crate) fn foreign(&self) -> Value {
        let mut tables = BTreeMap::new();
        for table in TABLES {
            let mut rows: Vec<Value> = self.rows(table).into_iter().filter(|row| !is_marked(row)).collect();
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                row.retain(|name, value| {
                    let empty = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
                    !empty && !STAMPS.contains(&name.as_str())
                });
            }
            tables.insert(table, rows);
        }
        json!(tables)
    }

    /// What each of our rows says, positions and dates apart: to compare two ways to the same end.
    pub(crate) fn content(&self) -> Vec<String> {
        let mut content = Vec::new();
        for table in TABLES {
            for mut row in self.ours(table) {
                for stamp in STAMPS {
                    row.as_object_mut().unwrap().remove(stamp);
                }
                content.push(format!("{table} {row}"));
            }
        }
        content.sort();
        content
    }

    /// What is configured and not running, or runs and is configured no more.
    pub(crate) fn not_loaded(&self) -> Vec<String> {
        let state = self.snapshot();
        let (config, loaded) = (&state["running"]["config"], &state["running"]["loaded"]);
        let mut wrong = Vec::new();
        for table in TABLES {
            let (configured, running) = (descriptions(&config[table]), descriptions(&loaded[table]));
            if configured != running {
                wrong.push(format!("{table}: configured {configured:?}, running {running:?}"));
            }
        }
        wrong
    }

    /// How many looks at all rows have begun.
    pub(crate) fn looks(&self) -> u64 {
        self.sim.counts().path("GET", "/api/v2/firewall/virtual_ips")
    }

    /// How often each dispatcher has run.
    pub(crate) fn applies(&self) -> Value {
        self.sim.product().loaded()["applies"].clone()
    }

    fn snapshot(&self) -> Value {
        skyy_sim::Product::snapshot(&**self.sim.product())
    }

    /// Changes a row by hand, through the box's own API, as a person in its GUI would. The row is known by how its
    /// description begins.
    pub(crate) async fn change_by_hand(&self, table: &str, description: &str, changes: Value) {
        let mut body = self.position(table, description);
        super::objects::merge(&mut body, changes);
        self.by_hand(Method::PATCH, path(table), Some(body)).await;
    }

    /// Deletes a row by hand.
    pub(crate) async fn delete_by_hand(&self, table: &str, description: &str) {
        let at = self.position(table, description);
        let parent =
            at["parent_id"].as_str().map_or_else(String::new, |parent| format!("&parent_id={parent}"));
        self.by_hand(Method::DELETE, &format!("{}?id={}{parent}", path(table), at["id"]), None).await;
    }

    /// Adds a row by hand.
    pub(crate) async fn add_by_hand(&self, table: &str, row: Value) {
        self.by_hand(Method::POST, path(table), Some(row)).await;
    }

    fn position(&self, table: &str, description: &str) -> Value {
        let row = self.row(table, description).unwrap_or_else(|| panic!("{table} has no {description:?}"));
        if row["parent_id"].is_null() {
            json!({"id": row["id"]})
        } else {
            json!({"id": row["id"], "parent_id": row["parent_id"]})
        }
    }

    async fn by_hand(&self, method: Method, path: &str, body: Option<Value>) {
        let mut request = self.http.request(method, format!("{}/api/v2/{path}", self.sim.url()));
        request = request.header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
    }

    /// The writes to tables since the start, in their order: method and path.
    pub(crate) fn writes(&self) -> Vec<String> {
        let requests = self.sim.requests();
        let writes = requests.iter().filter(|request| request.method != "GET");
        writes
            .map(|request| format!("{} {}", request.method, request.path.trim_start_matches("/api/v2/")))
            .collect()
    }

    /// Batches of writes since the start: what was written between two looks at the whole box.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        let mut batches = vec![Vec::new()];
        for request in self.sim.requests() {
            if request.path.starts_with("/api/v2/services/dhcp_servers") {
                // The last list of a look.
                batches.push(Vec::new());
            } else if request.method != "GET" {
                batches.last_mut().unwrap().push(format!("{} {}", request.method, request.path));
            }
        }
        batches.retain(|batch| !batch.is_empty());
        batches
    }
}

/// Where one row of a table is written.
fn path(table: &str) -> &'static str {
    match table {
        "virtual_ips" => "firewall/virtual_ip",
        "one_to_one" => "firewall/nat/one_to_one/mapping",
        "static_mappings" => "services/dhcp_server/static_mapping",
        "rules" => "firewall/rule",
        other => panic!("{other} is no table that the operator writes"),
    }
}

fn is_marked(row: &Value) -> bool {
    row["descr"].as_str().is_some_and(|text| text.contains(MARK))
}

fn descriptions(rows: &Value) -> Vec<String> {
    let mut all = match rows {
        Value::Array(rows) => {
            rows.iter().map(|row| row["descr"].as_str().unwrap_or_default().to_owned()).collect()
        }
        Value::Object(parents) => parents.values().flat_map(descriptions).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    all.sort();
    all
}

/// The Firewall of a box: every namespace may use it, it is compared often.
pub(crate) fn firewall(pf: &Pf) -> Value {
    json!({
        "kind": "Firewall", "metadata": {"name": pf.name},
        "spec": {
            "url": pf.sim.url(),
            "apiKey": {"secret": {"namespace": SYSTEM, "name": format!("{}-pfsense", pf.name), "key": "api-key"}},
            "allowedNamespaces": {},
            "interval": "5s",
        },
    })
}

fn row(kind: &str, name: &str, spec: Value) -> Value {
    let common = json!({
        "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"firewall": "edge", "description": name},
    });
    super::with(common, json!({"spec": spec}))
}

/// A VirtualIP for `198.18.0.LAST` on the firewall `edge`.
pub(crate) fn vip(name: &str, last: u8) -> Value {
    row("VirtualIP", name, json!({"address": format!("198.18.0.{last}/23"), "interface": "wan"}))
}

/// A NatMapping for `198.18.0.LAST` on the firewall `edge`.
pub(crate) fn nat(name: &str, last: u8) -> Value {
    let (external, internal) = (format!("198.18.0.{last}"), format!("10.20.0.{last}"));
    row("NatMapping", name, json!({"external": external, "internal": internal, "interface": "wan"}))
}

/// A DhcpReservation for `10.20.0.LAST` on the firewall `edge`.
pub(crate) fn dhcp(name: &str, last: u8) -> Value {
    let (mac, address) = (format!("02:00:00:00:00:{last:02x}"), format!("10.20.0.{last}"));
    row("DhcpReservation", name, json!({"mac": mac, "address": address, "interface": "opt3"}))
}

/// A FirewallRule that lets HTTPS through to `10.20.0.LAST` on the firewall `edge`.
pub(crate) fn rule(name: &str, last: u8) -> Value {
    let destination = json!({"address": format!("10.20.0.{last}"), "ports": "443"});
    row("FirewallRule", name, json!({"interfaces": ["wan"], "protocol": "TCP", "destination": destination}))
}

/// An AddressPool on the firewall `edge` that publishes these many addresses, from `198.18.0.FIRST` on.
pub(crate) fn pool(name: &str, first: u16, count: u16) -> Value {
    let addresses: Vec<Value> = (first..first + count)
        .map(|n| {
            let (high, low) = (n / 256, n % 256);
            json!({
                "external": format!("198.18.{high}.{low}"), "internal": format!("10.20.{high}.{low}"),
                "mac": format!("02:00:00:00:{high:02x}:{low:02x}"),
            })
        })
        .collect();
    json!({
        "kind": "AddressPool", "metadata": {"name": name},
        "spec": {
            "firewall": "edge", "namespace": NAMESPACE, "publish": "Always",
            "external": {"interface": "wan", "prefixLength": 23}, "internal": {"interface": "opt3"},
            "addresses": addresses,
        },
    })
}
