//! Objects as they stand in files: which file, which line, which value.
//!
//! Reads YAML files, folders, Kustomize trees and standard input. Knows the shape of a Kubernetes object and nothing
//! of what our kinds mean.

pub mod files;
pub mod path;
mod scalar;

use serde_json::Value;

use self::path::{Path, Step};
use crate::import::{report::Finding, yaml::Node};

/// What stands in files.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The objects, in the order of the files.
    pub objects: Vec<Manifest>,
    /// What is wrong with the files themselves.
    pub findings: Vec<Finding>,
}

/// One object.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file, as the caller named it.
    pub file: String,
    /// The object as it was written, patches of Kustomize laid over it.
    pub value: Value,
    /// As it was written.
    node: Node,
    /// What was laid over it, with the file that says so.
    patches: Vec<(String, Node)>,
}

impl Manifest {
    fn new(file: String, node: Node) -> Self {
        Self { file, value: scalar::json(&node), node, patches: Vec::new() }
    }

    /// Lays a patch over the object: maps are joined, everything else is replaced, null removes.
    fn patch(&mut self, file: &str, node: &Node) {
        merge(&mut self.value, &scalar::json(node));
        self.patches.push((file.to_owned(), node.clone()));
    }

    /// A text at a path.
    fn text(&self, path: &[&str]) -> &str {
        let found = path.iter().try_fold(&self.value, |value, key| value.get(key));
        found.and_then(Value::as_str).unwrap_or_default()
    }

    /// `apiVersion`, empty where there is none.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// `kind`, empty where there is none.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// `metadata.name`, empty where there is none.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// `metadata.namespace`, empty where there is none.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// `VirtualIP tenants/web`, for people.
    pub fn title(&self) -> String {
        match self.namespace() {
            "" => format!("{}/{}", self.kind(), self.name()),
            namespace => format!("{}/{namespace}/{}", self.kind(), self.name()),
        }
    }

    /// The file and the line where a path stands, or what is nearest above it.
    pub fn place(&self, path: &Path) -> (&str, usize) {
        for (file, node) in self.patches.iter().rev() {
            let (line, whole) = line_of(node, path);
            if whole && !path.is_empty() {
                return (file, line);
            }
        }
        (&self.file, line_of(&self.node, path).0)
    }
}

/// The line of a path, as far as it is there, and whether all of it is.
fn line_of(node: &Node, path: &Path) -> (usize, bool) {
    let (mut node, mut line) = (node, node.line);
    for step in path.steps() {
        let next = match step {
            Step::Key(key) => {
                let entry = node.map().and_then(|entries| entries.iter().find(|(k, _)| k.text == *key));
                entry.map(|(key, value)| (key.line, value))
            }
            Step::Index(n) => node.list().and_then(|items| items.get(*n)).map(|item| (item.line, item)),
        };
        let Some((at, inside)) = next else { return (line, false) };
        (line, node) = (at, inside);
    }
    (line, true)
}

/// JSON merge patch (RFC 7386), which is what Kustomize does for kinds whose schema it does not know.
fn merge(value: &mut Value, patch: &Value) {
    let (Value::Object(into), Value::Object(from)) = (&mut *value, patch) else {
        *value = patch.clone();
        return;
    };
    for (key, new) in from {
        if new.is_null() {
            into.remove(key);
        } else if let Some(old) = into.get_mut(key) {
            merge(old, new);
        } else {
            let mut fresh = Value::Object(serde_json::Map::new());
            merge(&mut fresh, new);
            into.insert(key.clone(), fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_joins_maps_and_replaces_the_rest() {
        let mut value = json!({"a": {"b": 1, "c": [1, 2]}, "d": 4});
        merge(&mut value, &json!({"a": {"c": [3], "e": {"f": null, "g": 1}}, "d": null}));
        assert_eq!(value, json!({"a": {"b": 1, "c": [3], "e": {"g": 1}}}));
    }
}
