//! Parameters of a call: how they arrive, and the verification that Proxmox does before a method runs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answer::Fault;
use super::formats;
use super::schema::{Kind, Method, Prop, SCHEMA, find};

const UNKNOWN: &str = "property is not defined in schema and the schema does not allow additional properties";
const MISSING: &str = "property is missing and it is not optional";

/// A value as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Raw {
    Text(String),
    List(Vec<String>),
    Hash,
}

/// Values as they came in; a repeated key makes a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawParams(pub(crate) BTreeMap<String, Raw>);

impl RawParams {
    /// Reads `a=b&c=d`.
    pub(crate) fn add_form(&mut self, text: &str) {
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.add(decode(key, true), decode(value, true));
        }
    }

    fn add(&mut self, key: String, value: String) {
        let merged = match self.0.remove(&key) {
            None => Raw::Text(value),
            Some(Raw::Text(first)) => Raw::List(vec![first, value]),
            Some(Raw::List(mut list)) => {
                list.push(value);
                Raw::List(list)
            }
            Some(Raw::Hash) => Raw::Hash,
        };
        self.0.insert(key, merged);
    }

    /// Reads a JSON object.
    pub(crate) fn add_json(&mut self, object: Map<String, Value>) {
        for (key, value) in object {
            let raw = match value {
                Value::Null => continue,
                Value::Array(items) => Raw::List(items.iter().map(plain).collect()),
                Value::Object(_) => Raw::Hash,
                scalar => Raw::Text(plain(&scalar)),
            };
            self.0.insert(key, raw);
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(b) => u8::from(*b).to_string(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Undoes URL encoding; `+` is a blank in forms only.
pub(crate) fn decode(text: &str, form: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
                continue;
            }
            (b'+', _) if form => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Verified parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pub(crate) text: BTreeMap<String, String>,
    pub(crate) lists: BTreeMap<String, Vec<String>>,
}

impl Params {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.text.get(name).map(String::as_str)
    }

    /// A required parameter; verification has made sure of it.
    pub(crate) fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|v| v == "1")
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// A list such as `a,b;c d`.
    pub(crate) fn items(&self, name: &str) -> Vec<String> {
        self.get(name).map(split_list).unwrap_or_default()
    }
}

/// Splits what Proxmox calls a list.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\t', '\n', '\0']).filter(|p| !p.is_empty()).map(str::to_string).collect()
}

/// Checks what came in against the method's schema.
pub(crate) fn verify(method: &Method, uri: &[(&str, String)], raw: RawParams) -> Result<Params, Fault> {
    let mut errors = Map::new();
    let mut values: BTreeMap<String, Raw> =
        uri.iter().map(|(k, v)| ((*k).to_string(), Raw::Text(v.clone()))).collect();
    for (key, value) in raw.0 {
        match values.get(&key) {
            Some(there) if *there != value => {
                let text = "duplicate parameter (already defined in URI) with conflicting values!";
                return Err(Fault::param(&key, text));
            }
            _ => {
                values.insert(key, value);
            }
        }
    }
    let mut params = Params::default();
    for (key, value) in &values {
        if key == "node" && method.path.contains("{node}") {
            params.text.insert(key.clone(), text_of(value));
            continue;
        }
        let Some(prop) = method.prop(key) else {
            errors.insert(key.clone(), UNKNOWN.into());
            continue;
        };
        check(key, prop, value, &mut errors);
        if let Some(other) = prop.needs.as_ref().filter(|o| !values.contains_key(*o)) {
            errors.insert(other.clone(), format!("missing property required by '{key}'").into());
        }
        match value {
            Raw::Text(text) if prop.kind == Kind::Array => {
                params.lists.insert(key.clone(), vec![text.clone()]);
            }
            Raw::Text(text) => {
                params.text.insert(key.clone(), text.clone());
            }
            Raw::List(list) => {
                params.lists.insert(key.clone(), list.clone());
            }
            Raw::Hash => {}
        }
    }
    for prop in method.props.iter().filter(|p| p.required && !p.name.ends_with("[n]")) {
        if !values.contains_key(&prop.name) {
            errors.insert(prop.name.clone(), MISSING.into());
        }
    }
    if errors.is_empty() { Ok(params) } else { Err(Fault::params(errors)) }
}

fn text_of(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn check(path: &str, prop: &Prop, value: &Raw, errors: &mut Map<String, Value>) {
    match (prop.kind, value) {
        (Kind::Array, Raw::Text(text)) => check_item(&format!("{path}[0]"), prop, text, errors),
        (Kind::Array, Raw::List(items)) => {
            for (i, item) in items.iter().enumerate() {
                check_item(&format!("{path}[{i}]"), prop, item, errors);
            }
        }
        (_, Raw::Text(text)) => check_scalar(path, prop, text, errors),
        (kind, other) => {
            let got = if matches!(other, Raw::List(_)) { "ARRAY" } else { "HASH" };
            let text = format!("type check ('{}') failed - got {got}", kind_name(kind));
            errors.insert(path.to_string(), text.into());
        }
    }
}

fn check_item(path: &str, prop: &Prop, text: &str, errors: &mut Map<String, Value>) {
    if let Some(format) = &prop.format
        && let Err(text) = check_format(format, path, text)
    {
        errors.insert(path.to_string(), format!("invalid format - {text}").into());
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Text => "string",
        Kind::Array => "array",
    }
}

/// Checks one value; the first thing wrong with it is what counts.
pub(crate) fn check_scalar(path: &str, prop: &Prop, text: &str, errors: &mut Map<String, Value>) {
    if let Some(error) = scalar_error(path, prop, text) {
        errors.insert(path.to_string(), error.into());
    }
}

fn scalar_error(path: &str, prop: &Prop, text: &str) -> Option<String> {
    let fits = match prop.kind {
        Kind::Boolean => matches!(text, "0" | "1"),
        Kind::Integer => is_integer(text),
        Kind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        Kind::Text | Kind::Array => true,
    };
    if !fits {
        return Some(format!("type check ('{}') failed - got '{text}'", kind_name(prop.kind)));
    }
    if let Some(format) = &prop.format
        && let Err(error) = check_format(format, path, text)
    {
        return Some(format!("invalid format - {error}"));
    }
    if let Some(pattern) = &prop.pattern
        && !formats::matches(pattern, text)
    {
        return Some("value does not match the regex pattern".into());
    }
    let length = text.chars().count();
    if let Some(long) = prop.long.filter(|long| length > *long) {
        return Some(format!("value may only be {long} characters long"));
    }
    if let Some(short) = prop.short.filter(|short| length < *short) {
        return Some(format!("value must be at least {short} characters long"));
    }
    if matches!(prop.kind, Kind::Integer | Kind::Number) {
        let number: f64 = text.parse().unwrap_or_default();
        if let Some(max) = prop.max.filter(|max| number > *max) {
            return Some(format!("value must have a maximum value of {max}"));
        }
        if let Some(min) = prop.min.filter(|min| number < *min) {
            return Some(format!("value must have a minimum value of {min}"));
        }
    }
    if !prop.allowed.is_empty() && !prop.allowed.iter().any(|a| a == text) {
        let all = prop.allowed.join(", ");
        return Some(format!("value '{text}' does not have a value in the enumeration '{all}'"));
    }
    None
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Checks a value against a format: a named one, a list of such, or a property string.
pub(crate) fn check_format(format: &str, path: &str, text: &str) -> Result<(), String> {
    if let Some(props) = SCHEMA.formats.get(format) {
        let found = parse_property_string(props, path, text)?;
        if format == "cpu-conf"
            && let Some(cpu) = found.get("cputype").filter(|c| !formats::cpu_type(c))
        {
            return Err(format!(
                "format error\n{path}.cputype: Built-in cputype '{cpu}' is not defined (missing 'custom-' prefix?)\n"
            ));
        }
        return Ok(());
    }
    formats::check(format, text)
}

/// Parses `value,key=value,...` by the keys that a format has.
pub(crate) fn parse_property_string(
    props: &[Prop],
    path: &str,
    text: &str,
) -> Result<BTreeMap<String, String>, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut unknown = Vec::new();
    for part in text.split(',') {
        if part.trim().is_empty() {
            continue;
        }
        let (key, value) = if let Some((key, value)) = part.split_once('=') {
            (key.trim().to_string(), value.to_string())
        } else {
            let Some(default) = props.iter().find(|p| p.default_key) else {
                return Err("value without key, but schema does not define a default key\n".into());
            };
            if found.contains_key(&default.name) {
                let name = &default.name;
                return Err(format!("value without key, but default key '{name}' already defined\n"));
            }
            (default.name.clone(), part.to_string())
        };
        match find(props, &key) {
            None => unknown.push(key),
            Some(Prop { alias: Some(alias), key_alias, .. }) => {
                if let Some(key_alias) = key_alias {
                    found.insert(key_alias.clone(), key);
                }
                found.insert(alias.clone(), value);
            }
            Some(_) => {
                if found.insert(key.clone(), value).is_some() {
                    return Err(format!("duplicate key in comma-separated list property: {key}\n"));
                }
            }
        }
    }
    let mut errors = Map::new();
    for key in unknown {
        errors.insert(format!("{path}.{key}"), UNKNOWN.into());
    }
    for (key, value) in &found {
        if let Some(prop) = find(props, key) {
            check_scalar(&format!("{path}.{key}"), prop, value, &mut errors);
            if let Some(other) = prop.needs.as_ref().filter(|o| !found.contains_key(*o)) {
                let text = format!("missing property required by '{key}'");
                errors.insert(format!("{path}.{other}"), text.into());
            }
        }
    }
    for prop in props.iter().filter(|p| p.required && p.alias.is_none() && !found.contains_key(&p.name)) {
        errors.insert(format!("{path}.{}", prop.name), MISSING.into());
    }
    if errors.is_empty() {
        return Ok(found);
    }
    let lines = errors.iter().map(|(k, v)| format!("{k}: {}\n", v.as_str().unwrap_or_default()));
    Err(format!("format error\n{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors_of(verb: &str, path: &str, form: &str) -> Value {
        let segments: Vec<&str> = path.split('/').collect();
        let (method, vars) = SCHEMA.find(verb, &segments).expect("a method");
        let mut raw = RawParams::default();
        raw.add_form(form);
        match verify(method, &vars, raw) {
            Ok(_) => Value::Null,
            Err(fault) => match fault.body {
                super::super::answer::FaultBody::Message { errors, .. } => {
                    errors.map(|e| Value::Object(*e)).into()
                }
                _ => Value::Null,
            },
        }
    }

    #[test]
    fn verification_speaks_as_proxmox_does() {
        let cases = [
            ("POST", "nodes/a/qemu", "vmid=100&cores=2&net0=virtio,bridge=vmbr0", None),
            ("POST", "nodes/a/qemu", "", Some(("vmid", MISSING))),
            ("POST", "nodes/a/qemu", "vmid=100&bogus=1", Some(("bogus", UNKNOWN))),
            (
                "POST",
                "nodes/a/qemu",
                "vmid=100&net0=virtio,tag=5000",
                Some((
                    "net0",
                    "invalid format - format error\nnet0.tag: value must have a maximum value of 4094\n",
                )),
            ),
            ("POST", "nodes/a/qemu", "vmid=abc", Some(("vmid", "type check ('integer') failed - got 'abc'"))),
            (
                "PUT",
                "nodes/a/qemu/100/config",
                "name=x&name=y",
                Some(("name", "type check ('string') failed - got ARRAY")),
            ),
            (
                "PUT",
                "nodes/a/qemu/100/config",
                "onboot=true",
                Some(("onboot", "type check ('boolean') failed - got 'true'")),
            ),
        ];
        for (verb, path, form, want) in cases {
            let got = errors_of(verb, path, form);
            match want {
                None => assert_eq!(got, Value::Null, "{form}"),
                Some((key, text)) => assert_eq!(got, serde_json::json!({key: text}), "{form}"),
            }
        }
    }
}
