//! Counts calls per method and path and keeps a log of the last ones.
//!
//! A path is counted without its query and with what names one object replaced by `{id}`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// How many requests the log keeps.
const LOG: usize = 10_000;

/// Calls and bytes of bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Calls.
    pub calls: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies that were sent.
    pub bytes_out: u64,
}

impl Count {
    fn note(&mut self, bytes_in: u64, bytes_out: u64) {
        self.calls += 1;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }
}

/// A snapshot of all counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All calls that reached the endpoint.
    pub total: Count,
    /// Requests turned away without an answer while unplugged or by a fault; not among the calls.
    pub refused: u64,
    /// Calls by method.
    pub by_method: BTreeMap<String, Count>,
    /// Calls by `"METHOD /path/{id}"`.
    pub by_path: BTreeMap<String, Count>,
}

impl Counts {
    /// Calls with this method.
    pub fn method(&self, method: &str) -> u64 {
        self.by_method.get(method).map_or(0, |count| count.calls)
    }

    /// Calls with this method and normalised path.
    pub fn path(&self, method: &str, path: &str) -> u64 {
        self.by_path.get(&format!("{method} {path}")).map_or(0, |count| count.calls)
    }

    /// Calls that could have changed something: everything but GET, HEAD and OPTIONS.
    pub fn writes(&self) -> u64 {
        let reads = self.method("GET") + self.method("HEAD") + self.method("OPTIONS");
        self.total.calls - reads
    }
}

/// One request as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logged {
    /// Its number since the start, from 1.
    pub seq: u64,
    /// The method.
    pub method: String,
    /// The path as it was sent, with its query.
    pub path: String,
    /// The status answered; 0 when the connection was closed instead.
    pub status: u16,
}

/// The counters of one endpoint. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    seq: u64,
    log: VecDeque<Logged>,
}

impl Counters {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<Logged> {
        self.lock().log.iter().cloned().collect()
    }

    /// Starts counting anew; the log is emptied, its numbering goes on.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.counts = Counts::default();
        inner.log.clear();
    }

    pub(crate) fn note(&self, call: &Call, status: u16, bytes_out: usize) {
        let (bytes_in, bytes_out) = (call.bytes_in as u64, bytes_out as u64);
        let mut inner = self.lock();
        let counts = &mut inner.counts;
        counts.total.note(bytes_in, bytes_out);
        counts.by_method.entry(call.method.clone()).or_default().note(bytes_in, bytes_out);
        let key = format!("{} {}", call.method, normalised(&call.path));
        counts.by_path.entry(key).or_default().note(bytes_in, bytes_out);
        inner.log(call, status);
    }

    pub(crate) fn refused(&self, call: &Call) {
        let mut inner = self.lock();
        inner.counts.refused += 1;
        inner.log(call, 0);
    }
}

impl Inner {
    fn log(&mut self, call: &Call, status: u16) {
        self.seq += 1;
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        let path =
            call.query.as_ref().map_or_else(|| call.path.clone(), |query| format!("{}?{query}", call.path));
        self.log.push_back(Logged { seq: self.seq, method: call.method.clone(), path, status });
    }
}

/// What is known of a call before it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) bytes_in: usize,
}

/// A path with the segments that name one object replaced by `{id}`.
pub fn normalised(path: &str) -> String {
    let segments: Vec<_> =
        path.split('/').map(|segment| if names_object(segment) { "{id}" } else { segment }).collect();
    segments.join("/")
}

/// Numbers, task ids, user ids and UUIDs name one object; words are part of the API.
fn names_object(segment: &str) -> bool {
    let number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let task =
        segment.starts_with("UPID:") || segment.starts_with("UPID%3A") || segment.starts_with("UPID%3a");
    let user = segment.contains('@') || segment.contains("%40");
    let uuid = segment.len() == 36 && segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    number || task || user || uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        assert_eq!(normalised(path), expected);
    }

    #[test]
    fn ids_are_replaced() {
        check("/api/v2/firewall/rules", "/api/v2/firewall/rules");
        check("/api2/json/nodes/n1/qemu/100/config", "/api2/json/nodes/n1/qemu/{id}/config");
        check("/api2/json/nodes/n1/tasks/UPID:n1:0001/status", "/api2/json/nodes/n1/tasks/{id}/status");
        check("/api2/json/access/users/root@pam", "/api2/json/access/users/{id}");
        check("/x/01234567-89ab-cdef-0123-456789abcdef", "/x/{id}");
        check("/api/v2/", "/api/v2/");
    }

    #[test]
    fn counts_and_log_agree() {
        let counters = Counters::default();
        let call = |method: &str, path: &str| Call {
            method: method.into(),
            path: path.into(),
            query: None,
            bytes_in: 3,
        };
        counters.note(&call("GET", "/a/1"), 200, 10);
        counters.note(&call("GET", "/a/2"), 404, 20);
        counters.note(&call("POST", "/a"), 200, 0);
        counters.refused(&call("POST", "/a"));
        let counts = counters.counts();
        assert_eq!(counts.total, Count { calls: 3, bytes_in: 9, bytes_out: 30 });
        assert_eq!((counts.path("GET", "/a/{id}"), counts.writes(), counts.refused), (2, 1, 1));
        let statuses: Vec<_> = counters.requests().iter().map(|entry| (entry.seq, entry.status)).collect();
        assert_eq!(statuses, [(1, 200), (2, 404), (3, 200), (4, 0)]);
        counters.reset();
        assert_eq!((counters.counts(), counters.requests().len()), (Counts::default(), 0));
    }
}
