//! Each recorded exchange of a call that this client makes: the same request goes out, and the answer is understood.
//!
//! Skipped where the recordings are not there (`SKYY_CONTRACTS`).

use std::path::PathBuf;

use serde_json::Value;

use super::server::{Reply, Server};
use crate::{Ceph, CephError, Done, NewPool, PoolChange, Release};

const RELEASES: [&str; 2] = ["16.2.15", "18.2.7"];

fn recordings() -> Option<PathBuf> {
    let root = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/contracts")),
        PathBuf::from,
    );
    let folder = root.join("ceph");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recordings of Ceph in {}", root.display());
    None
}

fn exchanges(folder: &std::path::Path, release: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("samples-{release}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a call of the client gave, in words that show what was read.
async fn drive(client: &Ceph, request: &Value) -> Option<Result<String, CephError>> {
    let (method, path) = (request["method"].as_str()?, request["path"].as_str()?);
    let body = &request["body"];
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pool = path.strip_prefix("/api/pool/").filter(|name| !name.contains('/'));
    Some(match (method, path) {
        ("GET", "/api/health/minimal") => client.health().await.map(|report| format!("{report:?}")),
        ("GET", "/api/summary") => client.summary().await.map(|summary| format!("{summary:?}")),
        ("GET", "/api/monitor") => client.fsid().await,
        ("GET", "/api/osd") => client.list_osds().await.map(|osds| format!("{osds:?}")),
        ("GET", "/api/crush_rule") => client.list_crush_rules().await.map(|rules| format!("{rules:?}")),
        ("GET", "/api/erasure_code_profile") => {
            client.list_erasure_profiles().await.map(|profiles| format!("{profiles:?}"))
        }
        ("GET", "/api/task") => {
            let name = query.strip_prefix("name=")?;
            client
                .tasks(name)
                .await
                .map(|tasks| format!("{} {}", tasks.executing.len(), tasks.finished.len()))
        }
        ("GET", "/api/pool") if query == "stats=true" => {
            client.list_pools().await.map(|pools| format!("{pools:?}"))
        }
        ("GET", _) if query.is_empty() => {
            let pool = client.pool(pool?).await.transpose()?;
            pool.map(|pool| format!("{} {:?} {}", pool.name, pool.application_metadata, pool.quota_max_bytes))
        }
        ("POST", "/api/pool") => {
            let pool: NewPool = serde_json::from_value(body.clone()).ok()?;
            client.create_pool(&pool).await.map(|done| format!("{done:?}"))
        }
        ("PUT", _) => {
            let change: PoolChange = serde_json::from_value(body.clone()).ok()?;
            client.change_pool(pool?, &change).await.map(|done| format!("{done:?}"))
        }
        ("DELETE", _) => client.delete_pool(pool?).await.map(|done| format!("{done:?}")),
        _ => return None,
    })
}

#[tokio::test]
async fn recorded_exchanges_are_made_and_understood() {
    let Some(folder) = recordings() else { return };
    for release in RELEASES {
        let mut made = 0;
        for exchange in exchanges(&folder, release) {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let name = format!("{release} {}", exchange["name"]);
            let version = request["headers"]["Accept"].as_str().unwrap_or_default();
            let Some(status) = response["status"].as_u64().and_then(|status| u16::try_from(status).ok())
            else {
                continue;
            };
            let sent_on_purpose = version != "application/vnd.ceph.api.v1.0+json"
                || request["headers"]["Authorization"] != "Bearer <jwt>"
                || request["headers"].get("Cookie").is_some()
                || request["body"].is_string();
            if status == 0 || sent_on_purpose {
                continue;
            }
            let server = Server::start([]).await;
            let client = server.client();
            if request["method"] == "POST" && request["path"] == "/api/pool" {
                // The client looks first.
                server.then(Reply::refused(404, "The path 'No such pool' was not found."));
            }
            server.then(Reply::json(status, &response["body"]));
            // After a 401, a 415 or an opaque 500 it tries once more.
            server.then(Reply::json(status, &response["body"]));
            let Some(given) = drive(&client, request).await else { continue };
            made += 1;

            let path = request["path"].as_str().unwrap();
            let method = request["method"].as_str().unwrap();
            let seen = server.seen();
            let sent = seen.iter().rev().find(|seen| seen.call.starts_with(method)).unwrap();
            assert_eq!(sent.call.split('?').next(), format!("{method} {path}").split('?').next(), "{name}");
            assert_eq!(
                sent.body.clone().unwrap_or(Value::Null),
                without_nonsense(&request["body"]),
                "{name}"
            );

            let detail = response["body"]["detail"].as_str().unwrap_or_default();
            match given {
                Ok(text) => {
                    assert!(status < 300, "{name}: {text}");
                    let expected = match status {
                        202 => Some(format!("{:?}", Done::Later)),
                        _ if method != "GET" => Some(format!("{:?}", Done::Now)),
                        _ => None,
                    };
                    assert!(expected.is_none_or(|expected| expected == text), "{name}: {text}");
                    assert!(!text.is_empty() && text != "[]", "{name}");
                }
                Err(CephError::TokenRefused { .. }) => assert_eq!(status, 401, "{name}"),
                Err(CephError::Forbidden { .. }) => assert_eq!(status, 403, "{name}"),
                Err(CephError::NotFound { detail: seen, .. }) => {
                    assert_eq!((status, seen.as_str()), (404, detail), "{name}");
                }
                Err(CephError::Refused { detail: seen, .. }) => {
                    assert_eq!((status, seen.as_str()), (400, detail), "{name}");
                }
                Err(CephError::Version { detail: seen, .. }) => {
                    assert_eq!((status, seen.as_str()), (415, detail), "{name}");
                }
                Err(CephError::Server { status: seen, .. }) => assert_eq!(seen, status, "{name}"),
                Err(error) => panic!("{name}: {error:?}"),
            }
        }
        println!("{release}: {made} made");
        assert!(made >= 25, "the recordings of {release} hold more: {made}");
    }
}

/// The recorder sent a key that no client of ours has.
fn without_nonsense(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("nonsense_key");
        fields.remove("flags");
    }
    body
}

#[tokio::test]
async fn recorded_answers_say_what_they_say() {
    let Some(folder) = recordings() else { return };
    for release in RELEASES {
        let all = exchanges(&folder, release);
        let body = |name: &str| {
            let exchange = all.iter().find(|exchange| exchange["name"] == name).unwrap();
            Reply::json(
                u16::try_from(exchange["response"]["status"].as_u64().unwrap()).unwrap(),
                &exchange["response"]["body"],
            )
        };
        let server = Server::start([
            body("022-get-summary"),
            body("020-get-health-minimal"),
            body("023-get-osd"),
            body("106-pool-get"),
            body("110-task-failed"),
            body("115-task-executing"),
            body("104-ec-get"),
        ])
        .await;
        let client = server.client();
        let summary = client.summary().await.unwrap();
        assert_eq!(summary.release(), Release::parse(release));
        assert!(summary.have_mon_connection);

        let report = client.health().await.unwrap();
        assert_eq!((report.health.status.as_str(), report.health.checks.len()), ("HEALTH_OK", 0));
        assert_eq!((report.mons, report.mons_in_quorum), (1, 1));
        assert_eq!((report.osds, report.osds_up, report.osds_in, report.pools), (3, 3, 3, 1));
        assert_eq!((report.active_manager.as_str(), report.standby_managers), ("x", 0));
        assert_eq!(report.capacity.total_bytes, 3 * 5_368_709_120);
        assert_eq!(report.placement_groups["active+clean"], 1);

        let osds = client.list_osds().await.unwrap();
        assert_eq!(osds.len(), 3);
        let osd = &osds[0];
        assert_eq!((osd.id, osd.up, osd.is_in, osd.total_bytes), (0, true, true, 5_368_709_120));
        assert_eq!((osd.host.as_str(), osd.device_class.as_str()), ("vm", "hdd"));

        let pool = client.pool("vms").await.unwrap().unwrap();
        assert_eq!(
            (pool.name.as_str(), pool.kind.as_str(), pool.size, pool.min_size),
            ("vms", "replicated", 2, 1)
        );
        assert_eq!((pool.crush_rule.as_str(), pool.pg_autoscale_mode.as_str()), ("by-osd", "on"));
        assert_eq!((pool.application_metadata, pool.quota_max_bytes), (vec!["rbd".to_owned()], 1 << 30));

        let tasks = client.tasks("pool/create").await.unwrap();
        let half = tasks.last("pool/create", "half").unwrap();
        assert!(
            !half.success && half.exception.as_ref().unwrap().detail.contains("nonsense_key"),
            "{half:?}"
        );
        assert!(tasks.last("pool/create", "vms").unwrap().success);
        assert!(!tasks.is_running("pool/create", "vms"));
        assert!(client.tasks("pool/edit").await.unwrap().is_running("pool/edit", "vms"));
    }
}
