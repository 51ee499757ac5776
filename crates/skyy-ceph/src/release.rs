//! The release of a cluster.
//!
//! Must not know what differs between releases.

use std::fmt;

/// A release such as 18.2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Release {
    /// 16 is Pacific, 18 is Reef.
    pub major: u32,
    /// 2 is stable.
    pub minor: u32,
    /// The point release.
    pub patch: u32,
}

impl Release {
    /// Reads `ceph version 18.2.7 (6b0e98…) reef (stable)`, or the number alone.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.trim().trim_start_matches("ceph version ").split_whitespace().next()?;
        let mut parts = number.split(['.', '-']).map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Release::parse(text).map(|release| release.to_string()).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn releases_read_from_what_the_manager_says() {
        check(
            "ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)",
            Some("16.2.15"),
        );
        check("18.2.7", Some("18.2.7"));
        check("ceph version 19.3.0-5123-gabc (abc) squid (dev)", Some("19.3.0"));
        check("ceph version Development (no_version)", None);
        check("", None);
    }

    #[test]
    fn releases_have_an_order() {
        assert!(Release::parse("16.2.15") < Release::parse("18.2.0"));
        assert!(Release::parse("18.2.7") < Release::parse("18.2.10"));
    }
}
