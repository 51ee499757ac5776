//! `docker-compose.*.yaml` of the prototype: what runs in a guest, and from it how big the guest must be.
//!
//! Knows nothing of resources. What leaves this module carries no secret: such values become variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    fields::Fields,
    names,
    report::Report,
    secret,
    yaml::{Kind, Node},
};

/// A compose file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The file.
    pub file: String,
    /// The line of its services.
    pub line: usize,
    /// The name for the object.
    pub name: String,
    /// The file's content without secrets.
    pub content: Value,
    /// Variables that must come from a Secret, with the line of their first use.
    pub variables: BTreeMap<String, usize>,
    /// Processor cores that its limits add up to.
    pub cores: Option<u32>,
    /// Bytes of memory that its limits add up to.
    pub memory: Option<u64>,
    /// GPUs that it uses.
    pub gpus: u32,
}

/// Reads a compose file; nothing when it has no service.
pub fn read(file: &str, stem: &str, node: &Node, report: &mut Report) -> Option<App> {
    let mut fields = Fields::of(file, "", node, report)?;
    if let Some(line) = fields.line_of("version") {
        fields.take("version");
        report.warning(file, line, "version", "obsolete: compose does not read it any more; left out");
    }
    let line = fields.line_of("services").unwrap_or(node.line);
    let services = match fields.take("services").map(|n| (n, n.map())) {
        Some((_, Some(services))) if !services.is_empty() => services,
        Some((n, _)) => {
            report.error(
                file,
                n.line,
                "services",
                format!("should be a map of services, and is {}", n.what()),
            );
            return None;
        }
        None => {
            report.error(file, node.line, "services", "missing; there is nothing to run");
            return None;
        }
    };
    let networks = fields.take("networks").and_then(Node::map).unwrap_or_default();
    for known in ["volumes", "configs", "secrets", "name"] {
        fields.take(known);
    }
    let extensions: Vec<String> = node
        .map()
        .unwrap_or_default()
        .iter()
        .map(|(k, _)| k.text.clone())
        .filter(|k| k.starts_with("x-"))
        .collect();
    for key in extensions {
        fields.take(&key);
    }
    fields.rest(&[], report);

    let mut size = Size::default();
    for (key, service) in services {
        let path = format!("services.{}", secret::shown_key(&key.text));
        check_service(file, &path, service, services, networks, &mut size, report);
    }
    let mut cleaner = Cleaner { file, report, variables: BTreeMap::new(), scope: String::new() };
    let mut content = cleaner.clean(node, "");
    let variables = cleaner.variables;
    if let Value::Object(map) = &mut content {
        map.shift_remove("version");
    }
    let given = ["docker-compose", "compose"].iter().find_map(|p| stem.strip_prefix(p)).unwrap_or(stem);
    let name = names::object_name(given.trim_start_matches(['.', '-', '_']))
        .or_else(|| services.first().and_then(|(k, _)| names::object_name(&k.text)))
        .unwrap_or_else(|| "workload".to_owned());
    let Size { millicores, memory, gpus } = size;
    Some(App {
        file: file.to_owned(),
        line,
        name,
        content,
        variables,
        cores: (millicores > 0)
            .then(|| u32::try_from(millicores.div_ceil(1000)).unwrap_or(u32::MAX).clamp(1, 512)),
        memory: (memory > 0).then_some(memory),
        gpus,
    })
}

/// What the limits of all services add up to.
#[derive(Debug, Default)]
struct Size {
    millicores: u64,
    memory: u64,
    gpus: u32,
}

fn check_service(
    file: &str,
    path: &str,
    service: &Node,
    services: &[(super::yaml::Key, Node)],
    networks: &[(super::yaml::Key, Node)],
    size: &mut Size,
    report: &mut Report,
) {
    if service.map().is_none() {
        report.error(file, service.line, path, format!("should be a map, and is {}", service.what()));
        return;
    }
    let key = |name: &str| format!("{path}.{name}");
    match service.get("image").map(|n| (n, n.text())) {
        Some((n, Some(image))) => {
            let last = image.rsplit('/').next().unwrap_or(image);
            if !last.contains([':', '@']) || last.ends_with(":latest") {
                let why = "no fixed version: what runs may differ from day to day";
                report.warning(file, n.line, key("image"), why);
            }
        }
        _ if service.get("build").is_some() => {}
        _ => report.error(file, service.line, key("image"), "missing: there is nothing to run"),
    }
    if let Some(n) = service.get("build") {
        report.warning(file, n.line, key("build"), "the guest has nothing to build from: give an image");
    }
    if let Some(n) = service.get("env_file") {
        report.to_do(
            file,
            n.line,
            key("env_file"),
            "the file is not imported: bring what is in it by the Secret",
        );
    }
    limits(file, path, service, size, report);
    gpus(file, path, service, size, report);
    for volume in items(service.get("volumes")) {
        let source = match &volume.kind {
            Kind::Map(_) => volume.get("source").and_then(Node::text),
            _ => volume.text().and_then(|t| t.split_once(':')).map(|(source, _)| source),
        };
        if let Some(source) = source.filter(|s| s.starts_with(['/', '.', '~'])) {
            let message = format!(
                "{} is a path of the guest: it must be there, and is lost with the guest",
                secret::shown(source)
            );
            report.warning(file, volume.line, key("volumes"), message);
        }
    }
    if let Some(ports) = service.get("ports").filter(|n| !n.is_null()) {
        let why = "published on the guest: give the guest's card an addressPool if they are to be reached from outside";
        report.note(file, ports.line, key("ports"), why);
    }
    let known = |list: &[(super::yaml::Key, Node)], name: &str| list.iter().any(|(k, _)| k.text == name);
    for (name, line) in names_in(service.get("networks")) {
        if name != "default" && !known(networks, &name) {
            report.warning(
                file,
                line,
                key("networks"),
                format!("{} is not defined under networks", secret::shown(&name)),
            );
        }
    }
    for (name, line) in names_in(service.get("depends_on")) {
        if !known(services, &name) {
            report.warning(
                file,
                line,
                key("depends_on"),
                format!("{} is no service of this file", secret::shown(&name)),
            );
        }
    }
}

fn items(node: Option<&Node>) -> Vec<&Node> {
    node.and_then(Node::list).map(|l| l.iter().collect()).unwrap_or_default()
}

/// The names of a list, or the keys of a map.
fn names_in(node: Option<&Node>) -> Vec<(String, usize)> {
    match node.map(|n| &n.kind) {
        Some(Kind::List(items)) => {
            items.iter().filter_map(|n| Some((n.text()?.to_owned(), n.line))).collect()
        }
        Some(Kind::Map(entries)) => entries.iter().map(|(k, _)| (k.text.clone(), k.line)).collect(),
        _ => Vec::new(),
    }
}

fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

fn limits(file: &str, path: &str, service: &Node, size: &mut Size, report: &mut Report) {
    let limit = |direct: &str, deployed: &str| {
        service
            .get(direct)
            .or_else(|| at(service, &["deploy", "resources", "limits", deployed]))
            .filter(|n| !n.is_null())
    };
    if let Some(n) = limit("cpus", "cpus") {
        match n.text().and_then(millicores) {
            Some(cores) => size.millicores += cores,
            None => odd(file, &format!("{path}.cpus"), n, "a number of processors", report),
        }
    }
    if let Some(n) = limit("mem_limit", "memory") {
        match n.text().and_then(bytes) {
            Some(memory) => size.memory = size.memory.saturating_add(memory),
            None => odd(file, &format!("{path}.mem_limit"), n, "an amount of memory such as 512m", report),
        }
    }
}

fn odd(file: &str, subject: &str, node: &Node, expected: &str, report: &mut Report) {
    let got = node.text().map_or_else(|| node.what().to_owned(), secret::shown);
    report.warning(file, node.line, subject, format!("should be {expected}, and is {got}; not counted"));
}

/// Processors in thousandths, up to 512 of them.
fn millicores(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |t: &str| t.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let total = whole.checked_mul(1000)? + part.parse::<u64>().ok()?;
    (1..=512_000).contains(&total).then_some(total)
}

/// An amount as compose reads it: units of 1024, with or without a `b` behind.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let shift = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift).filter(|n| *n > 0)
}

fn gpus(file: &str, path: &str, service: &Node, size: &mut Size, report: &mut Report) {
    let devices = at(service, &["deploy", "resources", "reservations", "devices"]);
    let reserved = items(devices).into_iter().find(|d| {
        names_in(d.get("capabilities")).iter().any(|(c, _)| c == "gpu")
            || d.get("driver").and_then(Node::text) == Some("nvidia")
    });
    let runtime = service.get("runtime").filter(|n| n.text() == Some("nvidia"));
    let visible = environment(service).into_iter().find(|(name, _, _)| name == "NVIDIA_VISIBLE_DEVICES");
    let Some(line) = reserved.or(runtime).map(|n| n.line) else { return };
    let count = reserved.and_then(|d| d.get("count")?.text()?.parse::<u32>().ok());
    let listed = visible.and_then(|(_, value, _)| match value.as_deref() {
        None | Some("all" | "" | "void" | "none") => None,
        Some(list) => u32::try_from(list.split(',').count()).ok(),
    });
    let count = count.or(listed).unwrap_or_else(|| {
        report.note(file, line, format!("{path}.runtime"), "it does not say how many GPUs; one is assumed");
        1
    });
    // Services of one guest share its GPUs.
    size.gpus = size.gpus.max(count.clamp(1, 16));
}

/// A service's environment: name, value, line; a list of `NAME=value` or a map.
fn environment(service: &Node) -> Vec<(String, Option<String>, usize)> {
    match service.get("environment").map(|n| &n.kind) {
        Some(Kind::List(items)) => items
            .iter()
            .filter_map(|n| {
                let text = n.text()?;
                let (name, value) =
                    text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v.to_owned())));
                Some((name.to_owned(), value, n.line))
            })
            .collect(),
        Some(Kind::Map(entries)) => {
            entries.iter().map(|(k, v)| (k.text.clone(), v.text().map(ToOwned::to_owned), k.line)).collect()
        }
        _ => Vec::new(),
    }
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
                out.push_str(&format!("${{{name}}}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::yaml;

    fn app(text: &str) -> (Option<App>, Vec<String>) {
        let mut report = Report::default();
        let documents = yaml::parse("c.yaml", text, &mut report).unwrap();
        let app = read("c.yaml", "docker-compose.shop", &documents[0], &mut report);
        let found = report.sorted();
        (
            app,
            found
                .iter()
                .map(|f| format!("{} {} {}: {}", f.place(), f.level.word(), f.subject, f.message))
                .collect(),
        )
    }

    #[test]
    fn limits_add_up() {
        let text = "services:\n  a: {image: 'x:1', cpus: 1.5, mem_limit: 512m}\n  b:\n    image: y:2\n    deploy: {resources: {limits: {cpus: '0.25', memory: 1G}}}\n";
        let (app, found) = app(text);
        let app = app.unwrap();
        assert_eq!(
            (app.name.as_str(), app.cores, app.memory),
            ("shop", Some(2), Some((512 << 20) + (1 << 30)))
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn amounts_read_as_compose_reads_them() {
        let check = |text, expected| assert_eq!(bytes(text), expected, "{text}");
        check("12000m", Some(12000 << 20));
        check("1gb", Some(1 << 30));
        check("2GiB", Some(2 << 30));
        check("1024", Some(1024));
        check("x", None);
        check("-1m", None);
        check("99999999999t", None);
        let check = |text, expected| assert_eq!(millicores(text), expected, "{text}");
        check("4", Some(4000));
        check("0.5", Some(500));
        check(".25", Some(250));
        check("1.23456", Some(1234));
        check("1e3", None);
        check("-1", None);
    }

    #[test]
    fn gpus_are_counted() {
        let check = |service: &str, expected: u32| {
            let (app, _) = app(&format!("services:\n  a: {{image: 'x:1', {service}}}\n"));
            assert_eq!(app.unwrap().gpus, expected, "{service}");
        };
        check("runtime: nvidia, environment: [NVIDIA_VISIBLE_DEVICES=0]", 1);
        check("runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: '0,2'}", 2);
        check("runtime: nvidia", 1);
        check("deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 3}]}}}", 3);
        check("environment: [NVIDIA_VISIBLE_DEVICES=0]", 0);
    }

    #[test]
    fn secrets_become_variables() {
        let text = r#"
services:
  db:
    image: postgres:16
    environment:
      POSTGRES_PASSWORD: hunter2
      OTHER: ${OTHER_TOKEN:-hunter2}
      URL: postgres://app:hunter2@db/app
      FINE: value
      PASSED:
  app:
    image: app:1
    environment:
      - API_KEY=hunter2
      - MODE=fast
      - HOME
    command: run --token hunter2 --level 3 --password="hunter2"
    entrypoint: [start, --secret-key, hunter2, --user, me, --pwd=hunter2]
    labels:
      secret: hunter2
"#;
        let (app, found) = app(text);
        let app = app.unwrap();
        let content = app.content.to_string();
        assert!(!content.contains("hunter2"), "{content}");
        assert!(!found.iter().any(|f| f.contains("hunter2")), "{found:#?}");
        let db = &app.content["services"]["db"]["environment"];
        assert_eq!(db["POSTGRES_PASSWORD"], "${POSTGRES_PASSWORD}");
        assert_eq!(db["OTHER"], "${OTHER_TOKEN}");
        assert_eq!(db["URL"], "postgres://app:${URL_PASSWORD}@db/app");
        assert_eq!(db["FINE"], "value");
        let service = &app.content["services"]["app"];
        assert_eq!(service["environment"][0], "API_KEY=${API_KEY}");
        assert_eq!(service["environment"][1], "MODE=fast");
        assert_eq!(service["command"], "run --token ${TOKEN} --level 3 --password=\"${PASSWORD}\"");
        let variables: Vec<&str> = app.variables.keys().map(String::as_str).collect();
        assert_eq!(
            variables,
            [
                "API_KEY",
                "HOME",
                "OTHER_TOKEN",
                "PASSED",
                "PASSWORD",
                "POSTGRES_PASSWORD",
                "PWD",
                "SECRET",
                "SECRET_KEY",
                "TOKEN",
                "URL_PASSWORD",
            ]
        );
    }

    #[test]
    fn variables_are_found_with_their_lines() {
        let text = "services:\n  a:\n    image: x:${TAG}\n    environment:\n    - A=$B\n    - C=$$D\n    - E=${F:-1}\n    - G=${TAG}\n";
        let (app, found) = app(text);
        assert_eq!(app.unwrap().variables, BTreeMap::from([("B".to_owned(), 5), ("TAG".to_owned(), 3)]));
        assert_eq!(found.len(), 2, "{found:#?}");
    }

    #[test]
    fn doubtful_things_are_told() {
        let text = "version: '3'\nservices:\n  a:\n    image: x\n    networks: [gone]\n    depends_on: [b]\n    volumes: ['/mnt:/mnt', 'named:/x']\n  c: 5\n  d: {build: .}\n";
        let (_, found) = app(text);
        let places: Vec<&str> = found.iter().filter_map(|f| f.split(':').nth(1)).collect();
        assert_eq!(
            places,
            [
                "1 warning version",
                "4 warning services.a.image",
                "5 warning services.a.networks",
                "6 warning services.a.depends_on",
                "7 warning services.a.volumes",
                "8 error services.c",
                "9 warning services.d.build",
            ]
        );
    }
}
