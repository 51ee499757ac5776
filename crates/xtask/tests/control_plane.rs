//! The control plane as its users see it: it answers, it can be unplugged, it leaves nothing behind.

use std::path::Path;
use std::process::{Command, Stdio};

use xtask::control_plane::{ControlPlane, Error, GROUP, Tools};
use xtask::process::is_running;

const CONFIG_MAP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: tenants}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: tenants}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: tenants}
data: {text: hello}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: tenants}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: tenants}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: tenants}]
";

#[test]
fn objects_outlive_an_unplugged_api_server_and_nothing_outlives_the_control_plane() {
    let mut plane = ControlPlane::own(Tools::from_env().unwrap()).unwrap();
    assert!(plane.is_own());
    assert_eq!(plane.apply(CONFIG_MAP).unwrap(), Vec::<String>::new());
    let version = plane.kubectl(&["version", "-o", "json"]).unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["gitVersion"], "v1.36.3");

    plane.stop_api_server().unwrap();
    plane.kubectl(&["get", "namespaces", "--request-timeout=2s"]).unwrap_err();
    plane.start_api_server().unwrap();
    let get = ["get", "configmap", "greeting", "-n", "tenants", "-o", "jsonpath={.data.text}"];
    assert_eq!(plane.kubectl(&get).unwrap(), "hello");

    let pids = plane.process_ids();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_running(*pid)));
    let folder = plane.folder().to_owned();
    drop(plane);
    assert!(pids.iter().all(|pid| !is_running(*pid)));
    assert!(!folder.exists());
}

#[test]
fn a_service_account_may_do_what_rbac_gives_it_and_no_more() {
    let plane = ControlPlane::own(Tools::from_env().unwrap()).unwrap();
    plane.apply(CONFIG_MAP).unwrap();
    let kubeconfig = plane.service_account_kubeconfig("tenants", "reader").unwrap();
    let run = |args: &[&str]| plane.kubectl_as(&kubeconfig).args(args).output().unwrap();

    let who = run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(String::from_utf8_lossy(&who.stdout), "system:serviceaccount:tenants:reader");
    assert!(run(&["get", "configmap", "greeting"]).status.success());
    let refused = run(&["delete", "configmap", "greeting"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"), "{refused:?}");
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_named() {
    let error =
        ControlPlane::given(Tools::from_env().unwrap(), Path::new("/nowhere/kubeconfig")).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Given { .. }), "{error:?}");
    assert!(
        message.starts_with("the cluster of KUBECONFIG (/nowhere/kubeconfig) cannot be used: "),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_given_cluster_is_taken_unless_it_holds_resources_of_ours() {
    let own = ControlPlane::own(Tools::from_env().unwrap()).unwrap();
    let give = || ControlPlane::given(Tools::from_env().unwrap(), own.kubeconfig());
    let mut given = give().unwrap();
    assert!(!given.is_own());
    assert_eq!(given.process_ids(), Vec::<u32>::new());
    given.apply(CONFIG_MAP).unwrap();
    assert!(matches!(given.stop_api_server().unwrap_err(), Error::NotOurs { .. }));

    let crd = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.{GROUP}}}
spec:
  group: {GROUP}
  names: {{kind: Thing, plural: things}}
  scope: Namespaced
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]
"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("things.yaml"), crd).unwrap();
    assert_eq!(own.install_crds(folder.path()).unwrap(), Vec::<String>::new());
    give().unwrap();
    own.apply(&format!(
        "apiVersion: {GROUP}/v1\nkind: Thing\nmetadata: {{name: real, namespace: tenants}}\n"
    ))
    .unwrap();
    let message = give().unwrap_err().to_string();
    assert!(message.contains("thing.skyy.helloskyy.io/real"), "{message}");
    assert!(message.contains("SKYY_USE_CLUSTER=1"), "{message}");
}

/// The hardest end there is: no destructor and no signal handler runs.
#[test]
fn kill_dash_nine_leaves_no_process_and_no_folder() {
    let cache = tempfile::tempdir().unwrap();
    let mut child = xtask(&["cluster", "run"])
        .env_remove("KUBECONFIG")
        .env("SKYY_CLUSTER_DIR", cache.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut value = |name: &str| -> String {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix(name).map(str::to_owned))
            .unwrap()
    };
    let folder = value("folder: ");
    let pids: Vec<u32> = value("processes: ").split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_running(*pid)));
    assert!(Path::new(&folder).exists());

    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the processes are gone", || pids.iter().all(|pid| !is_running(*pid)));
    wait_until("the folder is gone", || !Path::new(&folder).exists());
}

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).stdin(Stdio::null());
    command
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < until, "not within 30 s: {what}");
        std::thread::sleep(xtask::process::POLL);
    }
}
