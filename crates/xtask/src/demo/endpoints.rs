//! The simulated endpoints as a program of its own, and what can be asked of them beside what a client asks: counters,
//! state, plugs. Shares no types with the simulator.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ports;
use crate::process::{Guarded, POLL};

const UP_WITHIN: Duration = Duration::from_secs(30);
/// The key that `desired_state/demo` has for the simulated firewall.
const PFSENSE_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// The three of them.
#[derive(Debug)]
pub struct Endpoints {
    program: Guarded,
    log: PathBuf,
    /// The firewall.
    pub pfsense: Endpoint,
    /// The cluster of hosts.
    pub proxmox: Endpoint,
    /// The Ceph.
    pub ceph: Endpoint,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name, for people.
    pub name: &'static str,
    url: String,
    client: reqwest::Client,
}

/// Calls that reached an endpoint since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that only look.
    pub reads: u64,
    /// All others.
    pub writes: u64,
    /// All of them, by method and path.
    pub by_path: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Counters {
    by_path: BTreeMap<String, Counter>,
}

#[derive(Deserialize)]
struct Counter {
    calls: u64,
}

impl Endpoints {
    /// Starts them and waits until they answer.
    pub async fn start(program: &Path, ports: Ports, speed: f64, folder: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        for (name, port) in
            [("--pfsense", ports.pfsense), ("--proxmox", ports.proxmox), ("--ceph", ports.ceph)]
        {
            command.arg(name).arg(format!("127.0.0.1:{port}"));
        }
        command.args(["--preset", "demo", "--speed", &speed.to_string()]);
        let log = folder.join("skyy-sim.log");
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let program = Guarded::spawn(&command, Stdio::null(), file.into()).context("starting skyy-sim")?;
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().context("HTTP")?;
        let endpoint = |name, port: u16| Endpoint {
            name,
            url: format!("http://127.0.0.1:{port}"),
            client: client.clone(),
        };
        let mut endpoints = Self {
            program,
            log,
            pfsense: endpoint("pfSense", ports.pfsense),
            proxmox: endpoint("Proxmox VE", ports.proxmox),
            ceph: endpoint("Ceph", ports.ceph),
        };
        let until = Instant::now() + UP_WITHIN;
        loop {
            endpoints.must_run()?;
            let mut up = true;
            for endpoint in endpoints.all() {
                up &= endpoint.calls().await.is_ok();
            }
            if up {
                return Ok(endpoints);
            }
            if Instant::now() > until {
                bail!("skyy-sim does not answer; its log is {}", endpoints.log.display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// In the order in which people meet them.
    pub fn all(&self) -> [&Endpoint; 3] {
        [&self.pfsense, &self.proxmox, &self.ceph]
    }

    /// An error when the program has ended.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.program.exited()? {
            bail!("skyy-sim ended ({status}): {}", super::stages::tail(&self.log, 1));
        }
        Ok(())
    }
}

impl Endpoint {
    /// Asks for something that is no part of the product: `/_sim/...`. Not counted.
    pub async fn sim(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, &format!("/_sim/{path}"), None).await
    }

    /// Does something that is no part of the product.
    pub async fn sim_post(&self, path: &str, body: Value) -> Result<()> {
        let url = format!("{}/_sim/{path}", self.url);
        let what = || format!("asking {} for /_sim/{path}", self.name);
        let answer = self.client.post(url).json(&body).send().await.with_context(what)?;
        // Some answer with what they did, some with nothing; neither is of interest.
        answer.error_for_status().with_context(what).map(|_| ())
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes something back that is no part of the product.
    pub async fn sim_delete(&self, path: &str) -> Result<()> {
        self.ask(Method::DELETE, &format!("/_sim/{path}"), None).await.map(|_| ())
    }

    /// Calls the firewall's own API, as somebody else with the same key. Counted.
    pub async fn pfsense(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.ask(method, path, body).await
    }

    /// No connection to it for so long.
    pub async fn unplug(&self, time: Duration) -> Result<()> {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.sim_post("unplug", json!({"ms": ms})).await
    }

    /// The calls so far.
    pub async fn calls(&self) -> Result<Calls> {
        let counters: Counters =
            serde_json::from_value(self.sim("counters").await?).context("reading the counters")?;
        Ok(Calls::from(counters))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let what = || format!("asking {} for {path}", self.name);
        let mut request = self.client.request(method, &url).header("X-API-Key", PFSENSE_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(what)?;
        let status = answer.status();
        let text = answer.text().await.with_context(what)?;
        if !status.is_success() {
            bail!("{}: {status} {text}", what());
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(what)
    }
}

impl From<Counters> for Calls {
    fn from(counters: Counters) -> Self {
        let by_path: BTreeMap<String, u64> =
            counters.by_path.into_iter().map(|(path, counter)| (path, counter.calls)).collect();
        let looks = |path: &str| ["GET ", "HEAD ", "OPTIONS "].iter().any(|method| path.starts_with(method));
        let reads = by_path.iter().filter(|(path, _)| looks(path)).map(|(_, calls)| calls).sum();
        let writes = by_path.iter().filter(|(path, _)| !looks(path)).map(|(_, calls)| calls).sum();
        Self { reads, writes, by_path }
    }
}

impl Calls {
    /// The calls since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |path: &String, calls: &u64| calls - before.by_path.get(path).unwrap_or(&0);
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            by_path: self
                .by_path
                .iter()
                .map(|(path, calls)| (path.clone(), less(path, calls)))
                .filter(|(_, calls)| *calls > 0)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(counts: Value) -> Calls {
        let by_path: serde_json::Map<String, Value> = counts
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, calls)| (path.clone(), json!({"calls": calls, "bytes_in": 0, "bytes_out": 0})))
            .collect();
        Calls::from(serde_json::from_value::<Counters>(json!({"refused": 0, "by_path": by_path})).unwrap())
    }

    #[test]
    fn looking_is_told_from_changing() {
        let before = calls(json!({"GET /a": 2, "PUT /a": 1}));
        let after = calls(json!({"GET /a": 2, "PUT /a": 4, "DELETE /a/{id}": 1, "HEAD /b": 1}));
        assert_eq!((before.reads, before.writes), (2, 1));
        let between = after.since(&before);
        assert_eq!((between.reads, between.writes), (1, 4));
        let paths: Vec<&str> = between.by_path.keys().map(String::as_str).collect();
        assert_eq!(paths, ["DELETE /a/{id}", "HEAD /b", "PUT /a"]);
    }
}
