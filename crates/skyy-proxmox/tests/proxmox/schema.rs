//! The published schema of the API: which calls there are, and which parameters they take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

static SCHEMA: LazyLock<Option<Vec<Value>>> = LazyLock::new(|| {
    let root = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(root.join("proxmox/apidoc-core.json")) else {
        println!("skipped: no published schema at {} (set SKYY_CONTRACTS)", root.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("the schema is a list"))
});

/// Panics unless the API has this call and takes these parameters, all required ones among them.
#[track_caller]
pub(crate) fn assert_known(method: &str, path: &str, params: &BTreeMap<String, Value>) {
    let Some(schema) = &*SCHEMA else { return };
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let entry =
        schema.iter().find(|entry| text(entry, "method") == method && fits(&text(entry, "path"), path));
    let entry = entry.unwrap_or_else(|| panic!("the API has no {method} {path}"));
    let template = text(entry, "path");
    let empty = serde_json::Map::new();
    let known = entry["parameters"]["properties"].as_object().unwrap_or(&empty);
    for (name, value) in params {
        let numbered = format!("{}[n]", name.trim_end_matches(|c: char| c.is_ascii_digit()));
        let Some(rule) = known.get(name).or_else(|| known.get(&numbered)) else {
            panic!("{method} {path} takes no {name}");
        };
        assert_value(&format!("{method} {path} {name}"), rule, value);
    }
    for (name, rule) in known {
        let given = params.contains_key(name) || template.contains(&format!("{{{name}}}"));
        assert!(given || rule["optional"] == 1, "{method} {path} needs {name}");
    }
}

#[track_caller]
fn assert_value(place: &str, rule: &Value, value: &Value) {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match rule["type"].as_str() {
        Some("boolean") => assert!(shown == "0" || shown == "1", "{place}: {value} is no boolean"),
        Some("integer") => {
            let number: i64 = shown.parse().unwrap_or_else(|_| panic!("{place}: {value} is no integer"));
            assert!(
                rule["minimum"].as_i64().is_none_or(|least| number >= least),
                "{place}: {value} is too small"
            );
        }
        Some("array") => assert!(value.is_array(), "{place}: {value} is no list"),
        _ => {}
    }
    if let Some(choices) = rule["enum"].as_array() {
        assert!(
            choices.iter().any(|choice| choice.as_str() == Some(&shown)),
            "{place}: {value} is no choice"
        );
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(want, got)| want.starts_with('{') || want == got)
}
