//! A compose file without its secrets: they become variables, and every variable that has no value is noted.
//!
//! Knows of compose only how it writes variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    report::Report,
    secret,
    yaml::{Kind, Node},
};

/// The content without secrets, and the variables that must come from a Secret with the line of their first use.
pub fn clean(file: &str, node: &Node, report: &mut Report) -> (Value, BTreeMap<String, usize>) {
    let mut cleaner = Cleaner { file, report, variables: BTreeMap::new(), scope: String::new() };
    let content = cleaner.clean(node, "");
    (content, cleaner.variables)
}

/// Copies the content, puts variables in the place of secrets, and notes every variable on the way.
struct Cleaner<'a> {
    file: &'a str,
    report: &'a mut Report,
    variables: BTreeMap<String, usize>,
    /// The service, for names of new variables.
    scope: String,
}

impl Cleaner<'_> {
    fn clean(&mut self, node: &Node, path: &str) -> Value {
        match &node.kind {
            Kind::List(items) => {
                let environment = path.ends_with(".environment");
                // `[--token, x]`: the option names the item behind it.
                let options = std::iter::once(None).chain(items.iter().map(Node::text));
                let named = options.map(|o| o.filter(|o| o.starts_with('-') && secret::is_secret_name(o)));
                let items = items.iter().zip(named);
                items.map(|(item, named)| self.item(item, named, path, environment)).collect()
            }
            Kind::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    if path == "services" {
                        self.scope.clone_from(&key.text);
                    }
                    let below =
                        if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                    if secret::is_secret_value(&key.text) {
                        self.report.error(
                            self.file,
                            key.line,
                            path,
                            "a key that looks like a secret; left out",
                        );
                        continue;
                    }
                    let cleaned = self.entry(&key.text, value, &below);
                    map.insert(key.text.clone(), cleaned);
                }
                Value::Object(map)
            }
            Kind::Scalar(scalar) => {
                let text = self.text(&scalar.text, None, node.line, path);
                if text == scalar.text { node.to_json() } else { Value::String(text) }
            }
        }
    }

    /// A value under a key whose name may say that it is a secret.
    fn entry(&mut self, key: &str, value: &Node, path: &str) -> Value {
        // Top-level definitions and structure are named by people; only single values can be secrets.
        match value.text() {
            Some(text) if path.contains('.') && secret::is_secret_name(key) => {
                let cleaned = self.text(text, Some(key), value.line, path);
                if cleaned == text { value.to_json() } else { Value::String(cleaned) }
            }
            None if value.is_null() && path.contains(".environment.") => {
                self.variable(key, value.line, path);
                Value::Null
            }
            _ => self.clean(value, path),
        }
    }

    /// An item of a list: `NAME=value` names its value, and so does an option before it.
    fn item(&mut self, item: &Node, named: Option<&str>, path: &str, environment: bool) -> Value {
        let Some(text) = item.text() else { return self.clean(item, path) };
        if let Some(name) = named.filter(|n| !n.contains('=') && !text.starts_with('-')) {
            return Value::String(self.text(text, Some(name), item.line, path));
        }
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                let value = self.text(value, secret::is_secret_name(name).then_some(name), item.line, path);
                Value::String(format!("{name}={value}"))
            }
            None if environment && is_variable_name(text) => {
                self.variable(text, item.line, path);
                item.to_json()
            }
            _ => {
                let cleaned = self.text(text, None, item.line, path);
                if cleaned == text { item.to_json() } else { Value::String(cleaned) }
            }
        }
    }

    /// A text with variables where secrets were. `named`: the name that makes all of it a secret.
    fn text(&mut self, text: &str, named: Option<&str>, line: usize, path: &str) -> String {
        if let Some(name) = named
            && !only_variables(text)
        {
            return self.moved(name, line, path);
        }
        let text = self.without_defaults(text, line, path);
        let text = self.without_passwords(&text, line, path);
        let text = self.without_options(&text, line, path);
        if secret::is_secret_value(&text) {
            let name = path.rsplit('.').next().unwrap_or_default().to_owned();
            return self.moved(&name, line, path);
        }
        for (variable, default) in variables_in(&text) {
            if !default {
                self.variable(&variable, line, path);
            }
        }
        text
    }

    /// `://user:password@` keeps the user.
    fn without_passwords(&mut self, text: &str, line: usize, path: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(range) = secret::userinfo(rest) {
            out.push_str(&rest[..range.start]);
            out.push_str(&self.moved("URL_PASSWORD", line, path));
            rest = &rest[range.end..];
        }
        out.push_str(rest);
        out
    }

    /// `--password=x`, `--token x`, `PASSWORD=x` inside of a command: the values become variables.
    fn without_options(&mut self, text: &str, line: usize, path: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(end) = rest.find(['=', ' ', '\t', '\n']) {
            let (word, behind) = rest.split_at(end);
            let separator = &behind[..1];
            out.push_str(word);
            out.push_str(separator);
            rest = &behind[1..];
            let name = word
                .rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
                .next()
                .unwrap_or(word);
            let option = word.starts_with('-');
            if !secret::is_secret_name(name) || separator != "=" && !option || separator == "\n" {
                continue;
            }
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            let body = &rest[quote.map_or(0, char::len_utf8)..];
            let stop = match quote {
                Some(q) => body.find(q),
                None => body.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ';' | '|')),
            };
            let value = &body[..stop.unwrap_or(body.len())];
            if value.is_empty() || only_variables(value) || value.starts_with('-') {
                continue;
            }
            if let Some(q) = quote {
                out.push(q);
            }
            let variable = self.moved(name, line, path);
            out.push_str(&variable);
            rest = &body[value.len()..];
        }
        out.push_str(rest);
        out
    }

    /// `${NAME:-default}` loses a default that is a secret.
    fn without_defaults(&mut self, text: &str, line: usize, path: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(end) = rest[start..].find('}').map(|e| start + e) else { break };
            let inner = &rest[start + 2..end];
            let name_end = inner.find([':', '-', '?', '+']).unwrap_or(inner.len());
            let (name, default) = inner.split_at(name_end);
            let default = default.trim_start_matches([':', '-', '?', '+']);
            out.push_str(&rest[..start]);
            if !default.is_empty() && (secret::is_secret_name(name) || secret::is_secret_value(default)) {
                out.extend(["${", name, "}"]);
                let why = format!(
                    "the default of {name} looks like a secret and is left out: put it into the Secret"
                );
                self.report.to_do(self.file, line, path, why);
                self.variables.entry(name.to_owned()).or_insert(line);
            } else {
                out.push_str(&rest[start..=end]);
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        out
    }

    /// A new variable for a secret that stood in the file.
    fn moved(&mut self, name: &str, line: usize, path: &str) -> String {
        let plain = in_capitals(name);
        let taken = self.variables.get(&plain).is_some_and(|first| *first != line);
        let variable = if is_variable_name(&plain) && !taken {
            plain
        } else {
            let scope =
                if secret::is_secret_value(&self.scope) { String::new() } else { in_capitals(&self.scope) };
            format!("SECRET_{scope}_{plain}_{line}").replace("__", "_")
        };
        let why = format!(
            "a secret stood here: it became ${{{variable}}}; put it into the Secret, and change it, as it stood in a file"
        );
        self.report.to_do(self.file, line, secret::shown_key(path), why);
        self.variables.entry(variable.clone()).or_insert(line);
        format!("${{{variable}}}")
    }

    fn variable(&mut self, name: &str, line: usize, path: &str) {
        if !self.variables.contains_key(name) {
            let message = format!("{name} is not defined here: it must come from the Secret");
            self.report.to_do(self.file, line, secret::shown_key(path), message);
            self.variables.insert(name.to_owned(), line);
        }
    }
}

/// A name as variables have them, not too long.
fn in_capitals(name: &str) -> String {
    let capitals = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let capitals: String = capitals.take(40).collect();
    capitals.trim_matches('_').to_owned()
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether the text is made of variables without defaults, and of nothing that could be a secret.
fn only_variables(text: &str) -> bool {
    let text = text.trim();
    let bare = text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).or_else(|| text.strip_prefix('$'));
    text.is_empty() || bare.is_some_and(is_variable_name)
}

/// The variables of a text, each with whether it has a default. `$$` is no variable.
fn variables_in(text: &str) -> BTreeSet<(String, bool)> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            rest = behind;
            continue;
        }
        let braced = rest.starts_with('{');
        let name_text = if braced { &rest[1..] } else { rest };
        let end =
            name_text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name_text.len());
        let name = &name_text[..end];
        if is_variable_name(name) {
            let default = braced && name_text[end..].starts_with([':', '-', '+']);
            found.insert((name.to_owned(), default));
        }
        rest = &name_text[end..];
    }
    found
}
