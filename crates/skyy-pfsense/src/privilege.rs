//! The privileges of pfSense users that calls need.
//!
//! Must not know users.

use http::Method;

use crate::apply::Subsystem;
use crate::system::READS;
use crate::table::Table;

/// The privilege that a call needs, as the package names it: `api-v2-firewall-virtual-ips-get`.
pub fn privilege(method: &Method, path: &str) -> String {
    let path = path.trim_matches('/').replace(['/', '_'], "-");
    format!("{path}-{}", method.as_str().to_ascii_lowercase())
}

/// Every privilege that this client may need, sorted. A user with these and no others can do all that the operator does.
pub fn required_privileges() -> Vec<String> {
    let mut calls: Vec<(Method, &str)> = READS.iter().map(|path| (Method::GET, *path)).collect();
    for table in Table::ALL {
        calls.push((Method::GET, table.all()));
        calls.extend([Method::POST, Method::PATCH, Method::DELETE].map(|method| (method, table.one())));
        if let Some((method, path)) = table.replace() {
            calls.push((method, path));
        }
    }
    for subsystem in Subsystem::ALL {
        calls.extend([Method::GET, Method::POST].map(|method| (method, subsystem.path())));
    }
    let mut names: Vec<String> = calls.iter().map(|(method, path)| privilege(method, path)).collect();
    names.sort();
    names.dedup();
    names
}
