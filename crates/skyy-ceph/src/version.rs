//! Which version of which answer we understand.
//!
//! A call must name exactly one version; the manager takes its own major with a minor no higher than its own, and answers
//! 415 to all else, naming what it has. Must not know what is in the answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Method;

/// A version of an answer: major, minor.
pub(crate) type Version = (u32, u32);

/// The versions understood where nothing else is said.
const USUAL: &[Version] = &[(1, 0)];

/// The calls of which more or other versions are understood, newest last: the first is asked for first.
const OTHERS: &[(&str, &str, &[Version])] = &[
    // 18 leaves out `ruleset`, `min_size` and `max_size` of each rule, which we do not read.
    ("GET", "/api/crush_rule", &[(1, 0), (2, 0)]),
];

/// The versions in use with one cluster: the table, and what the cluster has answered.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<BTreeMap<(String, &'static str), Version>>);

impl Versions {
    /// The version to ask for.
    pub(crate) fn of(&self, method: &Method, path: &'static str) -> Version {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(method.to_string(), path)).copied().unwrap_or_else(|| understood(method, path)[0])
    }

    /// After a 415: takes what the manager has, if we understand it. Says whether to ask again.
    pub(crate) fn learn(&self, method: &Method, path: &'static str, asked: Version, detail: &str) -> bool {
        let Some(has) = named_in(detail) else { return false };
        let usable = |ours: &&Version| ours.0 == has.0 && ours.1 <= has.1;
        let Some(best) = understood(method, path).iter().filter(usable).max() else { return false };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((method.to_string(), path), *best);
        *best != asked
    }
}

fn understood(method: &Method, path: &str) -> &'static [Version] {
    let entry = OTHERS.iter().find(|(verb, template, _)| *verb == method.as_str() && *template == path);
    entry.map_or(USUAL, |(_, _, versions)| versions)
}

/// The media type that asks for a version.
pub(crate) fn media_type((major, minor): Version) -> String {
    format!("application/vnd.ceph.api.v{major}.{minor}+json")
}

/// The version in "Incorrect version: endpoint is '2.0', client requested '1.0'".
fn named_in(detail: &str) -> Option<Version> {
    let (number, _) = detail.split_once("endpoint is '")?.1.split_once('\'')?;
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "/api/crush_rule";

    fn has(version: &str) -> String {
        format!("Incorrect version: endpoint is '{version}', client requested '1.0'")
    }

    #[test]
    fn a_version_that_we_understand_is_learned_once() {
        let versions = Versions::default();
        assert_eq!(versions.of(&Method::GET, RULES), (1, 0));
        assert!(versions.learn(&Method::GET, RULES, (1, 0), &has("2.0")));
        assert_eq!(versions.of(&Method::GET, RULES), (2, 0));
        assert!(
            !versions.learn(&Method::GET, RULES, (2, 0), &has("2.0")),
            "asking again would change nothing"
        );
        assert_eq!(versions.of(&Method::POST, RULES), (1, 0), "each method has its own");
    }

    #[test]
    fn a_newer_minor_answers_an_older_one() {
        let versions = Versions::default();
        assert!(versions.learn(&Method::GET, RULES, (1, 0), &has("2.3")));
        assert_eq!(versions.of(&Method::GET, RULES), (2, 0));
    }

    #[test]
    fn versions_that_we_do_not_understand_are_not_taken() {
        let versions = Versions::default();
        for detail in
            [has("3.0"), has("0.1"), "Unable to find version in request header".into(), String::new()]
        {
            assert!(!versions.learn(&Method::GET, RULES, (1, 0), &detail), "{detail}");
        }
        assert!(!versions.learn(&Method::GET, "/api/pool", (1, 0), &has("2.0")));
        assert_eq!(versions.of(&Method::GET, RULES), (1, 0));
    }
}
