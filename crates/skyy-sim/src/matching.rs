//! Which requests a fault or a hook is meant for: method, path glob, and the how-manieth match.
//!
//! It must not know what happens to a request that matched.

use serde::{Deserialize, Serialize};

/// Selects requests. Without a method every method matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The HTTP method, any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query. `*` stands for any run of characters, slashes included.
    #[serde(default = "any_path")]
    pub path: String,
    /// The first matching request that is hit, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many matching requests are hit from there on; `null` means all.
    #[serde(default = "once")]
    pub count: Option<u64>,
}

fn any_path() -> String {
    "*".to_owned()
}

const fn one() -> u64 {
    1
}

#[allow(clippy::unnecessary_wraps)] // serde wants the field's type
const fn once() -> Option<u64> {
    Some(1)
}

impl Match {
    /// The next request to `path` (a glob) with `method`, once. `"*"` as the method means any.
    pub fn next(method: &str, path: &str) -> Self {
        let method = (method != "*").then(|| method.to_owned());
        Self { method, path: path.to_owned(), nth: 1, count: Some(1) }
    }

    /// Every request to `path` (a glob) with `method`.
    pub fn every(method: &str, path: &str) -> Self {
        Self { count: None, ..Self::next(method, path) }
    }

    /// Begins with the `nth` matching request.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// Hits this many matching requests.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Whether method and path fit, the occurrence left aside.
    pub fn fits(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && glob(&self.path, path)
    }
}

/// How often a [`Match`] has fitted and been hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that fitted.
    pub seen: u64,
    /// Requests that were hit.
    pub fired: u64,
}

impl Tally {
    /// Notes one more fitting request and says whether it is to be hit.
    pub fn note(&mut self, wanted: &Match) -> bool {
        self.seen += 1;
        let hit = self.seen >= wanted.nth && wanted.count.is_none_or(|count| self.fired < count);
        self.fired += u64::from(hit);
        hit
    }

    /// Whether no later request can be hit any more.
    pub fn spent(&self, wanted: &Match) -> bool {
        wanted.count.is_some_and(|count| self.fired >= count)
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, mut tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    while let Some((part, next)) = tail.split_once('*') {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        tail = next;
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(glob(pattern, text), expected, "{pattern} against {text}");
    }

    #[test]
    fn globs() {
        check("/a/b", "/a/b", true);
        check("/a/b", "/a/bc", false);
        check("/a/*", "/a/b/c", true);
        check("*", "", true);
        check("*/apply", "/api/v2/firewall/apply", true);
        check("*/apply", "/api/v2/firewall/apply/x", false);
        check("/a/*/c/*", "/a/b/c/d", true);
        check("/a/*/c", "/a/c", false);
        check("a*a", "a", false);
        check("*bab", "babab", true);
    }

    #[test]
    fn tally_hits_from_nth_for_count() {
        let wanted = Match::next("GET", "/x").nth(2).times(2);
        let mut tally = Tally::default();
        let hits: Vec<_> = (0..5).map(|_| tally.note(&wanted)).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(tally.spent(&wanted));
    }
}
