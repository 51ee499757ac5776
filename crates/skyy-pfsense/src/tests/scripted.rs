//! What is sent and what is never sent, and what every refusal becomes.

use std::time::Duration;

use serde_json::{Value, json};
use skyy_http::{Class, Sent};

use super::server::{Reply, Server};
use crate::{
    AliasFields, AliasMembers, ApplyState, Fields, FirewallRuleFields, PfSenseError, StaticMapFields,
    Subsystem, Table, VirtualIpFields, privilege, required_privileges,
};

fn vip(descr: &str) -> VirtualIpFields {
    VirtualIpFields {
        uniqid: Some("skyy-1".into()),
        mode: Some("ipalias".into()),
        interface: Some("wan".into()),
        kind: Some("single".into()),
        subnet: Some("203.0.113.10".into()),
        subnet_bits: Some(32),
        descr: Some(descr.into()),
        ..VirtualIpFields::default()
    }
}

fn fields(value: &Value) -> Fields {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_read_carries_the_key_one_accept_and_no_content_type() {
    let server = Server::start([Reply::data(json!([]))]).await;
    assert_eq!(server.client().list_virtual_ips().await.unwrap(), []);
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.path.as_str(), seen.query.as_str(), &seen.body),
        ("/api/v2/firewall/virtual_ips", "", &None)
    );
    assert_eq!(seen.headers["accept"], "application/json");
    assert_eq!(seen.headers["x-api-key"], "k3y");
    assert!(!seen.headers.contains_key("content-type"), "with it the box ignores the query");
}

#[tokio::test]
async fn a_row_keeps_all_that_was_answered_but_links() {
    let row = json!({"id": 4, "uniqid": "u", "subnet": "203.0.113.10", "subnet_bits": "23", "strange": {"a": [1]}, "_links": {}});
    let server = Server::start([Reply::data(json!([row]))]).await;
    let rows = server.client().list_virtual_ips().await.unwrap();
    assert_eq!((rows[0].at.id, rows[0].value.subnet_bits), (4, Some(23)));
    let expected =
        json!({"id": 4, "uniqid": "u", "subnet": "203.0.113.10", "subnet_bits": "23", "strange": {"a": [1]}});
    assert_eq!(Value::Object(rows[0].raw.clone()), expected);
}

#[tokio::test]
async fn only_given_fields_are_written() {
    let server = Server::start([
        Reply::data(json!({"id": 0})),
        Reply::data(json!({"id": 2})),
        Reply::data(json!({"id": 0})),
    ])
    .await;
    let client = server.client();
    client.create_virtual_ip(&vip("x")).await.unwrap();
    let rule =
        FirewallRuleFields { protocol: Some(None), placement: Some(2), ..FirewallRuleFields::default() };
    client.update_rule(5, &rule).await.unwrap();
    let members = AliasMembers { address: vec!["10.0.0.1".into()], detail: vec!["a".into()] };
    client.create_alias(&AliasFields { members: Some(members), ..AliasFields::default() }).await.unwrap();
    let bodies: Vec<Value> = server.seen().into_iter().filter_map(|seen| seen.body).collect();
    assert_eq!(
        bodies,
        [
            json!({"uniqid": "skyy-1", "mode": "ipalias", "interface": "wan", "type": "single", "subnet": "203.0.113.10", "subnet_bits": 32, "descr": "x"}),
            json!({"id": 5, "protocol": null, "placement": 2}),
            json!({"address": ["10.0.0.1"], "detail": ["a"]}),
        ]
    );
}

#[tokio::test]
async fn a_static_mapping_is_addressed_by_interface_and_position() {
    let row = json!({"id": 1, "parent_id": "opt3", "mac": "02:00:00:00:00:01"});
    let server =
        Server::start([Reply::data(row.clone()), Reply::data(row.clone()), Reply::data(json!([row]))]).await;
    let client = server.client();
    let changed = StaticMapFields { hostname: Some("h".into()), ..StaticMapFields::default() };
    let row = client.update_static_mapping("opt3", 1, &changed).await.unwrap();
    assert_eq!(row.at, crate::At::under("opt3", 1));
    client.delete_static_mapping("opt3", 1).await.unwrap();
    assert_eq!(client.list_static_mappings(Some("lan")).await.unwrap(), []);
    let seen = server.seen();
    assert_eq!(seen[0].body, Some(json!({"hostname": "h", "id": 1, "parent_id": "opt3"})));
    assert_eq!((seen[1].query.as_str(), &seen[1].body), ("id=1&parent_id=opt3", &None));
    let refusal = client.create_static_mapping(&changed).await.unwrap_err();
    assert!(matches!(refusal, PfSenseError::Fields { .. }), "{refusal:?}");
    let refusal = client.delete(Table::StaticMapping, &crate::At::row(1)).await.unwrap_err();
    assert!(matches!(refusal, PfSenseError::Fields { .. }), "{refusal:?}");
    assert_eq!(server.seen().len(), 3, "what lacks its interface is not sent");
}

#[tokio::test]
async fn whole_lists_go_back_as_they_came() {
    let foreign = json!({"id": 0, "descr": "two\nlines", "tag": null, "odd": {"x": 1}});
    let server =
        Server::start([Reply::data(json!([foreign])), Reply::data(json!([foreign, {"id": 1}]))]).await;
    let client = server.client();
    let mut rows: Vec<Fields> =
        client.list(Table::Rule).await.unwrap().into_iter().map(|row| row.raw).collect();
    rows.push(fields(&json!({"descr": "ours"})));
    assert_eq!(client.replace_rules(&rows).await.unwrap().len(), 2);
    assert_eq!(server.calls()[1], "PUT /api/v2/firewall/rules");
    assert_eq!(server.seen()[1].body, Some(json!([foreign, {"descr": "ours"}])));
}

#[tokio::test]
async fn all_static_mappings_of_an_interface_go_in_one_write() {
    let stored =
        json!({"id": "opt3", "staticmap": [{"parent_id": "opt3", "id": 0, "mac": "02:00:00:00:00:01"}]});
    let server = Server::start([Reply::data(stored)]).await;
    let client = server.client();
    let rows = [fields(&json!({"mac": "02:00:00:00:00:01"}))];
    assert_eq!(client.replace_static_mappings("opt3", &rows).await.unwrap().len(), 1);
    assert_eq!(server.calls(), ["PATCH /api/v2/services/dhcp_server"]);
    assert_eq!(
        server.seen()[0].body,
        Some(json!({"id": "opt3", "staticmap": [{"mac": "02:00:00:00:00:01"}]}))
    );

    let other = [fields(&json!({"parent_id": "lan", "mac": "02:00:00:00:00:01"}))];
    let refusal = client.replace_static_mappings("opt3", &other).await.unwrap_err();
    assert!(matches!(refusal, PfSenseError::Fields { .. }), "{refusal:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_would_wipe_or_lose_is_not_sent() {
    let server = Server::start([]).await;
    let client = server.client();
    let bell = vip("bell \u{7}");
    let long = vip(&"ü".repeat(513));
    let lost = fields(&json!({"descr": "\u{fffe}"}));
    let refusals = [
        client.replace_one_to_one(&[]).await.map(drop).unwrap_err(),
        client.replace_rules(&[]).await.map(drop).unwrap_err(),
        client.replace(Table::Alias, &[]).await.map(drop).unwrap_err(),
        client.replace_static_mappings("lan", &[]).await.map(drop).unwrap_err(),
        client.replace(Table::VirtualIp, &[Fields::new()]).await.map(drop).unwrap_err(),
        client.replace(Table::StaticMapping, &[Fields::new()]).await.map(drop).unwrap_err(),
        client.create_virtual_ip(&bell).await.map(drop).unwrap_err(),
        client.update_virtual_ip(0, &long).await.map(drop).unwrap_err(),
        client.replace_rules(&[Fields::new(), lost]).await.map(drop).unwrap_err(),
    ];
    for refusal in &refusals {
        assert_eq!((refusal.class(), refusal.sent()), (Class::Refused, Sent::No), "{refusal}");
    }
    assert_eq!(server.seen().len(), 0);
    assert!(refusals[0].to_string().contains("all 1:1 mappings by none"), "{}", refusals[0]);
    let PfSenseError::Fields { why, .. } = &refusals[8] else { panic!("{:?}", refusals[8]) };
    assert!(why.to_string().starts_with("field \"descr\" of row 1 holds the character U+FFFE"), "{why}");
}

#[tokio::test]
async fn applies_wait_and_are_read_back() {
    let old = || Reply::data(json!({"applied": false}));
    let done = || Reply::data(json!({"applied": true, "pending_subsystems": []}));
    let server = Server::start([old(), done(), old(), done(), done(), old(), done()]).await;
    let client = server.client();
    for part in [Subsystem::VirtualIps, Subsystem::Dhcp, Subsystem::Firewall, Subsystem::Firewall] {
        assert!(client.apply(part).await.unwrap().applied, "{part}");
    }
    assert_eq!(
        server.calls(),
        [
            "POST /api/v2/firewall/virtual_ip/apply",
            "GET /api/v2/firewall/virtual_ip/apply",
            "POST /api/v2/services/dhcp_server/apply",
            "GET /api/v2/services/dhcp_server/apply",
            "POST /api/v2/firewall/apply",
            "POST /api/v2/firewall/apply",
            "GET /api/v2/firewall/apply",
        ]
    );
    assert_eq!(server.seen()[0].body, Some(json!({"async": false})));
}

#[tokio::test]
async fn an_apply_whose_outcome_is_not_seen_may_have_happened() {
    let server =
        Server::start([Reply::data(json!({"applied": false})), Reply::error(404, "X", "gone")]).await;
    let error = server.client().apply_virtual_ips().await.unwrap_err();
    assert!(matches!(error, PfSenseError::ReadBack(_)), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Refused, Sent::Maybe));
}

#[tokio::test]
async fn what_is_pending_is_read_of_all_parts() {
    let waiting = json!({"applied": false, "pending_subsystems": ["aliases"]});
    let idle = || Reply::data(json!({"applied": true}));
    let server = Server::start([Reply::data(waiting), idle(), idle()]).await;
    let pending = server.client().pending().await.unwrap();
    assert_eq!(pending.firewall, ApplyState { applied: false, pending_subsystems: vec!["aliases".into()] });
    assert!(pending.virtual_ips.applied && pending.dhcp.applied);
}

#[tokio::test]
async fn every_refusal_is_told_apart() {
    use PfSenseError as E;
    use {Class::*, Sent::*};
    type Case = (Reply, fn(&E) -> bool, Class, Sent, &'static str);
    let php = "<pre>PHP ERROR: Type: 1, File: /x, Message: Allowed memory size exhausted";
    let cases: Vec<Case> = vec![
        (
            Reply::error(401, "AUTH_AUTHENTICATION_FAILED", "no"),
            |e| matches!(e, E::AuthRefused { .. }),
            Auth,
            No,
            "credentials were refused",
        ),
        (
            Reply::html(401, "no"),
            |e| matches!(e, E::AuthRefused { .. }),
            Auth,
            No,
            "credentials were refused",
        ),
        (
            Reply::error(403, "AUTH_AUTHORIZATION_FAILED", "no"),
            |e| matches!(e, E::Forbidden { .. }),
            Auth,
            No,
            "privilege api-v2-firewall-virtual-ip-post",
        ),
        (
            Reply::error(403, "ENDPOINT_CLIENT_NOT_ALLOWED_BY_ACL", "no"),
            |e| matches!(e, E::AccessDenied { .. }),
            Auth,
            No,
            "allow this address",
        ),
        (
            Reply::error(403, "ENDPOINT_INTERFACE_NOT_ALLOWED", "no"),
            |e| matches!(e, E::AccessDenied { .. }),
            Auth,
            No,
            "allow this address",
        ),
        (
            Reply::error(403, "MODEL_MANY_MINIMUM_REACHED", "last"),
            |e| matches!(e, E::Invalid { .. }),
            Refused,
            No,
            "last",
        ),
        (
            Reply::error(404, "MODEL_OBJECT_NOT_FOUND", "Object with ID `9` does not exist."),
            |e| matches!(e, E::NotFound { .. }),
            Refused,
            No,
            "ID `9`",
        ),
        (
            Reply::html(404, "<html>"),
            |e| matches!(e, E::NotTheApi { .. }),
            Protocol,
            No,
            "package is installed",
        ),
        (
            Reply::error(405, "ENDPOINT_METHOD_NOT_ALLOWED_IN_READ_ONLY_MODE", "no"),
            |e| matches!(e, E::ReadOnly { .. }),
            Refused,
            No,
            "read-only mode",
        ),
        (
            Reply::error(405, "ENDPOINT_METHOD_NOT_ALLOWED", "no"),
            |e| matches!(e, E::Invalid { .. }),
            Refused,
            No,
            "",
        ),
        (
            Reply::error(409, "OVERLAP", "Field `ipaddr` overlaps"),
            |e| matches!(e, E::Invalid { field: Some(f), .. } if f == "ipaddr"),
            Refused,
            No,
            "overlaps",
        ),
        (
            Reply::error(500, "MODEL_FAILED_TO_SET_PLACEMENT", "no"),
            |e| matches!(e, E::Invalid { field: Some(f), .. } if f == "placement"),
            Refused,
            No,
            "",
        ),
        (
            Reply::error(500, "ENDPOINT_RECEIVED_UNEXPECTED_ERROR", "bad\n#0 trace"),
            |e| matches!(e, E::Server { .. }),
            Transient,
            Maybe,
            "500: bad",
        ),
        (Reply::html(500, php), |e| matches!(e, E::Http(_)), Transient, Maybe, "PHP ERROR"),
        (Reply::html(504, "<html>"), |e| matches!(e, E::Http(_)), Transient, Maybe, "504"),
        (
            Reply::error(503, "MODEL_WRITE_CONFIG_LOCKED", "locked"),
            |e| matches!(e, E::WriteLocked { .. }),
            Refused,
            No,
            "remove /tmp/.RESTAPI",
        ),
        (
            Reply::error(503, "DISPATCHER_TOO_MANY_QUEUED_PROCESSES", "wait"),
            |e| matches!(e, E::Busy { .. }),
            Transient,
            No,
            "300 s",
        ),
        (
            Reply::html(200, "<html>login</html>"),
            |e| matches!(e, E::Http(_)),
            Protocol,
            Maybe,
            "text/html where JSON",
        ),
        (Reply::data(json!([])), |e| matches!(e, E::Http(_)), Protocol, Maybe, "row is not an object"),
        (Reply::data(json!({"uniqid": "x"})), |e| matches!(e, E::Http(_)), Protocol, Maybe, "no numeric id"),
    ];
    for (reply, is, class, sent, part) in cases {
        let name = format!("{} {}", reply.status, reply.body);
        let server = Server::start([reply]).await;
        let error = server.client().create_virtual_ip(&vip("x")).await.unwrap_err();
        assert!(is(&error), "{name}: {error:?}");
        assert_eq!((error.class(), error.sent()), (class, sent), "{name}: {error:?}");
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!format!("{error} {error:?}").contains("k3y"), "{error:?}");
        assert_eq!(server.seen().len(), 1, "{name}: a write is never repeated");
    }
}

#[tokio::test]
async fn a_full_queue_says_how_long() {
    let mut reply = Reply::error(503, "DISPATCHER_TOO_MANY_QUEUED_PROCESSES", "wait");
    reply.retry_after = Some("120");
    let server = Server::start([reply]).await;
    let error = server.client().apply_firewall().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_mins(2)));
}

#[test]
fn privileges_are_named_as_the_package_names_them() {
    let name = privilege(&http::Method::PUT, "/api/v2/firewall/nat/one_to_one/mappings");
    assert_eq!(name, "api-v2-firewall-nat-one-to-one-mappings-put");
    let all = required_privileges();
    assert!(all.contains(&"api-v2-firewall-virtual-ips-get".to_owned()));
    assert!(!all.iter().any(|name| name.ends_with("virtual-ips-delete")), "no plural DELETE is ever sent");
}
