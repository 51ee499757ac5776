//! Each recorded exchange of a call that this client makes: the same request goes out, and the answer is understood.
//!
//! Skipped where the recordings are not there (`SKYY_CONTRACTS`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use skyy_http::Method;

use super::server::{Reply, Server};
use crate::{At, Auth, Fields, PfSense, PfSenseError, Row, Subsystem, Table};

fn recordings() -> Option<PathBuf> {
    let root = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/contracts")),
        PathBuf::from,
    );
    let folder = root.join("pfsense");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recordings of pfSense in {}", root.display());
    None
}

struct Exchange {
    name: String,
    method: Method,
    path: String,
    query: String,
    key: String,
    body: Value,
    status: u16,
    content_type: String,
    answer: Value,
}

fn exchanges(folder: PathBuf) -> Vec<Exchange> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (request, response) = (&line["request"], &line["response"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if request.get("raw_body").is_some() || !request["headers"]["Accept"].is_null() {
                continue; // sent on purpose as no client of ours would
            }
            all.push(Exchange {
                name: format!("{} {}", file.file_stem().unwrap().display(), line["seq"]),
                method: text(&request["method"]).parse().unwrap(),
                path: text(&request["path"]),
                query: text(&request["query"]),
                key: text(&request["headers"]["X-API-Key"]),
                body: request["body"].clone(),
                status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
                content_type: text(&response["content_type"]),
                answer: response["body"].clone(),
            });
        }
    }
    all
}

/// What a call of the client gave, in terms that compare with a recorded answer.
type Given = Result<Value, PfSenseError>;

fn raw_of(row: Row<()>) -> Value {
    Value::Object(row.raw)
}

fn raws_of(rows: Vec<Row<()>>) -> Value {
    Value::Array(rows.into_iter().map(raw_of).collect())
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

/// Makes the recorded call with the client; none where the client has no such call.
async fn drive(client: &PfSense, exchange: &Exchange) -> Option<Given> {
    let Exchange { method, path, query, body, .. } = exchange;
    let table = Table::ALL.into_iter().find(|table| table.one() == path || table.all() == path);
    let subsystem = Subsystem::ALL.into_iter().find(|part| part.path() == path);
    if let Some(part) = subsystem {
        return match method.as_str() {
            "GET" => Some(client.apply_state(part).await.map(|state| state.applied.into())),
            // The client always waits for the apply, and reads back by itself where that is needed.
            "POST" if body == &serde_json::json!({"async": false}) => {
                Some(client.apply(part).await.map(|state| state.applied.into()))
            }
            _ => None,
        };
    }
    if path == "/api/v2/services/dhcp_server" && *method == Method::PATCH && body.get("append").is_none() {
        let rows: Vec<Fields> = serde_json::from_value(body["staticmap"].clone()).ok()?;
        let interface = body["id"].as_str()?;
        return Some(client.replace_static_mappings(interface, &rows).await.map(raws_of));
    }
    let table = table?;
    let query = pairs(query);
    if path == table.all() {
        return match method.as_str() {
            "GET" if query.is_empty() => Some(client.list(table).await.map(raws_of)),
            "PUT" if table.replace().is_some_and(|(method, _)| method == Method::PUT) => {
                let rows: Vec<Fields> = serde_json::from_value(body.clone()).ok()?;
                Some(client.replace(table, &rows).await.map(raws_of))
            }
            _ => None,
        };
    }
    let mut fields = body.as_object().cloned().unwrap_or_default();
    match method.as_str() {
        "POST" | "PATCH" if !query.is_empty() => None,
        "POST" if !fields.is_empty() => Some(client.create(table, &fields).await.map(raw_of)),
        "PATCH" => {
            let id = usize::try_from(fields.remove("id")?.as_u64()?).ok()?;
            let parent = fields.remove("parent_id").and_then(|parent| parent.as_str().map(str::to_owned));
            Some(client.update(table, &At { id, parent }, &fields).await.map(raw_of))
        }
        "DELETE" if !query.contains_key("apply") && !query.contains_key("dry_run") => {
            let id = query.get("id")?.parse().ok()?;
            Some(client.delete(table, &At { id, parent: query.get("parent_id").cloned() }).await.map(raw_of))
        }
        _ => None,
    }
}

/// Which variant an error answer must become, decided by the recording alone.
fn expected_variant(exchange: &Exchange) -> &'static str {
    match (exchange.status, exchange.answer["response_id"].as_str().unwrap_or("none")) {
        (401, _) => "AuthRefused",
        (403, "AUTH_AUTHORIZATION_FAILED") => "Forbidden",
        (404, "none") => "NotTheApi",
        (404, _) => "NotFound",
        (503, "DISPATCHER_TOO_MANY_QUEUED_PROCESSES") => "Busy",
        (500, "MODEL_FAILED_TO_SET_PLACEMENT") | (400..500, _) => "Invalid",
        _ => "Server",
    }
}

fn variant(error: &PfSenseError) -> String {
    let shown = format!("{error:?}");
    shown.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// What the client refuses to send is recorded as an accident: a wiped table or a lost write.
fn is_refused_here(error: &PfSenseError) -> bool {
    matches!(error, PfSenseError::EmptyReplace(_) | PfSenseError::Fields { .. })
}

#[tokio::test]
async fn recorded_exchanges_are_made_and_understood() {
    let Some(folder) = recordings() else { return };
    let server = Server::start([]).await;
    let (mut made, mut refused, mut without) = (0, 0, 0);
    for exchange in exchanges(folder) {
        let name = &exchange.name;
        let client = PfSense::new(server.http(), Auth::ApiKey(exchange.key.as_str().into()));
        let before = server.seen().len();
        let body = match &exchange.answer {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let content_type = exchange.content_type.clone();
        server.then(Reply { status: exchange.status, content_type, retry_after: None, body });
        // Where the client reads an apply back, the recorded state after it is that it is done.
        server.then(Reply::data(serde_json::json!({"applied": true})));
        let given = drive(&client, &exchange).await;
        server.clear();
        let Some(given) = given else {
            without += 1;
            continue;
        };
        if given.as_ref().is_err_and(is_refused_here) {
            assert_eq!(server.seen().len(), before, "{name}: refused, but sent");
            refused += 1;
            continue;
        }
        made += 1;

        let sent = server.seen()[before].clone();
        assert_eq!((&sent.method, &sent.path), (&exchange.method, &exchange.path), "{name}");
        assert_eq!(pairs(&sent.query), pairs(&exchange.query), "{name}");
        assert_eq!(sent.body.unwrap_or(Value::Null), exchange.body, "{name}");

        match given {
            Ok(value) => {
                assert_eq!(exchange.status, 200, "{name}: {value}");
                let data = &exchange.answer["data"];
                match value {
                    Value::Bool(applied) if exchange.method == Method::GET => {
                        assert_eq!(data["applied"], applied, "{name}");
                    }
                    Value::Bool(applied) => assert!(applied, "{name}"),
                    rows if exchange.path == "/api/v2/services/dhcp_server" => {
                        assert_eq!(rows, data["staticmap"], "{name}");
                    }
                    rows => assert_eq!(&rows, data, "{name}"),
                }
            }
            Err(error) => {
                assert_eq!(variant(&error), expected_variant(&exchange), "{name}: {error:?}");
                if let Some(id) = error.response_id() {
                    assert_eq!(id, exchange.answer["response_id"], "{name}");
                }
            }
        }
    }
    println!("{made} made, {refused} refused by the client, {without} without such a call");
    assert!(made > 250, "the recordings hold more: {made}");
    assert!(refused >= 4, "wiping and lossy writes are among the recordings: {refused}");
}

#[tokio::test]
async fn recorded_rows_read_in_their_types() {
    let Some(folder) = recordings() else { return };
    let mut seen = BTreeMap::<&str, usize>::new();
    for exchange in exchanges(folder) {
        let Some(table) =
            Table::ALL.into_iter().find(|table| table.one() == exchange.path || table.all() == exchange.path)
        else {
            continue;
        };
        let rows = match &exchange.answer["data"] {
            Value::Array(rows) => rows.clone(),
            row @ Value::Object(_) => vec![row.clone()],
            _ => continue,
        };
        for raw in rows {
            let name = &exchange.name;
            let row = Row::from_json(raw.clone()).unwrap();
            let text = |field: &str| raw[field].as_str().unwrap_or_default().to_owned();
            match table {
                Table::VirtualIp => {
                    let row: Row<crate::VirtualIp> = row.typed().unwrap();
                    assert_eq!(
                        (row.value.subnet, row.value.descr),
                        (text("subnet"), text("descr")),
                        "{name}"
                    );
                    assert_eq!(row.value.subnet_bits, raw["subnet_bits"].as_u64(), "{name}");
                }
                Table::OneToOne => {
                    let row: Row<crate::OneToOne> = row.typed().unwrap();
                    let expected = (text("external"), text("source"), text("destination"));
                    assert_eq!(
                        (row.value.external, row.value.source, row.value.destination),
                        expected,
                        "{name}"
                    );
                }
                Table::StaticMapping => {
                    let row: Row<crate::StaticMap> = row.typed().unwrap();
                    assert_eq!(row.at.parent.as_deref(), raw["parent_id"].as_str(), "{name}");
                    assert_eq!(
                        (row.value.mac, row.value.ipaddr.unwrap_or_default()),
                        (text("mac"), text("ipaddr")),
                        "{name}"
                    );
                }
                Table::Rule => {
                    let row: Row<crate::FirewallRule> = row.typed().unwrap();
                    assert_eq!(Value::from(row.value.interface), raw["interface"], "{name}");
                    assert_eq!(row.value.protocol.as_deref(), raw["protocol"].as_str(), "{name}");
                    assert_eq!(row.value.tracker, raw["tracker"].as_u64(), "{name}");
                }
                Table::Alias => {
                    let row: Row<crate::Alias> = row.typed().unwrap();
                    assert_eq!(Value::from(row.value.address), raw["address"], "{name}");
                    assert_eq!(row.value.name, text("name"), "{name}");
                }
            }
            *seen.entry(table.all()).or_default() += 1;
        }
    }
    assert!(seen.len() == 5 && seen.values().all(|count| *count >= 20), "{seen:?}");
}

#[tokio::test]
async fn the_recorded_box_reads() {
    let Some(folder) = recordings() else { return };
    let text = std::fs::read_to_string(folder.join("golden/start-state.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    let server = Server::start([]).await;
    let client = server.client();
    let answer = |call: &str| server.then(Reply::json(200, &state[call]));
    answer("GET /api/v2/system/version");
    let version = client.version().await.unwrap();
    assert_eq!(
        (version.version.as_str(), version.base.as_str(), version.patch),
        ("2.8.0-DEVELOPMENT", "2.8.0", None)
    );
    answer("GET /api/v2/system/restapi/version");
    assert_eq!(client.package_version().await.unwrap().current_version, "v2.10.0");
    answer("GET /api/v2/system/restapi/settings");
    let settings = client.settings().await.unwrap();
    assert_eq!(settings.auth_methods, ["BasicAuth", "KeyAuth", "JWTAuth"]);
    assert!(!settings.read_only && !settings.hateoas && settings.login_protection);
    answer("GET /api/v2/interfaces");
    let interfaces = client.interfaces().await.unwrap();
    let opt3 = &interfaces[2];
    assert_eq!((opt3.id.as_str(), opt3.descr.as_str(), opt3.subnet), ("opt3", "TENANTS", Some(16)));
    assert_eq!((opt3.ipaddr.as_deref(), opt3.enable), (Some("10.20.0.1"), true));
    answer("GET /api/v2/status/interfaces");
    let status = client.interface_status().await.unwrap();
    assert_eq!((status[0].name.as_str(), status[0].status.as_str(), status.len()), ("wan", "up", 3));
    answer("GET /api/v2/routing/gateways");
    assert_eq!(client.gateways().await.unwrap()[0].gateway, "198.51.100.1");
    answer("GET /api/v2/services/dhcp_servers");
    let servers = client.list_dhcp_servers().await.unwrap();
    assert_eq!(
        (servers[1].interface.as_str(), servers[1].range_from.as_deref()),
        ("opt3", Some("10.20.255.10"))
    );
    assert_eq!(server.calls().len(), 7);
}

#[test]
fn privileges_exist_in_the_packages_own_list() {
    let Some(folder) = recordings() else { return };
    let text = std::fs::read_to_string(folder.join("openapi-core.json")).unwrap();
    let api: Value = serde_json::from_str(&text).unwrap();
    let mut missing = crate::required_privileges();
    // The excerpt leaves a few reads out.
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                let name = crate::privilege(&method, path);
                assert!(
                    text.contains(&name) || method == Method::HEAD,
                    "{name} is not in the package's list"
                );
                missing.retain(|needed| *needed != name);
            }
        }
    }
    assert_eq!(missing, ["api-v2-routing-gateways-get", "api-v2-status-interfaces-get"]);
}
