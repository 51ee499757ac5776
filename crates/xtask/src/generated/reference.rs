//! Turns a CRD into a page of Markdown that a person can read. Works on the CRD as JSON alone, so that the page
//! says what the API server enforces and not what the Rust types hoped for.

use std::fmt::Write as _;

use serde_json::Value;

/// A list of all kinds with links.
pub(super) fn index(crds: &[Value]) -> String {
    let mut text =
        String::from("# Kinds\n\n| Kind | Short names | Scope | What it is |\n|---|---|---|---|\n");
    for crd in crds {
        let kind = crd.pointer("/spec/names/kind").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(
            text,
            "| [{kind}]({}.md) | {} | {} | {} |",
            kind.to_lowercase(),
            short_names(crd),
            crd.pointer("/spec/scope").and_then(Value::as_str).unwrap_or_default(),
            first_sentence(&description(schema(crd))),
        );
    }
    text
}

/// One kind.
pub(super) fn page(crd: &Value) -> String {
    let names = &crd["spec"]["names"];
    let kind = names["kind"].as_str().unwrap_or_default();
    let schema = schema(crd);
    let mut text = format!("# {kind}\n\n{}\n\n", description(schema));
    let group = crd["spec"]["group"].as_str().unwrap_or_default();
    let version = crd["spec"]["versions"][0]["name"].as_str().unwrap_or_default();
    let _ = writeln!(
        text,
        "`apiVersion: {group}/{version}`, {}.",
        crd["spec"]["scope"].as_str().unwrap_or_default()
    );
    let short = short_names(crd);
    if !short.is_empty() {
        let _ = writeln!(text, "Short names: {short}.");
    }
    for part in ["spec", "status"] {
        let fields = &schema["properties"][part];
        if fields.is_null() {
            continue;
        }
        let _ = write!(text, "\n## {part}\n\n| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
        rows(&mut text, part, fields);
        let mut rules = Vec::new();
        collect_rules(part, fields, &mut rules);
        if !rules.is_empty() {
            text.push_str("\nRules:\n\n");
            for (path, message) in rules {
                let _ = writeln!(text, "- `{path}`: {message}");
            }
        }
    }
    columns(&mut text, &crd["spec"]["versions"][0]["additionalPrinterColumns"]);
    text
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn short_names(crd: &Value) -> String {
    let names = crd["spec"]["names"]["shortNames"].as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// One row per field, depth first, in the schema's order.
fn rows(text: &mut String, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => String::from("**required**"),
            Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let meaning = [description(field), limits(field)].into_iter().filter(|part| !part.is_empty());
        let meaning = meaning.collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| `{path}` | {} | {default} | {meaning} |", type_of(field));
        // The parts of a condition are Kubernetes' own and the same everywhere.
        if name != "conditions" {
            nested(text, &path, field);
        }
    }
}

fn nested(text: &mut String, path: &str, field: &Value) {
    if field["properties"].is_object() {
        rows(text, path, field);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if field[key].is_object() {
            nested(text, &format!("{path}{mark}"), &field[key]);
        }
    }
}

fn type_of(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if field["x-kubernetes-int-or-string"] == true {
        return String::from("number or string");
    }
    let base = field["type"].as_str().unwrap_or("any");
    match base {
        "array" => format!("list of {}", type_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        _ => match field["format"].as_str() {
            Some(format @ ("date-time" | "ip" | "ipv4" | "ipv6" | "cidr")) => format!("{base} ({format})"),
            _ => String::from(base),
        },
    }
}

fn limits(field: &Value) -> String {
    let mut parts = Vec::new();
    for (key, words) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "at least this many characters:"),
        ("maxLength", "at most this many characters:"),
        ("minItems", "at least this many items:"),
        ("maxItems", "at most this many items:"),
    ] {
        // The schema writes whole bounds as 1.0.
        if let Some(number) = field[key].as_f64() {
            parts.push(format!("{words} {number}"));
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        parts.push(format!("matches `{}`", escape(pattern)));
    }
    if parts.is_empty() { String::new() } else { format!("({})", parts.join("; ")) }
}

fn collect_rules(path: &str, schema: &Value, rules: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().or(rule["rule"].as_str()).unwrap_or_default();
        let field = rule["fieldPath"].as_str().unwrap_or_default();
        rules.push((format!("{path}{field}"), escape(message)));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect_rules(&format!("{path}.{name}"), field, rules);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[key].is_object() {
            collect_rules(&format!("{path}{mark}"), &schema[key], rules);
        }
    }
}

fn columns(text: &mut String, columns: &Value) {
    let Some(columns) = columns.as_array().filter(|columns| !columns.is_empty()) else { return };
    text.push_str("\n## kubectl get\n\n| Column | From | |\n|---|---|---|\n");
    for column in columns {
        let wide = if column["priority"].as_i64().unwrap_or(0) > 0 { "`-o wide`" } else { "" };
        let _ = writeln!(
            text,
            "| {} | `{}` | {wide} |",
            column["name"].as_str().unwrap_or_default(),
            escape(column["jsonPath"].as_str().unwrap_or_default()),
        );
    }
}

fn description(schema: &Value) -> String {
    escape(schema["description"].as_str().unwrap_or_default())
}

/// One line that a table cell can hold.
fn escape(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_says_its_type_default_and_limits() {
        fn check(name: &str, required: bool, field: Value, expected: &str) {
            let required = if required { json!([name]) } else { json!([]) };
            let mut text = String::new();
            rows(&mut text, "spec", &json!({"required": required, "properties": {name: field}}));
            assert_eq!(text, expected);
        }
        check(
            "port",
            true,
            json!({"type": "integer", "minimum": 1.0, "maximum": 65535.0, "description": "Where."}),
            "| `spec.port` | integer | **required** | Where. (at least 1; at most 65535) |\n",
        );
        check(
            "mode",
            false,
            json!({"type": "string", "enum": ["A", "B"], "default": "A"}),
            "| `spec.mode` | `A`, `B` | `\"A\"` |  |\n",
        );
        check(
            "tags",
            false,
            json!({"type": "array", "items": {"type": "string"}, "description": "a | b\nc"}),
            "| `spec.tags` | list of string |  | a \\| b c |\n",
        );
        check(
            "list",
            false,
            json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
            "| `spec.list` | list of object |  |  |\n| `spec.list[].a` | string |  |  |\n",
        );
        check(
            "size",
            false,
            json!({"x-kubernetes-int-or-string": true}),
            "| `spec.size` | number or string |  |  |\n",
        );
    }

    #[test]
    fn rules_are_found_at_every_depth() {
        let schema = json!({
            "x-kubernetes-validations": [{"rule": "a", "message": "top", "fieldPath": ".list"}],
            "properties": {"list": {"items": {"x-kubernetes-validations": [{"rule": "self > 0"}]}}},
        });
        let mut rules = Vec::new();
        collect_rules("spec", &schema, &mut rules);
        let expected = [("spec.list", "top"), ("spec.list[]", "self > 0")];
        assert_eq!(rules, expected.map(|(path, rule)| (path.to_owned(), rule.to_owned())));
    }

    #[test]
    fn every_kind_has_a_page_without_gaps() {
        for crd in skyy_api::all_crds() {
            let page = page(&serde_json::to_value(&crd).unwrap());
            let kind = &crd.spec.names.kind;
            assert!(page.starts_with(&format!("# {kind}\n\n")), "{kind}");
            let undocumented: Vec<&str> =
                page.lines().filter(|line| line.starts_with("| `spec.") && line.ends_with("|  |")).collect();
            assert_eq!(undocumented, Vec::<&str>::new(), "fields of {kind} without a description");
        }
    }
}
