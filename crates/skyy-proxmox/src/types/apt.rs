//! Packages of a node: repositories, updates, versions.

use serde::Deserialize;

use crate::ids::Digest;
use crate::lenient::{flag, maybe_flag, number, text, texts};

/// `/nodes/N/apt/repositories`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AptRepositories {
    /// What to send with a write.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The files that could be read.
    #[serde(default)]
    pub files: Vec<AptFile>,
    /// The files that could not.
    #[serde(default)]
    pub errors: Vec<AptFileError>,
    /// Remarks and warnings.
    #[serde(default)]
    pub infos: Vec<AptInfo>,
    /// The repositories Proxmox VE knows by a handle.
    #[serde(default, rename = "standard-repos")]
    pub standard: Vec<StandardRepository>,
}

impl AptRepositories {
    /// The state of a standard repository: `None` when it is not configured (or not known), else whether it is enabled.
    pub fn standard_enabled(&self, handle: &str) -> Option<bool> {
        self.standard.iter().find(|repository| repository.handle == handle)?.enabled
    }
}

/// One file of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AptFile {
    /// Where it is.
    #[serde(default)]
    pub path: String,
    /// Its repositories; the place in this list is the index that a write names.
    #[serde(default)]
    pub repositories: Vec<AptRepository>,
}

/// One repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AptRepository {
    /// Whether it is used.
    #[serde(default, rename = "Enabled", deserialize_with = "flag")]
    pub enabled: bool,
    /// `deb`, `deb-src`.
    #[serde(default, rename = "Types", deserialize_with = "texts")]
    pub types: Vec<String>,
    /// Where it is.
    #[serde(default, rename = "URIs", deserialize_with = "texts")]
    pub uris: Vec<String>,
    /// Its distributions.
    #[serde(default, rename = "Suites", deserialize_with = "texts")]
    pub suites: Vec<String>,
    /// Its components.
    #[serde(default, rename = "Components", deserialize_with = "texts")]
    pub components: Vec<String>,
}

/// A file that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AptFileError {
    /// Where it is.
    #[serde(default, deserialize_with = "text")]
    pub path: Option<String>,
    /// What is wrong.
    #[serde(default, deserialize_with = "text")]
    pub error: Option<String>,
}

/// A remark on a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AptInfo {
    /// The file.
    #[serde(default, deserialize_with = "text")]
    pub path: Option<String>,
    /// The repository in it.
    #[serde(default, deserialize_with = "number")]
    pub index: Option<u32>,
    /// `origin`, `warning`, …
    #[serde(default, deserialize_with = "text")]
    pub kind: Option<String>,
    /// The remark.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
}

/// A repository Proxmox VE knows by a handle (`enterprise`, `no-subscription`, …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StandardRepository {
    /// The handle.
    #[serde(default)]
    pub handle: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether it is enabled; `None` when it is not configured.
    #[serde(default, rename = "status", deserialize_with = "maybe_flag")]
    pub enabled: Option<bool>,
}

/// A package that could be updated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PackageUpdate {
    /// The package.
    #[serde(default, rename = "Package")]
    pub package: String,
    /// The version there is.
    #[serde(default, rename = "OldVersion", deserialize_with = "text")]
    pub old_version: Option<String>,
    /// The version to be had.
    #[serde(default, rename = "Version", deserialize_with = "text")]
    pub version: Option<String>,
    /// Who publishes it (`Proxmox`, `Debian`, `Debian-Security`).
    #[serde(default, rename = "Origin", deserialize_with = "text")]
    pub origin: Option<String>,
    /// What it is in one line.
    #[serde(default, rename = "Title", deserialize_with = "text")]
    pub title: Option<String>,
}

impl PackageUpdate {
    /// Whether it comes from a security archive.
    pub fn is_security(&self) -> bool {
        self.origin.as_deref().is_some_and(|origin| origin.to_ascii_lowercase().contains("security"))
    }
}

/// A package that Proxmox VE is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PackageVersion {
    /// The package.
    #[serde(default, rename = "Package")]
    pub package: String,
    /// The version there is.
    #[serde(default, rename = "OldVersion", deserialize_with = "text")]
    pub old_version: Option<String>,
    /// The version to be had.
    #[serde(default, rename = "Version", deserialize_with = "text")]
    pub version: Option<String>,
    /// `Installed`, `NotInstalled`, …
    #[serde(default, rename = "CurrentState", deserialize_with = "text")]
    pub current_state: Option<String>,
    /// The kernel that runs; only at the entry of the metapackage.
    #[serde(default, rename = "RunningKernel", deserialize_with = "text")]
    pub running_kernel: Option<String>,
}
