//! Which endpoints a release has, in which version, behind which permission.
//!
//! The table is data: what an endpoint does is elsewhere. `Accept` is judged here as the dashboard judges it.

use http::Method;

use super::Release;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Login,
    AuthCheck,
    Logout,
    HealthMinimal,
    HealthFull,
    Capacity,
    Fsid,
    Summary,
    Tasks,
    FeatureToggles,
    ClusterStatus,
    EmptyList,
    EmptyObject,
    NoOrchestrator,
    Pools,
    PoolCreate,
    Pool,
    PoolEdit,
    PoolDelete,
    PoolConfiguration,
    Osds,
    Osd,
    OsdCreate,
    OsdEdit,
    OsdFlags,
    OsdFlagsSet,
    OsdFlagsIndividual,
    OsdFlagsIndividualSet,
    OsdSettings,
    OsdSafeToDestroy,
    OsdMark,
    OsdReweight,
    OsdScrub,
    OsdDestroy,
    OsdPurge,
    Hosts,
    Host,
    Monitors,
    CrushRules,
    CrushRule,
    CrushRuleCreate,
    CrushRuleDelete,
    Profiles,
    Profile,
    ProfileCreate,
    ProfileDelete,
    Config,
    ConfigFilter,
    ConfigOption,
    ConfigSet,
    ConfigBulk,
    ConfigUnset,
    Modules,
    Module,
    ModuleOptions,
    ModuleSet,
    ModuleRestart,
    Images,
    Image,
    ImageCreate,
    ImageEdit,
    ImageDelete,
    ImageFeatures,
    SnapCreate,
    SnapEdit,
    SnapDelete,
    SnapClone,
    Flatten,
    Namespaces,
    NamespaceCreate,
    NamespaceDelete,
    Users,
    User,
    UserCreate,
    UserEdit,
    UserDelete,
    /// The real manager has it; this one says that it has not.
    NotSimulated,
}

/// A version of an endpoint, or of a request.
pub(super) type Version = (u16, u16);

const V0: Option<Version> = Some((0, 1));
const V1: Option<Version> = Some((1, 0));
const V2: Option<Version> = Some((2, 0));

/// Method, path, version on 16 and on 18 (none: the release lacks it), permission scope ("" for any login), what it is.
type Row = (&'static str, &'static str, Option<Version>, Option<Version>, &'static str, Op);

#[rustfmt::skip]
const ROUTES: &[Row] = &[
    ("POST", "/api/auth", V1, V1, PUBLIC, Op::Login),
    ("POST", "/api/auth/check", V1, V1, PUBLIC, Op::AuthCheck),
    ("POST", "/api/auth/logout", V1, V1, PUBLIC, Op::Logout),
    ("GET", "/api/health/minimal", V1, V1, "", Op::HealthMinimal),
    ("GET", "/api/health/full", V1, V1, "", Op::HealthFull),
    ("GET", "/api/health/get_cluster_capacity", None, V1, "", Op::Capacity),
    ("GET", "/api/health/get_cluster_fsid", None, V1, "", Op::Fsid),
    ("GET", "/api/summary", V1, V1, "", Op::Summary),
    ("GET", "/api/task", V1, V1, "", Op::Tasks),
    ("GET", "/api/feature_toggles", V1, V1, "", Op::FeatureToggles),
    ("GET", "/api/cluster", V0, V0, "config-opt", Op::ClusterStatus),
    ("GET", "/api/cluster/upgrade", None, V1, "config-opt", Op::NoOrchestrator),
    ("GET", "/api/cephfs", V1, V1, "cephfs", Op::EmptyList),
    ("GET", "/api/rgw/daemon", V1, V1, "rgw", Op::EmptyList),
    ("GET", "/api/service", V1, V2, "hosts", Op::NoOrchestrator),

    ("GET", "/api/pool", V1, V1, "pool", Op::Pools),
    ("POST", "/api/pool", V1, V1, "pool", Op::PoolCreate),
    ("GET", "/api/pool/{pool}", V1, V1, "pool", Op::Pool),
    ("PUT", "/api/pool/{pool}", V1, V1, "pool", Op::PoolEdit),
    ("DELETE", "/api/pool/{pool}", V1, V1, "pool", Op::PoolDelete),
    ("GET", "/api/pool/{pool}/configuration", V1, V1, "pool", Op::PoolConfiguration),

    ("GET", "/api/osd", V1, Some((1, 1)), "osd", Op::Osds),
    ("POST", "/api/osd", V1, V1, "osd", Op::OsdCreate),
    ("GET", "/api/osd/flags", V1, V1, "osd", Op::OsdFlags),
    ("PUT", "/api/osd/flags", V1, V1, "osd", Op::OsdFlagsSet),
    ("GET", "/api/osd/flags/individual", V1, V1, "osd", Op::OsdFlagsIndividual),
    ("PUT", "/api/osd/flags/individual", V1, V1, "osd", Op::OsdFlagsIndividualSet),
    ("GET", "/api/osd/settings", V0, V0, "osd", Op::OsdSettings),
    ("GET", "/api/osd/safe_to_destroy", V1, V1, "osd", Op::OsdSafeToDestroy),
    ("GET", "/api/osd/safe_to_delete", V1, V1, "osd", Op::NoOrchestrator),
    ("GET", "/api/osd/{id}", V1, V1, "osd", Op::Osd),
    ("PUT", "/api/osd/{id}", V1, V1, "osd", Op::OsdEdit),
    ("DELETE", "/api/osd/{id}", V1, V1, "osd", Op::NoOrchestrator),
    ("GET", "/api/osd/{id}/devices", V1, V1, "osd", Op::EmptyList),
    ("GET", "/api/osd/{id}/smart", V1, V1, "osd", Op::EmptyObject),
    ("GET", "/api/osd/{id}/histogram", V1, V1, "osd", Op::NotSimulated),
    ("PUT", "/api/osd/{id}/mark", V1, V1, "osd", Op::OsdMark),
    ("POST", "/api/osd/{id}/reweight", V1, V1, "osd", Op::OsdReweight),
    ("POST", "/api/osd/{id}/scrub", V1, V1, "osd", Op::OsdScrub),
    ("POST", "/api/osd/{id}/destroy", V1, V1, "osd", Op::OsdDestroy),
    ("POST", "/api/osd/{id}/purge", V1, V1, "osd", Op::OsdPurge),

    ("GET", "/api/host", Some((1, 1)), Some((1, 3)), "hosts", Op::Hosts),
    ("POST", "/api/host", V0, V0, "hosts", Op::NoOrchestrator),
    ("GET", "/api/host/{host}", V1, Some((1, 2)), "hosts", Op::Host),
    ("DELETE", "/api/host/{host}", V1, V1, "hosts", Op::NoOrchestrator),
    ("GET", "/api/host/{host}/daemons", V1, V1, "hosts", Op::NoOrchestrator),
    ("GET", "/api/host/{host}/inventory", V1, V1, "hosts", Op::NoOrchestrator),
    ("GET", "/api/host/{host}/devices", V1, V1, "hosts", Op::EmptyList),
    ("GET", "/api/host/{host}/smart", V1, V1, "hosts", Op::NotSimulated),
    ("GET", "/api/monitor", V1, V1, "monitor", Op::Monitors),

    ("GET", "/api/crush_rule", V1, V2, "pool", Op::CrushRules),
    ("POST", "/api/crush_rule", V1, V1, "pool", Op::CrushRuleCreate),
    ("GET", "/api/crush_rule/{name}", V1, V2, "pool", Op::CrushRule),
    ("DELETE", "/api/crush_rule/{name}", V1, V1, "pool", Op::CrushRuleDelete),
    ("GET", "/api/erasure_code_profile", V1, V1, "pool", Op::Profiles),
    ("POST", "/api/erasure_code_profile", V1, V1, "pool", Op::ProfileCreate),
    ("GET", "/api/erasure_code_profile/{name}", V1, V1, "pool", Op::Profile),
    ("DELETE", "/api/erasure_code_profile/{name}", V1, V1, "pool", Op::ProfileDelete),

    ("GET", "/api/cluster_conf", V1, V1, "config-opt", Op::Config),
    ("POST", "/api/cluster_conf", V1, V1, "config-opt", Op::ConfigSet),
    ("PUT", "/api/cluster_conf", V1, V1, "config-opt", Op::ConfigBulk),
    ("GET", "/api/cluster_conf/filter", V1, V1, "config-opt", Op::ConfigFilter),
    ("GET", "/api/cluster_conf/{name}", V1, V1, "config-opt", Op::ConfigOption),
    ("DELETE", "/api/cluster_conf/{name}", V1, V1, "config-opt", Op::ConfigUnset),

    ("GET", "/api/mgr/module", V1, V1, "config-opt", Op::Modules),
    ("GET", "/api/mgr/module/{name}", V1, V1, "config-opt", Op::Module),
    ("PUT", "/api/mgr/module/{name}", V1, V1, "config-opt", Op::ModuleSet),
    ("GET", "/api/mgr/module/{name}/options", V1, V1, "config-opt", Op::ModuleOptions),
    ("POST", "/api/mgr/module/{name}/enable", V1, V1, "config-opt", Op::ModuleRestart),
    ("POST", "/api/mgr/module/{name}/disable", V1, V1, "config-opt", Op::ModuleRestart),

    ("GET", "/api/block/image", V2, V2, "rbd-image", Op::Images),
    ("POST", "/api/block/image", V1, V1, "rbd-image", Op::ImageCreate),
    ("GET", "/api/block/image/default_features", V1, V1, "rbd-image", Op::ImageFeatures),
    ("GET", "/api/block/image/trash", V1, V1, "rbd-image", Op::NotSimulated),
    ("GET", "/api/block/image/{image}", V1, V1, "rbd-image", Op::Image),
    ("PUT", "/api/block/image/{image}", V1, V1, "rbd-image", Op::ImageEdit),
    ("DELETE", "/api/block/image/{image}", V1, V1, "rbd-image", Op::ImageDelete),
    ("POST", "/api/block/image/{image}/flatten", V1, V1, "rbd-image", Op::Flatten),
    ("POST", "/api/block/image/{image}/snap", V1, V1, "rbd-image", Op::SnapCreate),
    ("PUT", "/api/block/image/{image}/snap/{snap}", V1, V1, "rbd-image", Op::SnapEdit),
    ("DELETE", "/api/block/image/{image}/snap/{snap}", V1, V1, "rbd-image", Op::SnapDelete),
    ("POST", "/api/block/image/{image}/snap/{snap}/clone", V1, V1, "rbd-image", Op::SnapClone),
    ("GET", "/api/block/pool/{pool}/namespace", V1, V1, "rbd-image", Op::Namespaces),
    ("POST", "/api/block/pool/{pool}/namespace", V1, V1, "rbd-image", Op::NamespaceCreate),
    ("DELETE", "/api/block/pool/{pool}/namespace/{ns}", V1, V1, "rbd-image", Op::NamespaceDelete),

    ("GET", "/api/user", V1, V1, "user", Op::Users),
    ("POST", "/api/user", V1, V1, "user", Op::UserCreate),
    ("GET", "/api/user/{name}", V1, V1, "user", Op::User),
    ("PUT", "/api/user/{name}", V1, V1, "user", Op::UserEdit),
    ("DELETE", "/api/user/{name}", V1, V1, "user", Op::UserDelete),

    ("GET", "/api/role", V1, V1, "user", Op::NotSimulated),
    ("GET", "/api/settings", V1, V1, "config-opt", Op::NotSimulated),
    ("GET", "/api/logs/all", V1, V1, "log", Op::NotSimulated),
    ("GET", "/api/perf_counters", V1, V1, "", Op::NotSimulated),
    ("GET", "/api/perf_counters/{kind}/{id}", V1, V1, "", Op::NotSimulated),
    ("GET", "/api/cluster/user", None, V1, "config-opt", Op::NotSimulated),
    ("POST", "/api/cluster/user", None, V1, "config-opt", Op::NotSimulated),
    ("GET", "/ui-api/orchestrator/status", V1, V1, "", Op::NotSimulated),
    ("GET", "/ui-api/pool/info", V1, V1, "", Op::NotSimulated),
    ("GET", "/ui-api/login/custom_banner", V1, V1, PUBLIC, Op::NotSimulated),
];

/// No login needed.
const PUBLIC: &str = "-";

/// An endpoint found for a request.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) op: Op,
    pub(super) version: Version,
    /// `None`: no login needed. `Some("")`: any login will do.
    pub(super) scope: Option<&'static str>,
    /// The values of the path's placeholders, decoded, in order.
    pub(super) args: Vec<String>,
}

/// The endpoint behind `method` and the path's segments (decoded one by one, so that `%2F` stays inside its segment).
pub(super) fn find(release: Release, method: &Method, segments: &[String]) -> Option<Found> {
    ROUTES.iter().find_map(|(verb, template, on16, on18, scope, op)| {
        let version = match release {
            Release::V16 => *on16,
            Release::V18 => *on18,
        }?;
        if method.as_str() != *verb {
            return None;
        }
        let args = match_path(template, segments)?;
        Some(Found { op: *op, version, scope: (*scope != PUBLIC).then_some(*scope), args })
    })
}

fn match_path(template: &str, segments: &[String]) -> Option<Vec<String>> {
    let parts: Vec<&str> = template.trim_start_matches('/').split('/').collect();
    if parts.len() != segments.len() {
        return None;
    }
    let mut args = Vec::new();
    for (part, segment) in parts.iter().zip(segments) {
        if part.starts_with('{') {
            args.push(segment.clone());
        } else if part != segment {
            return None;
        }
    }
    Some(args)
}

/// The permission a method stands for.
pub(super) fn permission(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "DELETE" => "delete",
        _ => "read",
    }
}

/// Judges `Accept`: one media type, same major, minor at most the server's. The error is the text of the 415.
pub(super) fn accepts(accept: Option<&str>, server: Version) -> Result<(), String> {
    let Some(client) = accept.and_then(media_version) else {
        return Err("Unable to find version in request header".to_owned());
    };
    if client.0 == server.0 && client.1 <= server.1 {
        return Ok(());
    }
    Err(format!(
        "Incorrect version: endpoint is '{}.{}', client requested '{}.{}'",
        server.0, server.1, client.0, client.1
    ))
}

fn media_version(accept: &str) -> Option<Version> {
    let version = accept.strip_prefix("application/vnd.ceph.api.v")?.strip_suffix("+json")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The media type of an endpoint's answers.
pub(super) fn media_type(version: Version) -> String {
    format!("application/vnd.ceph.api.v{}.{}+json", version.0, version.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_one_exact_media_type() {
        let check = |accept: &str, server, expected: &str| {
            assert_eq!(accepts(Some(accept), server).err().unwrap_or_default(), expected, "{accept}");
        };
        let none = "Unable to find version in request header";
        check("application/vnd.ceph.api.v1.0+json", (1, 1), "");
        check("application/vnd.ceph.api.v1.1+json", (1, 1), "");
        check(
            "application/vnd.ceph.api.v1.1+json",
            (1, 0),
            "Incorrect version: endpoint is '1.0', client requested '1.1'",
        );
        check(
            "application/vnd.ceph.api.v1.0+json",
            (2, 0),
            "Incorrect version: endpoint is '2.0', client requested '1.0'",
        );
        check("application/vnd.ceph.api.v1.0+json, */*", (1, 0), none);
        check("application/json", (1, 0), none);
        check("*/*", (1, 0), none);
        assert_eq!(accepts(None, (1, 0)), Err(none.to_owned()));
    }

    #[test]
    fn an_escaped_slash_stays_in_its_segment() {
        let found = |path: &[&str]| {
            let segments: Vec<String> = path.iter().map(ToString::to_string).collect();
            find(Release::V18, &Method::GET, &segments).map(|f| (f.op, f.args))
        };
        assert_eq!(
            found(&["api", "block", "image", "vms/disk"]),
            Some((Op::Image, vec!["vms/disk".to_owned()]))
        );
        assert_eq!(found(&["api", "block", "image", "vms", "disk"]), None);
        assert_eq!(found(&["api", "osd", "flags"]), Some((Op::OsdFlags, vec![])));
    }

    #[test]
    fn releases_differ_where_recorded() {
        let version = |release, path: &str| {
            let segments: Vec<String> = path.split('/').map(ToOwned::to_owned).collect();
            find(release, &Method::GET, &segments).map(|f| f.version)
        };
        assert_eq!(version(Release::V16, "api/crush_rule"), Some((1, 0)));
        assert_eq!(version(Release::V18, "api/crush_rule"), Some((2, 0)));
        assert_eq!(version(Release::V16, "api/host"), Some((1, 1)));
        assert_eq!(version(Release::V18, "api/host"), Some((1, 3)));
        assert_eq!(version(Release::V16, "api/health/get_cluster_capacity"), None);
    }
}
