//! Reads what a Rust test program prints. Knows the words of libtest and one of ours: a test that cannot run here
//! prints a line `skipped: REASON` and returns, and libtest, which has no word for that, calls it passed.

use std::collections::{BTreeMap, BTreeSet};

/// What a test program said so far.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Tests that passed, without those that skipped themselves.
    pub passed: u32,
    /// The names of those that failed.
    pub failed: Vec<String>,
    /// Tests that did not run: `#[ignore]`, or skipped by themselves.
    pub skipped: u32,
    /// Why tests skipped themselves, and how many did for that reason.
    pub reasons: BTreeMap<String, u32>,
    /// Tests that libtest found slow and that have not ended.
    pub slow: BTreeSet<String>,
    /// Tests that ended, however they did.
    pub ended: u32,
    summaries: u32,
    successes: bool,
    section: Option<String>,
    /// Tests that skipped themselves since the last summary.
    unsummed: u32,
}

impl Outcome {
    /// Takes one line of stdout.
    pub fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.summary(rest);
        } else if line == "successes:" {
            self.successes = true;
        } else if line == "failures:" {
            self.successes = false;
        } else if let Some(name) =
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            self.section = Some(name.to_owned());
        } else if let Some(reason) = line.strip_prefix("skipped: ") {
            // One reason per test, and only of a test that would otherwise count as passed.
            if self.successes && self.section.take().is_some() {
                *self.reasons.entry(reason.trim().to_owned()).or_default() += 1;
                self.unsummed += 1;
            }
        } else if let Some(rest) = line.strip_prefix("test ") {
            self.test(rest);
        }
    }

    fn test(&mut self, rest: &str) {
        if let Some((name, _)) = rest.split_once(" has been running for over ") {
            self.slow.insert(name.to_owned());
            return;
        }
        let Some((name, result)) = rest.rsplit_once(" ... ") else { return };
        let name = name.strip_suffix(" - should panic").unwrap_or(name);
        let known = ["ok", "FAILED", "ignored"].iter().any(|word| {
            // `ignored, REASON`; a doc test may add ` (0.10s)`.
            result.strip_prefix(word).is_some_and(|more| more.is_empty() || more.starts_with([',', ' ']))
        });
        if known {
            self.ended += 1;
            self.slow.remove(name);
            if result.starts_with("FAILED") {
                self.failed.push(name.to_owned());
            }
        }
    }

    /// `ok. 14 passed; 0 failed; 1 ignored; …`
    fn summary(&mut self, rest: &str) {
        let count = |word: &str| -> u32 {
            rest.split(['.', ';'])
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
                .unwrap_or(0)
        };
        self.summaries += 1;
        let by_themselves = std::mem::take(&mut self.unsummed);
        self.passed += count("passed").saturating_sub(by_themselves);
        self.skipped += count("ignored") + by_themselves;
        self.successes = false;
        self.section = None;
    }

    /// Whether libtest came to its summary.
    pub fn is_complete(&self) -> bool {
        self.summaries > 0
    }

    /// Whether nothing was run and nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty() && self.skipped == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        text.lines().for_each(|line| outcome.line(line));
        outcome
    }

    #[test]
    fn counts() {
        fn check(text: &str, passed: u32, failed: &[&str], skipped: u32) {
            let outcome = read(text);
            assert_eq!((outcome.passed, outcome.skipped), (passed, skipped), "{text}");
            assert_eq!(outcome.failed, failed, "{text}");
            assert!(outcome.is_complete(), "{text}");
        }
        check(
            "\nrunning 3 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... ignored, soak: long\n\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.22s\n",
            2,
            &[],
            1,
        );
        check(
            "running 2 tests\ntest a ... FAILED\ntest b ... ok\n\nfailures:\n\n---- a stdout ----\nskipped: not really\n\n\
             failures:\n    a\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n",
            1,
            &["a"],
            0,
        );
        check(
            "test src/lib.rs - plane (line 5) - compile ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 \
             measured; 0 filtered out; finished in 0.0s\ntest result: ok. 2 passed; 0 failed; 3 ignored; 0 measured; 0 \
             filtered out; finished in 0.0s\n",
            3,
            &[],
            3,
        );
    }

    #[test]
    fn a_test_that_skips_itself_is_not_called_passed() {
        let outcome = read(
            "running 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ok\n\nsuccesses:\n\n---- a stdout ----\n\
             skipped: no contracts\nskipped: no contracts\n\n---- b stdout ----\nskipped: no contracts\n\n---- c stdout \
             ----\nworked\n\n\nsuccesses:\n    a\n    b\n    c\n\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 \
             measured; 0 filtered out; finished in 0.0s\n",
        );
        assert_eq!((outcome.passed, outcome.skipped), (1, 2));
        assert_eq!(outcome.reasons, BTreeMap::from([(String::from("no contracts"), 2)]));
    }

    #[test]
    fn a_program_that_dies_names_what_it_was_at() {
        let outcome = read(
            "running 2 tests\ntest a has been running for over 60 seconds\ntest b has been running for over 60 \
             seconds\ntest b ... ok\n",
        );
        assert!(!outcome.is_complete());
        assert_eq!(outcome.slow, BTreeSet::from([String::from("a")]));
        assert_eq!(outcome.ended, 1);
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_a_result() {
        let outcome =
            read("test the water ... it is cold\ntesting ... ok\nskipped: outside of any section\n");
        assert_eq!((outcome.ended, outcome.skipped), (0, 0));
        assert!(outcome.reasons.is_empty());
        assert!(outcome.is_empty());
    }
}
