//! Finds the programs of a control plane, and builds those that are nowhere. Starts none of them.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Context as _, Error};
use super::go;
use crate::ui;

/// The modules' own files say the versions, so nothing can say otherwise.
const MODULES: &str = include_str!("../../control-plane/go.mod");
const HELM_MODULE: &str = include_str!("../../control-plane/helm/go.mod");

/// A program of the control plane, or one that talks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The API server.
    KubeApiserver,
    /// Its database.
    Etcd,
    /// Its command line.
    Kubectl,
    /// Garbage collection, namespaces and ServiceAccounts; only for tests about those.
    KubeControllerManager,
    /// Charts.
    Helm,
}

impl Tool {
    /// The program's file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::Etcd => "etcd",
            Self::Kubectl => "kubectl",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Helm => "helm",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
        }
    }

    /// The version built here, as `1.36.3`.
    pub fn version(self) -> &'static str {
        let (text, module) = match self {
            Self::Etcd => (MODULES, "go.etcd.io/etcd/server/v3"),
            Self::Helm => (HELM_MODULE, "helm.sh/helm/v4"),
            Self::KubeApiserver | Self::Kubectl | Self::KubeControllerManager => {
                (MODULES, "k8s.io/kubernetes")
            }
        };
        required(text, module).unwrap_or("of no known version")
    }

    /// What the linker writes into the program so that it knows its version.
    fn variables(self) -> Vec<(&'static str, String)> {
        let version = self.version();
        match self {
            Self::Etcd => Vec::new(),
            Self::Helm => vec![("helm.sh/helm/v4/internal/version.version", format!("v{version}"))],
            Self::KubeApiserver | Self::Kubectl | Self::KubeControllerManager => {
                let mut parts = version.split('.').map(str::to_owned);
                vec![
                    ("k8s.io/component-base/version.gitVersion", format!("v{version}")),
                    ("k8s.io/component-base/version.gitMajor", parts.next().unwrap_or_default()),
                    ("k8s.io/component-base/version.gitMinor", parts.next().unwrap_or_default()),
                ]
            }
        }
    }
}

/// Reads `MODULE vVERSION` off a go.mod.
fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module)).then(|| words.next()?.strip_prefix('v')).flatten()
    })
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    assets: Option<PathBuf>,
    given_cluster: bool,
    cache: PathBuf,
}

impl Tools {
    /// Looks at `KUBEBUILDER_ASSETS`, `KUBECONFIG` and `SKYY_CACHE`; finds and builds nothing yet.
    pub fn from_env() -> Result<Self, Error> {
        Ok(Self {
            assets: set("KUBEBUILDER_ASSETS"),
            given_cluster: set("KUBECONFIG").is_some(),
            cache: cache_folder(set("SKYY_CACHE"), set("XDG_CACHE_HOME"), set("HOME"))?,
        })
    }

    /// The folder for everything built or fetched.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// In words, where the API server's program comes from.
    pub fn source(&self) -> String {
        match &self.assets {
            Some(folder) if folder.join(Tool::KubeApiserver.name()).is_file() => {
                format!("KUBEBUILDER_ASSETS ({})", folder.display())
            }
            _ => format!("{} built from Go modules", Tool::KubeApiserver.version()),
        }
    }

    /// The program, if it is there without building.
    pub fn find(&self, tool: Tool) -> Option<PathBuf> {
        let given = self.assets.iter().map(|folder| folder.join(tool.name()));
        let built = [self.built(tool)];
        // With a cluster of the user's goes the user's kubectl; ours would have to be built for it.
        let on_path = (tool == Tool::Kubectl && self.given_cluster).then(|| on_path(tool.name())).flatten();
        given.chain(built).chain(on_path).find(|path| path.is_file())
    }

    /// The program, built if need be.
    pub fn get(&self, tool: Tool) -> Result<PathBuf, Error> {
        match self.find(tool) {
            Some(path) => Ok(path),
            None => self.build(tool),
        }
    }

    /// Several programs, so that a person waits once, at the beginning.
    pub fn ensure(&self, tools: &[Tool]) -> Result<(), Error> {
        tools.iter().try_for_each(|tool| self.get(*tool).map(|_| ()))
    }

    fn built(&self, tool: Tool) -> PathBuf {
        let folder = match tool {
            Tool::Helm => format!("helm-{}", tool.version()),
            _ => format!("kubernetes-{}_etcd-{}", Tool::KubeApiserver.version(), Tool::Etcd.version()),
        };
        self.cache.join(folder).join(tool.name())
    }

    fn build(&self, tool: Tool) -> Result<PathBuf, Error> {
        let output = self.built(tool);
        if let Some(folder) = output.parent() {
            fs::create_dir_all(folder).context(format!("creating {}", folder.display()))?;
        }
        let lock_path = self.cache.join("build.lock");
        let lock = File::create(&lock_path).context(format!("creating {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                ui::note("another run is building the control plane: waiting for it");
                lock.lock().context(format!("locking {}", lock_path.display()))?;
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { what: format!("locking {}", lock_path.display()), source });
            }
        }
        // The other run may have built just this.
        if !output.is_file() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane");
            go::build(
                &self.cache,
                &go::Build {
                    tool: tool.name(),
                    version: tool.version(),
                    module: &if tool == Tool::Helm { root.join("helm") } else { root },
                    package: tool.package(),
                    variables: &tool.variables(),
                    output: &output,
                },
            )?;
        }
        Ok(output)
    }
}

/// An environment variable that is set to something.
pub(super) fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn cache_folder(own: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, Error> {
    own.or_else(|| xdg.map(|folder| folder.join("skyy-command")))
        .or_else(|| home.map(|folder| folder.join(".cache/skyy-command")))
        .ok_or(Error::NoCacheFolder)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())?;
    Command::new(&found).arg("version").arg("--client").output().ok()?.status.success().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        assert_eq!(Tool::KubeApiserver.version(), "1.36.3");
        assert_eq!(Tool::Kubectl.version(), "1.36.3");
        assert_eq!(Tool::Helm.version(), "4.0.0");
        assert!(Tool::Etcd.version().starts_with("3.6."), "{}", Tool::Etcd.version());
        assert_eq!(Tool::KubeApiserver.variables()[2].1, "36");
    }

    #[test]
    fn required_reads_both_shapes() {
        fn check(go_mod: &str, expected: Option<&str>) {
            assert_eq!(required(go_mod, "a.io/b"), expected, "{go_mod:?}");
        }
        check("require a.io/b v1.2.3\n", Some("1.2.3"));
        check("require (\n\ta.io/b/c v9.9.9\n\ta.io/b v1.2.3 // indirect\n)\n", Some("1.2.3"));
        check("tool a.io/b\n", None);
        check("tool (\n\ta.io/b\n)\n", None);
    }

    #[test]
    fn the_cache_goes_where_the_user_says() {
        fn check(folders: [Option<&str>; 3], expected: Option<&str>) {
            let [own, xdg, home] = folders.map(|folder| folder.map(PathBuf::from));
            assert_eq!(cache_folder(own, xdg, home).ok(), expected.map(PathBuf::from));
        }
        check([Some("/a"), Some("/b"), Some("/c")], Some("/a"));
        check([None, Some("/b"), Some("/c")], Some("/b/skyy-command"));
        check([None, None, Some("/c")], Some("/c/.cache/skyy-command"));
        check([None, None, None], None);
    }

    #[test]
    fn given_programs_come_before_built_ones() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools {
            assets: Some(folder.path().join("assets")),
            given_cluster: false,
            cache: folder.path().join("cache"),
        };
        assert_eq!(tools.find(Tool::Etcd), None);
        let built = tools.built(Tool::Etcd);
        fs::create_dir_all(built.parent().unwrap()).unwrap();
        fs::write(&built, "").unwrap();
        assert_eq!(tools.find(Tool::Etcd), Some(built));
        let given = folder.path().join("assets/etcd");
        fs::create_dir_all(given.parent().unwrap()).unwrap();
        fs::write(&given, "").unwrap();
        assert_eq!(tools.find(Tool::Etcd), Some(given));
    }
}
