//! The API servers of this process: at most a few at once, each used by one test after the other.
//!
//! A test that fails or bends the CRDs leaves its API server behind; the next one gets a new one, in two seconds.

use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use xtask::control_plane::{ControlPlane, Tools};

use super::{NAMESPACE, SYSTEM, lock};

type Plane = Arc<Mutex<ControlPlane>>;

struct Pool {
    idle: Vec<Plane>,
    out: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), out: 0 });
static FREED: Condvar = Condvar::new();

/// An API server, for as long as a test lasts.
pub(super) struct Lease {
    plane: Plane,
    keep: AtomicBool,
}

impl Lease {
    pub(super) fn plane(&self) -> Plane {
        self.plane.clone()
    }

    /// It is empty again, and good for the next test.
    pub(super) fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = lock(&POOL);
        pool.out -= 1;
        if self.keep.load(Ordering::Relaxed) {
            pool.idle.push(self.plane.clone());
        }
        FREED.notify_one();
    }
}

/// As many tests at once as there are processors, but not so many that memory becomes the question. In a cluster that was
/// given there is room for one.
fn most() -> usize {
    if given() {
        return 1;
    }
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

fn given() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty())
}

/// Waits for its turn, and gives an API server without any object of ours.
pub(super) fn acquire() -> Lease {
    let idle = {
        let mut pool = lock(&POOL);
        while pool.out >= most() {
            pool = FREED.wait(pool).unwrap();
        }
        pool.out += 1;
        pool.idle.pop()
    };
    let back = PutBack;
    let plane = idle.unwrap_or_else(|| Arc::new(Mutex::new(new())));
    std::mem::forget(back);
    Lease { plane, keep: AtomicBool::new(false) }
}

/// An API server that does not start must not take its place away for ever.
struct PutBack;

impl Drop for PutBack {
    fn drop(&mut self) {
        lock(&POOL).out -= 1;
        FREED.notify_one();
    }
}

fn new() -> ControlPlane {
    let plane = ControlPlane::start(Tools::from_env().unwrap()).unwrap();
    let warnings = plane.install_crds(&root().join("crds")).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "the CRDs are applied without a warning");
    plane
        .apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {SYSTEM}}}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{skyy.helloskyy.io/firewall: edge}}}}\n"
        ))
        .unwrap();
    plane
}

/// The workspace.
pub(super) fn root() -> PathBuf {
    xtask::workspace::root()
}
