//! What can go wrong between "give me a control plane" and a ready one; every message names the way out.

use std::io;
use std::path::PathBuf;

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Go, and no way to get one.
    #[error(
        "no Go {minimum} or newer found ({found}), and it could not be had as a Python wheel ({wheel}): install Go \
         from https://go.dev/dl, or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl, or \
         KUBECONFIG to a cluster made for tests"
    )]
    NoGo {
        /// The oldest Go that builds the modules.
        minimum: &'static str,
        /// What was found instead.
        found: String,
        /// Why the wheel did not help.
        wheel: String,
    },

    /// The build needs more room than there is.
    #[error(
        "{} has {free_mib} MiB free; building the control plane needs {needed_mib}: free some, or point SKYY_CACHE \
         (and GOCACHE) to a larger disk", folder.display()
    )]
    NoRoom {
        /// The folder looked at.
        folder: PathBuf,
        /// What it has.
        free_mib: u64,
        /// What is needed.
        needed_mib: u64,
    },

    /// `go build` failed.
    #[error("building {tool} failed: {last}; the whole output is in {}", log.display())]
    Build {
        /// The program that was built.
        tool: &'static str,
        /// The last line Go wrote.
        last: String,
        /// Where the rest is.
        log: PathBuf,
    },

    /// There is no folder for the cache.
    #[error(
        "neither SKYY_CACHE nor XDG_CACHE_HOME nor HOME is set: set SKYY_CACHE to a folder for built programs"
    )]
    NoCacheFolder,

    /// A program ended before it was ready.
    #[error("{program} ended before it was ready ({status}): {tail}")]
    Died {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: String,
        /// The end of its log.
        tail: String,
    },

    /// A program did not become ready.
    #[error("{program} was not ready after {seconds} s; {tail}")]
    NotReady {
        /// Its name.
        program: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its log.
        tail: String,
    },

    /// The user's cluster cannot be used.
    #[error("the cluster of KUBECONFIG ({}) cannot be used: {why}", kubeconfig.display())]
    Given {
        /// The user's kubeconfig.
        kubeconfig: PathBuf,
        /// What stands against it, and the way out.
        why: String,
    },

    /// Something needs a control plane of our own, and the user gave one.
    #[error("{what} works only on a control plane started here: unset KUBECONFIG")]
    NotOurs {
        /// What was asked for.
        what: &'static str,
    },

    /// kubectl refused.
    #[error("kubectl {what} failed: {message}")]
    Kubectl {
        /// The command, in words.
        what: String,
        /// Its stderr.
        message: String,
    },

    /// Keys or certificates could not be made.
    #[error("making the control plane's certificates failed: {0}")]
    Certificates(#[from] rcgen::Error),

    /// The system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Gives an [`io::Error`] the words for what was tried.
pub(crate) trait Context<T> {
    /// Adds what was tried.
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what.into(), source })
    }
}
