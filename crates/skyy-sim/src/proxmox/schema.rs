//! Which methods the API has, with which parameters and permissions. A table read from `schema/*.txt`, no behaviour.
//!
//! A line without indent is a method (`VERB path [node] [protected] permission`), a `format` (the keys of a property
//! string) or a `group` (parameters shared by methods, taken in by `+name`). An indented line is a parameter:
//! `name[*][!] type [min= max= short= long= enum= needs= fmt= pat= alias= key=]`, `*` for the key that may be left
//! out, `!` for required.

use std::collections::HashMap;
use std::sync::LazyLock;

const SOURCES: [&str; 6] = [
    include_str!("schema/formats.txt"),
    include_str!("schema/access.txt"),
    include_str!("schema/cluster.txt"),
    include_str!("schema/nodes.txt"),
    include_str!("schema/qemu.txt"),
    include_str!("schema/lxc.txt"),
];

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    Array,
}

/// One parameter, or one key of a property string.
#[derive(Debug, Clone)]
pub(crate) struct Prop {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) default_key: bool,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) short: Option<usize>,
    pub(crate) long: Option<usize>,
    pub(crate) allowed: Vec<String>,
    pub(crate) needs: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) alias: Option<String>,
    pub(crate) key_alias: Option<String>,
}

/// Who may call a method.
#[derive(Debug, Clone)]
pub(crate) enum Perm {
    /// Anybody, without logging in.
    World,
    /// Anybody who has logged in; the handler filters.
    All,
    /// root@pam by ticket only.
    Root,
    /// The handler checks.
    Code,
    /// Privileges on a path; any of them or all.
    On { path: String, privs: Vec<String>, any: bool },
}

/// One method of the API.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) verb: String,
    pub(crate) path: String,
    segments: Vec<String>,
    /// Answered by the node in its path.
    pub(crate) proxied: bool,
    /// Answered by the daemon that has few workers.
    pub(crate) protected: bool,
    pub(crate) perm: Perm,
    pub(crate) props: Vec<Prop>,
}

/// The whole table.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) methods: Vec<Method>,
    pub(crate) formats: HashMap<String, Vec<Prop>>,
    groups: HashMap<String, Vec<Prop>>,
}

/// The table.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);

/// How many of an indexed parameter (`net[n]`) there are.
fn count(prefix: &str) -> u32 {
    match prefix {
        "scsi" => 31,
        "virtio" | "hostpci" => 16,
        "sata" | "acmedomain" => 6,
        "ide" | "serial" => 4,
        "parallel" => 3,
        "usb" => 14,
        "numa" | "link" => 8,
        "virtiofs" => 10,
        "unused" | "mp" | "dev" => 256,
        _ => 32,
    }
}

impl Method {
    /// The values of the path's variables if the path is this method's.
    fn matches(&self, path: &[&str]) -> Option<Vec<(&str, String)>> {
        let open_end = self.segments.last().is_some_and(|s| s == "{volume}");
        if path.len() < self.segments.len() || (path.len() > self.segments.len() && !open_end) {
            return None;
        }
        let mut found = Vec::new();
        for (i, (want, got)) in self.segments.iter().zip(path).enumerate() {
            match want.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
                Some(name) if open_end && i + 1 == self.segments.len() => {
                    found.push((name, path[i..].join("/")));
                }
                Some(name) => found.push((name, (*got).to_string())),
                None if want == got => {}
                None => return None,
            }
        }
        Some(found)
    }

    /// The parameter of that name, indexed ones included.
    pub(crate) fn prop(&self, name: &str) -> Option<&Prop> {
        find(&self.props, name)
    }
}

/// The property of that name among `props`; `net0` finds `net[n]`.
pub(crate) fn find<'a>(props: &'a [Prop], name: &str) -> Option<&'a Prop> {
    if let Some(prop) = props.iter().find(|p| p.name == name) {
        return Some(prop);
    }
    let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let index = &name[prefix.len()..];
    if index.is_empty() || (index.len() > 1 && index.starts_with('0')) {
        return None;
    }
    let number: u32 = index.parse().ok()?;
    if number >= count(prefix) {
        return None;
    }
    props.iter().find(|p| p.name.strip_suffix("[n]") == Some(prefix))
}

impl Schema {
    /// The method for a verb and path, fixed segments before variables.
    pub(crate) fn find(&self, verb: &str, path: &[&str]) -> Option<(&Method, Vec<(&str, String)>)> {
        let candidates = self.methods.iter().filter(|m| m.verb == verb);
        let found = candidates.filter_map(|m| m.matches(path).map(|v| (m, v)));
        found.min_by_key(|(_, vars)| vars.len())
    }

    /// The parameters of a group.
    pub(crate) fn group(&self, name: &str) -> &[Prop] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    fn read() -> Self {
        let mut schema = Self::default();
        for source in SOURCES {
            let mut section = Section::None;
            for line in source.lines().filter(|l| !l.trim().is_empty()) {
                if let Some(prop) = line.strip_prefix("  ") {
                    schema.add_prop(&section, prop);
                } else {
                    section = schema.open(line);
                }
            }
        }
        schema
    }

    fn open(&mut self, line: &str) -> Section {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["format", name] => {
                self.formats.entry((*name).to_string()).or_default();
                Section::Format((*name).to_string())
            }
            ["group", name] => {
                self.groups.entry((*name).to_string()).or_default();
                Section::Group((*name).to_string())
            }
            [verb, path, flags @ .., perm] => {
                let segments: Vec<String> =
                    path.split('/').filter(|s| !s.is_empty()).map(str::to_string).collect();
                let variables = segments.iter().filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
                let props =
                    variables.filter_map(|v| self.group("path").iter().find(|p| p.name == v)).cloned();
                self.methods.push(Method {
                    props: props.collect(),
                    verb: (*verb).to_string(),
                    path: (*path).to_string(),
                    segments,
                    proxied: flags.contains(&"node"),
                    protected: flags.contains(&"protected"),
                    perm: read_perm(perm),
                });
                Section::Method
            }
            _ => Section::None,
        }
    }

    fn add_prop(&mut self, section: &Section, line: &str) {
        if let Some(group) = line.strip_prefix('+') {
            let props = self.group(group).to_vec();
            if let Some(method) = self.methods.last_mut() {
                method.props.extend(props);
            }
            return;
        }
        let Some(prop) = read_prop(line) else { return };
        match section {
            Section::Format(name) => self.formats.entry(name.clone()).or_default().push(prop),
            Section::Group(name) => self.groups.entry(name.clone()).or_default().push(prop),
            Section::Method => {
                if let Some(method) = self.methods.last_mut() {
                    method.props.retain(|p| p.name != prop.name);
                    method.props.push(prop);
                }
            }
            Section::None => {}
        }
    }
}

enum Section {
    None,
    Format(String),
    Group(String),
    Method,
}

fn read_perm(text: &str) -> Perm {
    match text {
        "world" => Perm::World,
        "all" => Perm::All,
        "root" => Perm::Root,
        "code" => Perm::Code,
        on => match on.split_once(':') {
            Some((path, privs)) => Perm::On {
                path: path.to_string(),
                privs: privs.split(['|', '&']).map(str::to_string).collect(),
                any: privs.contains('|'),
            },
            None => Perm::Root,
        },
    }
}

fn read_prop(line: &str) -> Option<Prop> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let (name, required) = name.strip_suffix('!').map_or((name, false), |n| (n, true));
    let (name, default_key) = name.strip_suffix('*').map_or((name, false), |n| (n, true));
    let mut prop = Prop {
        name: name.to_string(),
        kind: Kind::Text,
        required,
        default_key,
        min: None,
        max: None,
        short: None,
        long: None,
        allowed: Vec::new(),
        needs: None,
        format: None,
        pattern: None,
        alias: None,
        key_alias: None,
    };
    for word in words {
        match word.split_once('=') {
            None => {
                prop.kind = match word {
                    "b" => Kind::Boolean,
                    "i" => Kind::Integer,
                    "n" => Kind::Number,
                    "s" => Kind::Text,
                    "a" => Kind::Array,
                    _ => return None,
                }
            }
            Some(("min", v)) => prop.min = v.parse().ok(),
            Some(("max", v)) => prop.max = v.parse().ok(),
            Some(("short", v)) => prop.short = v.parse().ok(),
            Some(("long", v)) => prop.long = v.parse().ok(),
            Some(("enum", "@drives")) => prop.allowed = super::disk::drive_names(),
            Some(("enum", v)) => prop.allowed = v.split('|').map(str::to_string).collect(),
            Some(("needs", v)) => prop.needs = Some(v.to_string()),
            Some(("fmt", v)) => prop.format = Some(v.to_string()),
            Some(("pat", v)) => prop.pattern = Some(v.to_string()),
            Some(("alias", v)) => prop.alias = Some(v.to_string()),
            Some(("key", v)) => prop.key_alias = Some(v.to_string()),
            Some(_) => return None,
        }
    }
    Some(prop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        for line in SOURCES.iter().flat_map(|s| s.lines()) {
            match line.strip_prefix("  ") {
                Some(group) if group.starts_with('+') => {
                    assert!(!SCHEMA.group(&group[1..]).is_empty(), "no group for {line}");
                }
                Some(prop) => {
                    let read = read_prop(prop).unwrap_or_else(|| panic!("not understood: {line}"));
                    if let Some(format) = &read.format {
                        assert!(
                            SCHEMA.formats.contains_key(format) || super::super::formats::known(format),
                            "unknown format in {line}"
                        );
                    }
                    if let Some(pattern) = &read.pattern {
                        assert!(super::super::formats::pattern_known(pattern), "unknown pattern in {line}");
                    }
                }
                None => assert!(line.split(' ').count() >= 2, "not understood: {line}"),
            }
        }
    }

    #[test]
    fn paths_find_their_method() {
        for (verb, path, want, vars) in [
            ("GET", "cluster/resources", "/cluster/resources", vec![]),
            ("GET", "nodes/a/qemu/100/config", "/nodes/{node}/qemu/{vmid}/config", vec!["a", "100"]),
            (
                "GET",
                "nodes/a/storage/l/content/l:1/x",
                "/nodes/{node}/storage/{storage}/content/{volume}",
                vec!["a", "l", "l:1/x"],
            ),
            ("PUT", "nodes/a/network", "/nodes/{node}/network", vec!["a"]),
        ] {
            let segments: Vec<&str> = path.split('/').collect();
            let (method, found) = SCHEMA.find(verb, &segments).expect(path);
            assert_eq!(method.path, want);
            assert_eq!(found.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>(), vars);
        }
        assert!(SCHEMA.find("POST", &["version"]).is_none());
        assert!(find(SCHEMA.group("qemu-config"), "scsi30").is_some());
        assert!(find(SCHEMA.group("qemu-config"), "scsi31").is_none());
    }
}
