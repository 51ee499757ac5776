//! A real Kubernetes API server for the demo and the tests, without containers: the user's own cluster where
//! `KUBECONFIG` is set, else kube-apiserver and etcd on loopback, gone when the [`ControlPlane`] is dropped or the
//! program that holds it dies in any way. Knows nothing of Skyy-Command's kinds but their API group.
//!
//! ```no_run
//! use xtask::control_plane::{ControlPlane, Tools};
//!
//! let plane = ControlPlane::start(Tools::from_env()?)?;
//! plane.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: skyy-system}\n")?;
//! println!("export KUBECONFIG={}", plane.kubeconfig().display());
//! # Ok::<(), xtask::control_plane::Error>(())
//! ```

mod error;
mod go;
mod identity;
mod server;
mod tools;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

pub use self::error::Error;
pub use self::tools::{Tool, Tools};

use self::error::Context as _;
use self::server::Server;
use crate::process::Folder;

/// The group of every kind of ours.
pub const GROUP: &str = "skyy.helloskyy.io";

/// A control plane that is ready.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: first what runs, then the folder it runs in.
    server: Option<Server>,
    tools: Tools,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    folder: Folder,
}

impl ControlPlane {
    /// The cluster of `KUBECONFIG`, or an API server of our own.
    pub fn start(tools: Tools) -> Result<Self, Error> {
        match tools::set("KUBECONFIG") {
            Some(kubeconfig) => Self::given(tools, &kubeconfig),
            None => Self::own(tools),
        }
    }

    /// An API server of our own, whatever `KUBECONFIG` says. Needs about two seconds once the programs are built.
    pub fn own(tools: Tools) -> Result<Self, Error> {
        tools.ensure(&[Tool::KubeApiserver, Tool::Etcd, Tool::Kubectl])?;
        let kubectl = tools.get(Tool::Kubectl)?;
        let folder = new_folder()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let server = Server::start(&tools, folder.path(), &kubeconfig)?;
        Ok(Self { server: Some(server), tools, kubectl, kubeconfig, folder })
    }

    /// The user's cluster. One that already holds resources of ours is refused: tests and demo would meddle with
    /// them, and what they describe is real.
    pub fn given(tools: Tools, source: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::Given { kubeconfig: source.to_owned(), why };
        let kubectl = tools.get(Tool::Kubectl)?;
        let folder = new_folder()?;
        // A copy of the current context, so that a `kubectl config use-context` meanwhile changes nothing here.
        let output = Command::new(&kubectl)
            .args(["config", "view", "--minify", "--flatten", "--raw"])
            .env("KUBECONFIG", source)
            .output()
            .context("running kubectl")?;
        if !output.status.success() {
            return Err(refuse(first_line(&output.stderr)));
        }
        let kubeconfig = folder.path().join("kubeconfig");
        identity::write_private(&kubeconfig, &String::from_utf8_lossy(&output.stdout))?;
        let plane = Self { server: None, tools, kubectl, kubeconfig, folder };
        plane.kubectl(&["get", "--raw", "/readyz"]).map_err(|error| refuse(error.to_string()))?;
        if tools::set("SKYY_USE_CLUSTER").is_none_or(|value| value != Path::new("1"))
            && let Some(object) = plane.one_of_ours()?
        {
            return Err(refuse(format!(
                "it holds resources of {GROUP} ({object}). Unset KUBECONFIG to have a cluster of our own, or set \
                 SKYY_USE_CLUSTER=1 if it is made for tests"
            )));
        }
        Ok(plane)
    }

    fn one_of_ours(&self) -> Result<Option<String>, Error> {
        let kinds =
            self.kubectl(&["api-resources", "--api-group", GROUP, "--verbs", "list", "-o", "name"])?;
        for kind in kinds.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let objects = self.kubectl(&["get", kind, "--all-namespaces", "-o", "name"])?;
            if let Some(object) = objects.lines().next() {
                return Ok(Some(object.to_owned()));
            }
        }
        Ok(None)
    }

    /// In words, which control plane this is.
    pub fn source(&self) -> String {
        match &self.server {
            Some(server) => format!("{} on {}", self.tools.source(), server.url()),
            None => format!("the cluster of KUBECONFIG ({})", self.kubeconfig_user()),
        }
    }

    fn kubeconfig_user(&self) -> String {
        self.kubectl(&["config", "current-context"])
            .map_or_else(|error| error.to_string(), |name| name.trim().to_owned())
    }

    /// Whether it was started here, so that the tests may do with it what they like.
    pub fn is_own(&self) -> bool {
        self.server.is_some()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A folder that goes when this goes; logs of etcd and kube-apiserver are in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The programs around it.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// kubectl as the administrator, ready for more arguments.
    pub fn kubectl_command(&self) -> Command {
        self.kubectl_as(&self.kubeconfig)
    }

    /// kubectl as whoever that kubeconfig is of.
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache-dir")
            .arg(self.folder.path().join("kubectl-cache"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs kubectl as the administrator and returns what it prints.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, Error> {
        let output = self.kubectl_command().args(args).output().context("running kubectl")?;
        finished(args, output).map(|(stdout, _)| stdout)
    }

    /// Applies manifests server-side and returns the API server's warnings.
    pub fn apply(&self, manifests: &str) -> Result<Vec<String>, Error> {
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests)
    }

    /// Deletes what manifests name and waits until it is gone; what is not there is no error.
    pub fn delete(&self, manifests: &str) -> Result<(), Error> {
        self.kubectl_with(&["delete", "--ignore-not-found", "--timeout=300s", "-f", "-"], manifests)
            .map(|_| ())
    }

    /// The same without waiting.
    pub fn begin_delete(&self, manifests: &str) -> Result<(), Error> {
        self.kubectl_with(&["delete", "--ignore-not-found", "--wait=false", "-f", "-"], manifests).map(|_| ())
    }

    fn kubectl_with(&self, args: &[&str], manifests: &str) -> Result<Vec<String>, Error> {
        let mut child = self
            .kubectl_command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl reads all of it before it answers; if it ends early, its stderr says why.
            let _ = stdin.write_all(manifests.as_bytes());
        }
        finished(args, child.wait_with_output().context("running kubectl")?).map(|(_, warnings)| warnings)
    }

    /// Applies every CRD in a folder, waits until the API server serves them, and returns its warnings.
    pub fn install_crds(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .context(format!("reading {}", folder.display()))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        let mut manifests = String::new();
        for file in &files {
            manifests.push_str("---\n");
            manifests.push_str(&fs::read_to_string(file).context(format!("reading {}", file.display()))?);
        }
        if manifests.is_empty() {
            return Ok(Vec::new());
        }
        let warnings = self.apply(&manifests)?;
        let folder = folder.display().to_string();
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &folder])?;
        Ok(warnings)
    }

    /// A kubeconfig for a ServiceAccount, with a token from the TokenRequest API that is good for a day. The
    /// account must exist; what it may do is what RBAC gives it.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, "--duration=24h"])?;
        let config = self.kubectl(&["config", "view", "--flatten", "--raw", "-o", "json"])?;
        let invalid = |error: serde_json::Error| Error::Kubectl {
            what: String::from("config view"),
            message: error.to_string(),
        };
        let mut config: Value = serde_json::from_str(&config).map_err(invalid)?;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        config["users"] = json!([{"name": user, "user": {"token": token.trim()}}]);
        if let Some(contexts) = config["contexts"].as_array_mut() {
            for context in contexts {
                context["context"]["user"] = json!(user);
                context["context"]["namespace"] = json!(namespace);
            }
        }
        let path = self.folder.path().join(format!("kubeconfig-{namespace}-{name}"));
        identity::write_private(&path, &serde_json::to_string_pretty(&config).map_err(invalid)?)?;
        Ok(path)
    }

    /// Starts kube-controller-manager with garbage collection, namespace deletion and default ServiceAccounts; a
    /// user's cluster has one already. Built when first asked for.
    pub fn start_controller_manager(&mut self) -> Result<(), Error> {
        match &mut self.server {
            Some(server) => server.start_manager(&self.tools, &self.kubeconfig),
            None => Ok(()),
        }
    }

    /// Stops the API server, as if it were unplugged; etcd keeps the objects.
    pub fn stop_api_server(&mut self) -> Result<(), Error> {
        self.server.as_mut().ok_or(Error::NotOurs { what: "stopping the API server" })?.stop_api()
    }

    /// Starts the API server again, on the same port.
    pub fn start_api_server(&mut self) -> Result<(), Error> {
        self.server
            .as_mut()
            .ok_or(Error::NotOurs { what: "starting the API server" })?
            .start_api(&self.kubeconfig)
    }

    /// The processes that were started here, for those who count what is left behind.
    pub fn process_ids(&self) -> Vec<u32> {
        self.server.as_ref().map(Server::process_ids).unwrap_or_default()
    }
}

fn new_folder() -> Result<Folder, Error> {
    Folder::create(&std::env::temp_dir(), "skyy-").context("creating a temporary folder")
}

fn finished(args: &[&str], output: std::process::Output) -> Result<(String, Vec<String>), Error> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let what = args.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        return Err(Error::Kubectl { what, message: stderr.trim().to_owned() });
    }
    let warnings =
        stderr.lines().filter_map(|line| line.strip_prefix("Warning: ")).map(str::to_owned).collect();
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), warnings))
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or("no reason given").to_owned()
}
