//! Rights.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::types::Permissions;

impl Cluster {
    /// What the caller may do, everywhere or on one path. Ask with the exact path where it matters.
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, ProxmoxError> {
        let params = Params::default().maybe("path", path);
        self.ask(Ask::get("/api2/json/access/permissions", "read own permissions").with(params)).await
    }
}
