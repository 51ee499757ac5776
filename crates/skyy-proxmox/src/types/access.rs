//! What the caller may do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::lenient::read_flag;

/// `/access/permissions`: privileges by path. A list that comes back short may be short of rights, not of things:
/// this tells which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    paths: BTreeMap<String, BTreeMap<String, bool>>,
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, BTreeMap<String, Value>>::deserialize(from)?;
        // The value says whether it is handed down to paths below.
        let handed = |value: &Value| read_flag(value).unwrap_or(false);
        let paths = raw.into_iter().map(|(path, privileges)| {
            let privileges = privileges.iter().map(|(name, value)| (name.clone(), handed(value))).collect();
            (path, privileges)
        });
        Ok(Self { paths: paths.collect() })
    }
}

impl Permissions {
    /// Whether the privilege is held on the path. The nearest path that the answer lists decides; a privilege listed only
    /// further up counts when it is handed down. Ask the API with the exact path where it matters.
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        let mut at = path;
        loop {
            if let Some(privileges) = self.paths.get(at) {
                return privileges.get(privilege).is_some_and(|handed_down| at == path || *handed_down);
            }
            match at.rsplit_once('/') {
                Some(("", "")) | None => return false,
                Some(("", _)) => at = "/",
                Some((above, _)) => at = above,
            }
        }
    }

    /// Those of `wanted` that are not held on the path.
    pub fn missing<'a>(&self, path: &str, wanted: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        wanted.into_iter().filter(|privilege| !self.has(path, privilege)).collect()
    }

    /// All paths with their privileges and whether each is handed down.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, bool>)> {
        self.paths.iter().map(|(path, privileges)| (path.as_str(), privileges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nearest_path_decides() {
        let held: Permissions = serde_json::from_value(json!({
            "/": {"Sys.Audit": 1, "VM.Audit": 0}, "/vms": {"VM.Audit": 1, "VM.Clone": 0}, "/vms/100": {"VM.PowerMgmt": 1},
        }))
        .unwrap();
        let check = |path: &str, privilege: &str, expected: bool| {
            assert_eq!(held.has(path, privilege), expected, "{privilege} on {path}");
        };
        check("/", "Sys.Audit", true);
        check("/nodes/pve1", "Sys.Audit", true);
        check("/", "VM.Audit", true);
        check("/nodes/pve1", "VM.Audit", false);
        check("/vms/200", "VM.Audit", true);
        check("/vms", "VM.Clone", true);
        check("/vms/200", "VM.Clone", false);
        check("/vms/100", "VM.PowerMgmt", true);
        check("/vms/100", "VM.Audit", false);
        assert_eq!(
            held.missing("/vms/200", ["VM.Audit", "VM.Clone"]).into_iter().collect::<Vec<_>>(),
            ["VM.Clone"]
        );
        assert!(!Permissions::default().has("/", "Sys.Audit"));
    }
}
