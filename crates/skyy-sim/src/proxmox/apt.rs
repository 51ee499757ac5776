//! Packages of a node: repositories, the list of updates, installed versions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::state::{Cluster, digest_text};
use super::tasks::{Next, Task};
use super::work::Work;

/// A node's packages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AptState {
    pub(crate) files: Vec<RepoFile>,
    /// The last list of updates that was fetched.
    pub(crate) updates: Vec<Package>,
    /// What fetching a new list would find.
    pub(crate) available: Vec<Package>,
    pub(crate) installed: Vec<Package>,
    pub(crate) subscription: Option<String>,
}

/// A file of repositories.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RepoFile {
    pub(crate) path: String,
    pub(crate) repos: Vec<Repo>,
}

/// One repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Repo {
    pub(crate) uri: String,
    pub(crate) suite: String,
    pub(crate) components: Vec<String>,
    pub(crate) enabled: bool,
}

/// A package, installed or to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) title: String,
}

/// Proxmox's own repositories: handle, name, URI, component.
const STANDARD: [(&str, &str, &str, &str); 5] = [
    ("enterprise", "Enterprise", "https://enterprise.proxmox.com/debian/pve", "pve-enterprise"),
    ("no-subscription", "No-Subscription", "http://download.proxmox.com/debian/pve", "pve-no-subscription"),
    ("test", "Test", "http://download.proxmox.com/debian/pve", "pve-test"),
    (
        "ceph-squid-enterprise",
        "Ceph Squid Enterprise",
        "https://enterprise.proxmox.com/debian/ceph-squid",
        "enterprise",
    ),
    (
        "ceph-squid-no-subscription",
        "Ceph Squid No-Subscription",
        "http://download.proxmox.com/debian/ceph-squid",
        "no-subscription",
    ),
];

/// The file a standard repository goes to.
fn file_of(handle: &str) -> &'static str {
    match handle {
        "enterprise" => "/etc/apt/sources.list.d/pve-enterprise.sources",
        "ceph-squid-enterprise" | "ceph-squid-no-subscription" => "/etc/apt/sources.list.d/ceph.sources",
        _ => "/etc/apt/sources.list.d/proxmox.sources",
    }
}

/// A standard repository by its handle.
pub(crate) fn standard(handle: &str, enabled: bool) -> Option<RepoFile> {
    let (_, _, uri, component) = STANDARD.iter().find(|s| s.0 == handle)?;
    let repo =
        Repo { uri: (*uri).into(), suite: "trixie".into(), components: vec![(*component).into()], enabled };
    Some(RepoFile { path: file_of(handle).into(), repos: vec![repo] })
}

impl AptState {
    fn status(&self, uri: &str, component: &str) -> Option<bool> {
        let all = self.files.iter().flat_map(|f| &f.repos);
        let same = all.filter(|r| r.uri == uri && r.components.iter().any(|c| c == component));
        same.map(|r| r.enabled).reduce(|a, b| a || b)
    }

    fn digest(&self) -> String {
        let full = digest_text(&format!("{:?}", self.files));
        format!("{full}{}", &digest_text(&full)[..24])
    }

    /// Whether fetching the list fails for want of a subscription.
    fn refused(&self) -> Option<&str> {
        let paid = |r: &&Repo| r.enabled && r.uri.contains("enterprise.proxmox.com");
        let found = self.files.iter().flat_map(|f| &f.repos).find(paid)?;
        self.subscription.is_none().then_some(found.uri.as_str())
    }
}

fn state<'c>(call: &'c Call<'_>) -> Result<&'c AptState, Fault> {
    call.c.nodes.get(&call.node).map(|n| &n.apt).ok_or_else(|| Fault::die("no such node"))
}

fn state_mut<'c>(call: &'c mut Call<'_>) -> Result<&'c mut AptState, Fault> {
    call.c.nodes.get_mut(&call.node).map(|n| &mut n.apt).ok_or_else(|| Fault::die("no such node"))
}

/// GET /nodes/{node}/apt
pub(crate) fn index(_: &mut Call<'_>) -> Reply {
    Ok(json!([{"id": "changelog"}, {"id": "repositories"}, {"id": "update"}, {"id": "versions"}]).into())
}

/// GET /nodes/{node}/apt/repositories
pub(crate) fn repositories(call: &mut Call<'_>) -> Reply {
    let apt = state(call)?;
    let files = apt.files.iter().map(|file| {
        let repos = file.repos.iter().map(|r| {
            json!({
                "Comment": "",
                "Components": r.components,
                "Enabled": u8::from(r.enabled),
                "FileType": "sources",
                "Options": [],
                "Suites": [r.suite],
                "Types": ["deb"],
                "URIs": [r.uri],
            })
        });
        json!({
            "digest": digest_text(&format!("{file:?}")),
            "file-type": "sources",
            "path": file.path,
            "repositories": repos.collect::<Value>(),
        })
    });
    let standard = STANDARD.iter().map(|(handle, name, uri, component)| {
        let status = apt.status(uri, component).map(u8::from);
        json!({"description": "", "handle": handle, "name": name, "status": status})
    });
    Ok(json!({
        "digest": apt.digest(),
        "errors": [],
        "files": files.collect::<Value>(),
        "infos": [],
        "standard-repos": standard.collect::<Value>(),
    })
    .into())
}

fn check_digest(call: &Call<'_>) -> Result<(), Fault> {
    if call.p.get("digest").is_some_and(|d| state(call).is_ok_and(|s| s.digest() != d)) {
        return Err(Fault::die("detected modified configuration - file changed by other user? Try again."));
    }
    Ok(())
}

/// POST /nodes/{node}/apt/repositories
pub(crate) fn switch(call: &mut Call<'_>) -> Reply {
    check_digest(call)?;
    let path = call.p.need("path").to_string();
    let index = call.p.need("index").parse::<usize>().unwrap_or(usize::MAX);
    let enabled = call.p.flag("enabled");
    let apt = state_mut(call)?;
    let file = apt.files.iter_mut().find(|f| f.path == path);
    let file = file.ok_or_else(|| Fault::die(format!("invalid path - {path}")))?;
    let repo = file.repos.get_mut(index).ok_or_else(|| Fault::die(format!("invalid index - {index}")))?;
    repo.enabled = enabled.unwrap_or(repo.enabled);
    nothing()
}

/// PUT /nodes/{node}/apt/repositories
pub(crate) fn add(call: &mut Call<'_>) -> Reply {
    check_digest(call)?;
    let handle = call.p.need("handle").to_string();
    let new =
        standard(&handle, true).ok_or_else(|| Fault::die(format!("unknown repository handle '{handle}'")))?;
    let apt = state_mut(call)?;
    let wanted = &new.repos[0];
    for repo in apt.files.iter_mut().flat_map(|f| &mut f.repos) {
        if repo.uri == wanted.uri && repo.components == wanted.components {
            if repo.enabled {
                return Err(Fault::die(format!("standard repository '{handle}' already configured")));
            }
            repo.enabled = true;
            return nothing();
        }
    }
    match apt.files.iter_mut().find(|f| f.path == new.path) {
        Some(file) => file.repos.extend(new.repos),
        None => apt.files.push(new),
    }
    nothing()
}

fn package_row(package: &Package, installed: bool) -> Value {
    let mut row = json!({
        "Arch": "amd64",
        "Description": package.title,
        "OldVersion": package.old,
        "Origin": "Proxmox",
        "Package": package.name,
        "Priority": "optional",
        "Section": "admin",
        "Title": package.title,
        "Version": package.new,
    });
    if installed {
        row["CurrentState"] = json!("Installed");
    }
    row
}

/// GET /nodes/{node}/apt/update
pub(crate) fn updates(call: &mut Call<'_>) -> Reply {
    Ok(state(call)?.updates.iter().map(|p| package_row(p, false)).collect::<Value>().into())
}

/// GET /nodes/{node}/apt/versions
pub(crate) fn versions(call: &mut Call<'_>) -> Reply {
    let kernel = call.c.nodes.get(&call.node).map(|n| n.version.kernel.clone()).unwrap_or_default();
    let rows = state(call)?.installed.iter().map(|p| {
        let mut row = package_row(p, true);
        if p.name == "proxmox-ve" {
            row["RunningKernel"] = json!(kernel);
        }
        row
    });
    Ok(rows.collect::<Value>().into())
}

/// GET /nodes/{node}/apt/changelog
pub(crate) fn changelog(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("name");
    let apt = state(call)?;
    let found = apt.updates.iter().chain(&apt.installed).find(|p| p.name == name);
    let text = match found {
        Some(p) => {
            format!("{name} ({}) trixie; urgency=medium\n\n  * no details in this simulation\n", p.new)
        }
        None => format!("E: Unable to locate package {name}\nRC: 100"),
    };
    Ok(Value::String(text).into())
}

/// POST /nodes/{node}/apt/update
pub(crate) fn refresh(call: &mut Call<'_>) -> Reply {
    call.fork("aptupdate", "", Work::UpdatePackages(Update {}))
}

/// The task that fetches the list of updates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Update {}

impl Update {
    #[expect(clippy::unused_self, reason = "one form for all steps")]
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step == 0 {
            t.say("starting apt-get update");
            return Next::After(4000);
        }
        let Some(node) = c.nodes.get_mut(&t.node) else { return Next::Fail("no such node".into()) };
        if let Some(uri) = node.apt.refused() {
            let uri = uri.to_string();
            t.say(format!("Err:1 {uri} trixie InRelease"));
            t.say("  401  Unauthorized");
            t.say(format!("E: Failed to fetch {uri}/dists/trixie/InRelease  401  Unauthorized"));
            return Next::Fail("command 'apt-get update' failed: exit code 100".into());
        }
        node.apt.updates = node.apt.available.clone();
        Next::Done
    }
}
