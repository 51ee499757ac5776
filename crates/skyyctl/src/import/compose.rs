//! `docker-compose.*.yaml` of the prototype: what runs in a guest, and from it how big the guest must be.
//!
//! Knows nothing of resources. What leaves this module carries no secret: such values become variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    clean,
    fields::Fields,
    names,
    report::Report,
    secret, write,
    yaml::{Kind, Node},
};

/// A ConfigMap takes 1 MiB with all that is around the text.
const MAX_TEXT: usize = 900 << 10;

/// A compose file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The file.
    pub file: String,
    /// The line of its services.
    pub line: usize,
    /// The name for the object.
    pub name: String,
    /// The file without secrets and comments.
    pub text: String,
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
    let (mut content, variables) = clean::clean(file, node, report);
    if let Value::Object(map) = &mut content {
        map.shift_remove("version");
    }
    let text = write::yaml_text(&[], std::slice::from_ref(&content));
    if text.len() > MAX_TEXT {
        let message = format!("{} bytes do not fit into a ConfigMap; left out", text.len());
        report.error(file, line, "the file", message);
        return None;
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
        text,
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
        assert!(!app.text.contains("hunter2"), "{}", app.text);
        let content: Value = serde_saphyr::from_str(&app.text).unwrap();
        assert!(!found.iter().any(|f| f.contains("hunter2")), "{found:#?}");
        let db = &content["services"]["db"]["environment"];
        assert_eq!(db["POSTGRES_PASSWORD"], "${POSTGRES_PASSWORD}");
        assert_eq!(db["OTHER"], "${OTHER_TOKEN}");
        assert_eq!(db["URL"], "postgres://app:${URL_PASSWORD}@db/app");
        assert_eq!(db["FINE"], "value");
        let service = &content["services"]["app"];
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
