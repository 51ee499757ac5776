//! Package repositories.

use serde_json::{Map, Value};
use skyy_api::{Reason, proxmox_host::HostRepositories};

use super::{Plan, Refusal, Step};

/// One repository in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Whether it is used.
    pub enabled: bool,
    /// `deb`, `deb-src`.
    pub types: Vec<String>,
    /// Where it is.
    pub uris: Vec<String>,
    /// Its distributions.
    pub suites: Vec<String>,
    /// Its components: `pve-enterprise`, `pve-no-subscription`.
    pub components: Vec<String>,
}

/// One file of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryFile {
    /// Where it is.
    pub path: String,
    /// Its repositories, in their order.
    pub repositories: Vec<Repository>,
}

/// A repository that Proxmox VE knows by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandardRepository {
    /// Its name: `enterprise`, `no-subscription`.
    pub handle: String,
    /// Whether it is used; none: it is in no file.
    pub enabled: Option<bool>,
}

/// The package repositories of a node, as `GET /nodes/{node}/apt/repositories` answers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories {
    /// To be sent with a write: it is refused when somebody wrote in between.
    pub digest: Option<String>,
    /// The files that could be read.
    pub files: Vec<RepositoryFile>,
    /// Files that could not be read, with what is wrong.
    pub errors: Vec<String>,
    /// Those that Proxmox VE knows by name.
    pub standard: Vec<StandardRepository>,
}

impl Repositories {
    /// The answer's data.
    pub fn from_raw(raw: &Map<String, Value>) -> Self {
        let objects = |raw: &Map<String, Value>, name: &str| -> Vec<Map<String, Value>> {
            let items = raw.get(name).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(|item| item.as_object().cloned()).collect()
        };
        let text = |raw: &Map<String, Value>, name: &str| {
            raw.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let texts = |raw: &Map<String, Value>, name: &str| -> Vec<String> {
            let items = raw.get(name).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let flag = |value: Option<&Value>| match value {
            Some(Value::Number(number)) => Some(number.as_i64() == Some(1)),
            Some(Value::Bool(yes)) => Some(*yes),
            Some(Value::String(text)) if !text.is_empty() => Some(text == "1"),
            _ => None,
        };
        let repository = |raw: &Map<String, Value>| Repository {
            enabled: flag(raw.get("Enabled")).unwrap_or_default(),
            types: texts(raw, "Types"),
            uris: texts(raw, "URIs"),
            suites: texts(raw, "Suites"),
            components: texts(raw, "Components"),
        };
        Self {
            digest: Some(text(raw, "digest")).filter(|digest| !digest.is_empty()),
            files: objects(raw, "files")
                .iter()
                .map(|file| RepositoryFile {
                    path: text(file, "path"),
                    repositories: objects(file, "repositories").iter().map(repository).collect(),
                })
                .collect(),
            errors: objects(raw, "errors")
                .iter()
                .map(|one| format!("{}: {}", text(one, "path"), text(one, "error")))
                .collect(),
            standard: objects(raw, "standard-repos")
                .iter()
                .map(|one| StandardRepository {
                    handle: text(one, "handle"),
                    enabled: flag(one.get("status")),
                })
                .collect(),
        }
    }

    /// Where a standard repository of Proxmox VE stands: file and place, and whether it is used.
    fn places(&self, component: &str) -> Vec<(&str, u32, bool)> {
        let mut found = Vec::new();
        for file in &self.files {
            for (index, one) in file.repositories.iter().enumerate() {
                // Ceph's repositories have components of the same shape ("enterprise") but other names.
                let is_it = one.types.iter().any(|kind| kind == "deb")
                    && one.components.iter().any(|name| name == component)
                    && one.uris.iter().any(|uri| uri.trim_end_matches('/').ends_with("/debian/pve"));
                if is_it {
                    found.push((file.path.as_str(), u32::try_from(index).unwrap_or(u32::MAX), one.enabled));
                }
            }
        }
        found
    }
}

/// Adds the repositories' part to a plan.
pub(super) fn plan(spec: &HostRepositories, node: &str, seen: &Repositories, plan: &mut Plan) {
    let HostRepositories { enterprise, no_subscription } = spec;
    let mut steps: Vec<(Step, String)> = Vec::new();
    for (handle, component, wanted) in [
        ("enterprise", "pve-enterprise", enterprise),
        ("no-subscription", "pve-no-subscription", no_subscription),
    ] {
        let Some(wanted) = *wanted else { continue };
        let places = seen.places(component);
        let used = places.iter().any(|(_, _, enabled)| *enabled);
        if used == wanted {
            continue;
        }
        if wanted && places.is_empty() {
            if !seen.standard.iter().any(|one| one.handle == handle) {
                let message = format!("{node} knows no repository {handle:?}; it cannot be switched on.");
                plan.refusals.push(Refusal::new(Reason::Refused, message));
                continue;
            }
            if let Some(error) = seen.errors.first() {
                let message = format!(
                    "{node} cannot read all its repositories ({error}), so {handle:?} is not added. Mend that file."
                );
                plan.refusals.push(Refusal::new(Reason::Refused, message));
                continue;
            }
            let step = Step::AddStandardRepository { handle: handle.to_owned(), digest: seen.digest.clone() };
            steps.push((step, format!("add the repository {handle}")));
            continue;
        }
        // One is enough to have it; to be without it, all of them go off.
        let to_switch = places.iter().filter(|(_, _, enabled)| *enabled != wanted);
        for (path, index, _) in to_switch.take(if wanted { 1 } else { usize::MAX }) {
            let word = if wanted { "on" } else { "off" };
            let step = Step::EnableRepository {
                path: (*path).to_owned(),
                index: *index,
                enabled: wanted,
                digest: seen.digest.clone(),
            };
            steps.push((step, format!("switch the repository {handle} {word} ({path})")));
        }
    }
    // What is switched on comes first, so that the node is never without; and only one at a time: a write makes the
    // digest old, and may move what comes after it.
    steps.sort_by_key(|(step, _)| matches!(step, Step::EnableRepository { enabled: false, .. }));
    plan.again |= steps.len() > 1;
    if let Some((step, action)) = steps.into_iter().next() {
        plan.steps.push(step);
        plan.actions.push(action);
    }
}
