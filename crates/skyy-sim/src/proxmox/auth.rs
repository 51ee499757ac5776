//! Who calls, and what they may do: tickets, CSRF tokens, API tokens, roles, the access control list.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::answer::Fault;
use super::params::decode;
use super::state::Cluster;

/// Every privilege there is; also what an Administrator has.
pub(crate) const ALL_PRIVILEGES: [&str; 47] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// A ticket lives two hours.
const TICKET_LIFE_S: u64 = 7200;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) token: Option<String>,
}

impl Caller {
    /// `root@pam`, `root@pam!token`.
    pub(crate) fn id(&self) -> String {
        match &self.token {
            Some(token) => format!("{}!{token}", self.user),
            None => self.user.clone(),
        }
    }

    /// root@pam itself; its tokens are not.
    pub(crate) fn is_root(&self) -> bool {
        self.token.is_none() && self.user == "root@pam"
    }
}

/// The privileges of the roles that come with Proxmox.
pub(crate) fn builtin_role(name: &str) -> Option<BTreeSet<String>> {
    let set = |keep: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        ALL_PRIVILEGES.iter().filter(|p| keep(p)).map(ToString::to_string).collect()
    };
    let among = |names: &[&str]| set(&|p| names.contains(&p));
    Some(match name {
        "Administrator" => set(&|_| true),
        "NoAccess" => BTreeSet::new(),
        "PVEAdmin" => set(&|p| {
            !matches!(
                p,
                "Mapping.Modify"
                    | "Permissions.Modify"
                    | "Realm.Allocate"
                    | "Sys.AccessNetwork"
                    | "Sys.Incoming"
                    | "Sys.Modify"
                    | "Sys.PowerMgmt"
            )
        }),
        "PVEAuditor" => set(&|p| p.ends_with(".Audit")),
        "PVEDatastoreAdmin" => set(&|p| p.starts_with("Datastore.")),
        "PVEDatastoreUser" => among(&["Datastore.AllocateSpace", "Datastore.Audit"]),
        "PVEMappingAdmin" => set(&|p| p.starts_with("Mapping.")),
        "PVEMappingAuditor" => among(&["Mapping.Audit"]),
        "PVEMappingUser" => among(&["Mapping.Audit", "Mapping.Use"]),
        "PVEPoolAdmin" => set(&|p| p.starts_with("Pool.")),
        "PVEPoolUser" => among(&["Pool.Audit"]),
        "PVESDNAdmin" => set(&|p| p.starts_with("SDN.")),
        "PVESDNUser" => among(&["SDN.Audit", "SDN.Use"]),
        "PVESysAdmin" => among(&["Sys.Audit", "Sys.Console", "Sys.Syslog"]),
        "PVETemplateUser" => among(&["VM.Audit", "VM.Clone"]),
        "PVEUserAdmin" => among(&["Group.Allocate", "Realm.AllocateUser", "User.Modify"]),
        "PVEVMAdmin" => set(&|p| p.starts_with("VM.")),
        "PVEVMUser" => among(&[
            "VM.Audit",
            "VM.Backup",
            "VM.Config.CDROM",
            "VM.Config.Cloudinit",
            "VM.Console",
            "VM.GuestAgent.Audit",
            "VM.PowerMgmt",
        ]),
        _ => return None,
    })
}

/// The names of the roles above.
pub(crate) const BUILTIN_ROLES: [&str; 18] = [
    "Administrator",
    "NoAccess",
    "PVEAdmin",
    "PVEAuditor",
    "PVEDatastoreAdmin",
    "PVEDatastoreUser",
    "PVEMappingAdmin",
    "PVEMappingAuditor",
    "PVEMappingUser",
    "PVEPoolAdmin",
    "PVEPoolUser",
    "PVESDNAdmin",
    "PVESDNUser",
    "PVESysAdmin",
    "PVETemplateUser",
    "PVEUserAdmin",
    "PVEVMAdmin",
    "PVEVMUser",
];

/// What the request brought to prove itself.
#[derive(Debug, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) authorization: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) csrf: Option<&'a str>,
}

impl Cluster {
    fn sign(&self, text: &str) -> String {
        let hash =
            Sha256::new().chain_update(self.secret.as_bytes()).chain_update(text.as_bytes()).finalize();
        STANDARD.encode(hash)
    }

    /// A ticket for a user, good from now on.
    pub(crate) fn ticket(&self, user: &str) -> String {
        let plain = format!("PVE:{user}:{:08X}", self.seconds());
        let signature = self.sign(&plain);
        format!("{plain}::{signature}")
    }

    /// The token that must come with every write by ticket.
    pub(crate) fn csrf_token(&self, user: &str) -> String {
        let time = format!("{:08X}", self.seconds());
        let signature = self.sign(&format!("{time}:{user}"));
        format!("{time}:{signature}")
    }

    /// The user of a ticket that still holds.
    pub(crate) fn ticket_user(&self, ticket: &str) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        if self.sign(plain) != signature {
            return None;
        }
        let rest = plain.strip_prefix("PVE:")?;
        let (user, time) = rest.rsplit_once(':')?;
        let time = u64::from_str_radix(time, 16).ok()?;
        (self.seconds() < time + TICKET_LIFE_S && self.active_user(user)).then(|| user.to_string())
    }

    fn csrf_holds(&self, user: &str, token: &str) -> bool {
        let Some((time, signature)) = token.split_once(':') else { return false };
        let fresh = u64::from_str_radix(time, 16).is_ok_and(|t| self.seconds() < t + TICKET_LIFE_S);
        fresh && self.sign(&format!("{time}:{user}")) == signature
    }

    /// Whether a user exists, is enabled and has not expired.
    pub(crate) fn active_user(&self, user: &str) -> bool {
        let alive = |expire: u64| expire == 0 || expire > self.seconds();
        self.access.users.get(user).is_some_and(|u| u.enable && alive(u.expire))
    }

    /// Who calls, or the 401 that says why not.
    pub(crate) fn authenticate(&self, given: &Credentials<'_>, write: bool) -> Result<Caller, Fault> {
        if let Some(token) = given.authorization.and_then(|a| a.strip_prefix("PVEAPIToken=")) {
            return self
                .token_caller(token)
                .ok_or_else(|| Fault::bare(401, "Authentication failed!").after(3000));
        }
        let Some(cookie) = given.cookie else { return Err(Fault::bare(401, "No ticket")) };
        let user = self
            .ticket_user(&decode(cookie, false))
            .ok_or_else(|| Fault::bare(401, "Authentication failed!").after(3000))?;
        if write && !given.csrf.is_some_and(|t| self.csrf_holds(&user, t)) {
            return Err(Fault::bare(401, "Permission denied - invalid csrf token"));
        }
        Ok(Caller { user, token: None })
    }

    fn token_caller(&self, text: &str) -> Option<Caller> {
        let (id, secret) = text.split_once('=').or_else(|| text.split_once(':'))?;
        let (user, name) = id.split_once('!')?;
        let token = self.access.users.get(user)?.tokens.get(name)?;
        let alive = token.expire == 0 || token.expire > self.seconds();
        (token.secret == secret && alive && self.active_user(user))
            .then(|| Caller { user: user.to_string(), token: Some(name.to_string()) })
    }

    /// The privileges of a role.
    pub(crate) fn role(&self, name: &str) -> Option<BTreeSet<String>> {
        self.access.roles.get(name).cloned().or_else(|| builtin_role(name))
    }

    /// The privileges that the list gives one user or token on a path, with whether they go further down.
    fn listed(&self, who: &str, path: &str) -> BTreeMap<String, bool> {
        let mut found: BTreeMap<String, bool> = BTreeMap::new();
        for level in levels(path) {
            let here: Vec<_> = self.access.acl.iter().filter(|a| a.who == who && a.path == level).collect();
            let final_level = level == path;
            let counted: Vec<_> = here.into_iter().filter(|a| final_level || a.propagate).collect();
            if counted.is_empty() {
                continue;
            }
            // An entry further down replaces what came from above.
            found.clear();
            if counted.iter().any(|a| a.role == "NoAccess") {
                continue;
            }
            for entry in counted {
                for privilege in self.role(&entry.role).unwrap_or_default() {
                    *found.entry(privilege).or_default() |= entry.propagate;
                }
            }
        }
        found
    }

    fn with_pools(&self, who: &str, path: &str) -> BTreeMap<String, bool> {
        let mut found = self.listed(who, path);
        let pool_of = |id: &str| -> Option<&String> {
            let vmid: u32 = id.parse().ok()?;
            self.pools.iter().find(|(_, p)| p.guests.contains(&vmid)).map(|(name, _)| name)
        };
        let pools: Vec<String> = if let Some(id) = path.strip_prefix("/vms/") {
            pool_of(id).cloned().into_iter().collect()
        } else if let Some(id) = path.strip_prefix("/storage/") {
            self.pools.iter().filter(|(_, p)| p.storages.contains(id)).map(|(n, _)| n.clone()).collect()
        } else {
            Vec::new()
        };
        for pool in pools {
            for (privilege, propagate) in self.listed(who, &format!("/pool/{pool}")) {
                *found.entry(privilege).or_default() |= propagate;
            }
        }
        found
    }

    /// What a caller may do on a path.
    pub(crate) fn privileges(&self, caller: &Caller, path: &str) -> BTreeMap<String, bool> {
        let of_user = if caller.user == "root@pam" {
            ALL_PRIVILEGES.iter().map(|p| ((*p).to_string(), true)).collect()
        } else {
            self.with_pools(&caller.user, path)
        };
        let Some(name) = &caller.token else { return of_user };
        let token = self.access.users.get(&caller.user).and_then(|u| u.tokens.get(name));
        match token {
            Some(token) if !token.privsep => of_user,
            Some(_) => {
                let own = self.with_pools(&caller.id(), path);
                own.into_iter().filter(|(p, _)| of_user.contains_key(p)).collect()
            }
            None => BTreeMap::new(),
        }
    }

    /// Whether a caller has one of the privileges.
    pub(crate) fn may(&self, caller: &Caller, path: &str, any_of: &[&str]) -> bool {
        let has = self.privileges(caller, path);
        any_of.iter().any(|p| has.contains_key(*p))
    }

    /// Refuses a caller who lacks one of the privileges.
    pub(crate) fn check(&self, caller: &Caller, path: &str, all_of: &[&str]) -> Result<(), Fault> {
        let has = self.privileges(caller, path);
        match all_of.iter().find(|p| !has.contains_key(**p)) {
            Some(missing) => Err(Fault::perm(format!("{path}, {missing}"))),
            None => Ok(()),
        }
    }

    /// Refuses a caller who has none of the privileges.
    pub(crate) fn check_any(&self, caller: &Caller, path: &str, any_of: &[&str]) -> Result<(), Fault> {
        if self.may(caller, path, any_of) {
            return Ok(());
        }
        Err(Fault::perm(format!("{path}, {}", any_of.join("|"))))
    }
}

/// A path and everything above it, from the top.
fn levels(path: &str) -> Vec<String> {
    let mut found = vec!["/".to_string()];
    let mut so_far = String::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        so_far.push('/');
        so_far.push_str(part);
        found.push(so_far.clone());
    }
    found
}

/// Whether Proxmox knows such a path in its access control list.
pub(crate) fn acl_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let vmid = |id: &str| super::formats::check("pve-vmid", id).is_ok();
    match parts.as_slice() {
        []
        | ["access" | "mapping" | "nodes" | "pool" | "sdn" | "storage" | "vms"]
        | ["access", "groups" | "realm"]
        | ["access", "groups" | "realm", _]
        | ["mapping", "dir" | "pci" | "usb" | "hwrng"]
        | ["mapping", "dir" | "pci" | "usb" | "hwrng", _]
        | ["nodes" | "storage", _]
        | ["sdn", "controllers" | "dns" | "ipams" | "zones" | "fabrics"]
        | ["sdn", "controllers" | "dns" | "ipams" | "zones" | "fabrics", _]
        | ["sdn", "zones", _, _]
        | ["sdn", "zones", _, _, _] => true,
        ["pool", rest @ ..] => rest.len() <= 3,
        ["vms", id] => vmid(id),
        _ => false,
    }
}
