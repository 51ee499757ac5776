//! Which crate's tests belong to which layer, in the order in which a failure is best understood: what breaks in
//! an early layer breaks everything after it. Runs nothing.

use std::fmt;

/// A layer of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Types, planners, scheduler: no I/O.
    Pure,
    /// The clients of the outside systems.
    Client,
    /// The simulated endpoints.
    Simulator,
    /// The driver and the controllers.
    Driver,
    /// What a person types.
    Cli,
    /// Crates that nobody has given a layer yet; better shown than forgotten.
    Other,
    /// Examples in the documentation.
    Examples,
    /// The operator on a real API server.
    Cluster,
    /// The Helm chart.
    Chart,
}

impl Layer {
    /// The layer of a crate.
    pub fn of(package: &str) -> Self {
        match package {
            "skyy-api" | "skyy-plan" | "skyy-scheduler" => Self::Pure,
            "skyy-http" | "skyy-pfsense" | "skyy-proxmox" | "skyy-ceph" => Self::Client,
            "skyy-sim" => Self::Simulator,
            "skyy-runtime" | "skyy-controllers" | "skyy-operator" => Self::Driver,
            "skyyctl" | "xtask" => Self::Cli,
            "skyy-tests" => Self::Cluster,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pure => "pure",
            Self::Client => "client",
            Self::Simulator => "simulator",
            Self::Driver => "driver",
            Self::Cli => "cli",
            Self::Other => "other",
            Self::Examples => "examples",
            Self::Cluster => "cluster",
            Self::Chart => "chart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_workspace_has_a_layer() {
        let crates = crate::workspace::root().join("crates");
        for entry in std::fs::read_dir(crates).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert_ne!(Layer::of(&name), Layer::Other, "{name} has no layer");
        }
    }
}
