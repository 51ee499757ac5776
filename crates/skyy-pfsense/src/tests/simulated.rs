//! The client against the simulated box: what a caller does in order, and each fault once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skyy_http::{Class, Endpoint, HttpClient, Limits, Problem, Sent, Trust};
use skyy_sim::pfsense::{BanPolicy, Options, Pfsense};
use skyy_sim::server::Running;
use skyy_sim::{Fault, FaultKind, Match, Sim};

use crate::{
    AliasFields, AliasMembers, Auth, Fields, FirewallRuleFields, OneToOneFields, PfSense, PfSenseError,
    StaticMapFields, Table, VirtualIpFields, limits,
};

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
const VIPS: &str = "/api/v2/firewall/virtual_ips";
const VIP: &str = "/api/v2/firewall/virtual_ip";

async fn sim() -> Running<Pfsense> {
    Sim::builder(Arc::new(Pfsense::new(Options::golden()))).start().await.unwrap()
}

fn http(sim: &Running<Pfsense>) -> HttpClient {
    Endpoint::new("pfsense", "fw").url(sim.url()).allow_plain_http(true).limits(limits()).build().unwrap()
}

fn client(sim: &Running<Pfsense>) -> PfSense {
    PfSense::new(http(sim), Auth::ApiKey(KEY.into()))
}

fn vip(number: u8) -> VirtualIpFields {
    VirtualIpFields {
        uniqid: Some(format!("skyy-{number}")),
        mode: Some("ipalias".into()),
        interface: Some("wan".into()),
        kind: Some("single".into()),
        subnet: Some(format!("203.0.113.{number}")),
        subnet_bits: Some(32),
        descr: Some(format!("tenant {number}")),
        ..VirtualIpFields::default()
    }
}

fn rule(port: u16) -> FirewallRuleFields {
    FirewallRuleFields {
        action: Some("pass".into()),
        interface: Some(vec!["wan".into()]),
        ipprotocol: Some("inet".into()),
        protocol: Some(Some("tcp".into())),
        source: Some("any".into()),
        destination: Some("10.20.1.1".into()),
        destination_port: Some(Some(port.to_string())),
        descr: Some(format!("port {port}")),
        tracker: Some(1_700_000_000 + u64::from(port)),
        ..FirewallRuleFields::default()
    }
}

#[tokio::test]
async fn a_virtual_ip_lives_and_dies_over_pinned_tls() {
    let sim = Sim::builder(Arc::new(Pfsense::new(Options::golden()))).tls(true).start().await.unwrap();
    let pin = sim.fingerprint_sha256().unwrap().parse().unwrap();
    let http = Endpoint::new("pfsense", "fw").url(sim.url()).trust(Trust::Pins(vec![pin])).build().unwrap();
    let client = PfSense::new(http, Auth::ApiKey(KEY.into()));

    let made = client.create_virtual_ip(&vip(1)).await.unwrap();
    client.create_virtual_ip(&vip(2)).await.unwrap();
    assert_eq!((made.at.id, made.value.uniqid.as_str(), made.value.subnet_bits), (0, "skyy-1", Some(32)));
    assert!(!client.pending().await.unwrap().virtual_ips.applied);
    assert!(client.apply_virtual_ips().await.unwrap().applied);

    let changed = VirtualIpFields { descr: Some("renamed".into()), ..VirtualIpFields::default() };
    assert_eq!(client.update_virtual_ip(0, &changed).await.unwrap().value.descr, "renamed");
    assert_eq!(client.delete_virtual_ip(0).await.unwrap().value.uniqid, "skyy-1");
    let left = client.list_virtual_ips().await.unwrap();
    assert_eq!(
        left.iter().map(|row| (row.at.id, row.value.uniqid.as_str())).collect::<Vec<_>>(),
        [(0, "skyy-2")]
    );
    let missing = client.delete_virtual_ip(7).await.unwrap_err();
    assert!(matches!(missing, PfSenseError::NotFound { .. }), "{missing:?}");
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_found_by_its_own_key() {
    let sim = sim().await;
    let client = client(&sim);
    client.version().await.unwrap();
    sim.faults().add(Fault::answer_lost(Match::next("POST", VIP)));
    let error = client.create_virtual_ip(&vip(1)).await.unwrap_err();
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::Maybe));
    let rows = client.list_virtual_ips().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.value.uniqid.as_str()).collect::<Vec<_>>(), ["skyy-1"], "sent once");
    let again = client.create_virtual_ip(&vip(1)).await.unwrap_err();
    assert!(
        matches!(&again, PfSenseError::Invalid { response_id, .. } if response_id == "FIELD_MUST_BE_UNIQUE"),
        "{again:?}"
    );
}

#[tokio::test]
async fn every_table_can_be_written_row_by_row() {
    let sim = sim().await;
    let client = client(&sim);
    let mapping = OneToOneFields {
        interface: Some("wan".into()),
        external: Some("203.0.113.1".into()),
        source: Some("10.20.1.1".into()),
        destination: Some("any".into()),
        ipprotocol: Some("inet".into()),
        natreflection: Some(None),
        ..OneToOneFields::default()
    };
    assert_eq!(client.create_one_to_one(&mapping).await.unwrap().value.external, "203.0.113.1");
    let off = OneToOneFields { disabled: Some(true), ..OneToOneFields::default() };
    assert!(client.update_one_to_one(0, &off).await.unwrap().value.disabled);
    client.delete_one_to_one(0).await.unwrap();

    let lease = StaticMapFields {
        interface: Some("opt3".into()),
        mac: Some("02:00:00:00:00:0a".into()),
        ipaddr: Some("10.20.1.10".into()),
        ..StaticMapFields::default()
    };
    assert_eq!(client.create_static_mapping(&lease).await.unwrap().value.interface, "opt3");
    let named = StaticMapFields { hostname: Some("web".into()), ..StaticMapFields::default() };
    assert_eq!(client.update_static_mapping("opt3", 0, &named).await.unwrap().value.hostname, "web");
    assert_eq!(client.list_static_mappings(Some("opt3")).await.unwrap().len(), 1);
    let servers = client.list_dhcp_servers().await.unwrap();
    let of_opt3 = servers.iter().find(|server| server.interface == "opt3").unwrap();
    assert_eq!(of_opt3.static_mappings[0].value.mac, "02:00:00:00:00:0a");
    client.delete_static_mapping("opt3", 0).await.unwrap();

    let first = FirewallRuleFields { placement: Some(0), ..rule(22) };
    assert_eq!(client.create_rule(&first).await.unwrap().at.id, 0);
    let moved = FirewallRuleFields { placement: Some(1), ..FirewallRuleFields::default() };
    assert_eq!(client.update_rule(0, &moved).await.unwrap().value.tracker, Some(1_700_000_022));
    let trackers: Vec<_> = client.list_rules().await.unwrap().iter().map(|row| row.value.tracker).collect();
    assert_eq!(trackers, [Some(100_000_101), Some(1_700_000_022)]);
    let beyond = FirewallRuleFields { placement: Some(99), ..rule(23) };
    let refusal = client.create_rule(&beyond).await.unwrap_err();
    assert!(
        matches!(&refusal, PfSenseError::Invalid { field: Some(field), .. } if field == "placement"),
        "{refusal:?}"
    );
    client.delete_rule(1).await.unwrap();
    let last = client.delete_rule(0).await.unwrap_err();
    assert!(matches!(last, PfSenseError::Invalid { .. }), "{last:?}");

    let members = AliasMembers { address: vec!["10.20.1.1".into()], detail: vec!["one".into()] };
    let alias = AliasFields {
        name: Some("tenants".into()),
        kind: Some("host".into()),
        members: Some(members),
        descr: None,
    };
    assert_eq!(client.create_alias(&alias).await.unwrap().value.address, ["10.20.1.1"]);
    assert_eq!(client.list_aliases().await.unwrap().len(), 1);
    client.delete_alias(0).await.unwrap();
}

#[tokio::test]
async fn rows_of_others_survive_the_replacement_of_whole_lists() {
    let sim = sim().await;
    let client = client(&sim);
    for port in [22, 80] {
        client.create_rule(&rule(port)).await.unwrap();
    }
    let lease = |n: u8| json!({"parent_id": "opt3", "mac": format!("02:00:00:00:00:{n:02x}"), "ipaddr": format!("10.20.1.{n}"), "descr": format!("d{n}")});
    client.create(Table::StaticMapping, lease(1).as_object().unwrap()).await.unwrap();

    let before: Vec<Fields> =
        client.list(Table::Rule).await.unwrap().into_iter().map(|row| row.raw).collect();
    let mut rows = before.clone();
    rows.insert(1, rows[0].clone());
    rows[1].insert("descr".into(), "ours".into());
    rows[1].insert("tracker".into(), 5.into());
    let after = client.replace_rules(&rows).await.unwrap();
    assert_eq!(
        after.iter().map(|row| row.value.tracker).collect::<Vec<_>>(),
        [Some(100_000_101), Some(5), Some(1_700_000_022), Some(1_700_000_080)]
    );
    let mut kept: Vec<Fields> =
        client.list(Table::Rule).await.unwrap().into_iter().map(|row| row.raw).collect();
    kept.remove(1);
    for (was, is) in before.iter().zip(&kept) {
        for (field, value) in was {
            let said_anew = ["id", "created_by", "created_time", "updated_by", "updated_time", "tag"]
                .contains(&field.as_str());
            assert!(said_anew || is[field] == *value, "{field}: {value} became {}", is[field]);
        }
    }

    let mut leases: Vec<Fields> =
        client.list(Table::StaticMapping).await.unwrap().into_iter().map(|row| row.raw).collect();
    leases.push(lease(2).as_object().unwrap().clone());
    let stored = client.replace_static_mappings("opt3", &leases).await.unwrap();
    let macs: BTreeSet<&str> = stored.iter().filter_map(|row| row.raw["mac"].as_str()).collect();
    assert_eq!(macs, BTreeSet::from(["02:00:00:00:00:01", "02:00:00:00:00:02"]));
    let descriptions: Vec<&Value> = stored.iter().map(|row| &row.raw["descr"]).collect();
    assert_eq!(descriptions, ["d1", "d2"]);

    let bad = json!({"interface": "wan", "external": "nonsense", "source": "10.20.1.1", "destination": "any", "ipprotocol": "inet"});
    let refusal = client.replace_one_to_one(&[bad.as_object().unwrap().clone()]).await.unwrap_err();
    assert!(
        matches!(&refusal, PfSenseError::Invalid { field: Some(field), .. } if field == "external"),
        "{refusal:?}"
    );
    assert_eq!(sim.counts().path("DELETE", VIPS), 0);
}

#[tokio::test]
async fn applies_return_when_the_box_has_loaded() {
    let sim = sim().await;
    sim.product().set_reload(Duration::from_millis(150));
    let client = client(&sim);
    client.create_virtual_ip(&vip(1)).await.unwrap();
    assert!(!sim.product().loaded().to_string().contains("203.0.113.1"));
    assert!(client.apply_virtual_ips().await.unwrap().applied);
    assert!(sim.product().loaded().to_string().contains("203.0.113.1"));
    client.create_rule(&rule(8443)).await.unwrap();
    assert!(client.pending().await.unwrap().firewall.applied, "rule changes never show as pending");
    client.apply_firewall().await.unwrap();
    assert!(sim.product().loaded().to_string().contains("8443"));
    client.apply_dhcp().await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_never_becomes_a_ban() {
    let options = Options { ban: Some(BanPolicy::default()), ..Options::golden() };
    let sim = Sim::builder(Arc::new(Pfsense::new(options))).start().await.unwrap();
    let client = PfSense::new(http(&sim), Auth::ApiKey("wrong".into()));
    for _ in 0..10 {
        assert_eq!(client.list_rules().await.unwrap_err().class(), Class::Auth);
    }
    assert_eq!(sim.counts().total.calls, 1);
    assert!(client.set_credentials(Auth::ApiKey(KEY.into())));
    client.list_rules().await.unwrap();
}

#[tokio::test]
async fn what_the_user_may_not_is_named_by_privilege() {
    let sim = sim().await;
    let limited =
        PfSense::new(http(&sim), Auth::ApiKey("fedcba9876543210fedcba9876543210fedcba9876543210".into()));
    limited.list_virtual_ips().await.unwrap();
    let error = limited.list_rules().await.unwrap_err();
    assert!(
        matches!(&error, PfSenseError::Forbidden { privilege, .. } if privilege == "api-v2-firewall-rules-get"),
        "{error:?}"
    );

    let client = client(&sim);
    sim.product().set_settings(json!({"read_only": true}).as_object().unwrap());
    assert!(client.settings().await.unwrap().read_only);
    let error = client.create_virtual_ip(&vip(1)).await.unwrap_err();
    assert!(matches!(error, PfSenseError::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn each_fault_is_told_apart_and_writes_are_sent_once() {
    use Class::{Protocol, Transient};
    use Sent::{Maybe, No};
    let patient = Limits { total: Duration::from_secs(30), ..limits() };
    // Fault, class and sent of a write, and whether a read survives it (repeated once on a lost connection).
    let faults = [
        (FaultKind::Refuse, Transient, Maybe, true),
        (FaultKind::AnswerLost, Transient, Maybe, true),
        (FaultKind::Delay { ms: 20 }, Transient, Maybe, true),
        (FaultKind::Status { status: 403, retry_after: None, body: None }, Class::Auth, No, false),
        (FaultKind::Status { status: 429, retry_after: Some(7), body: None }, Transient, No, false),
        (FaultKind::Status { status: 500, retry_after: None, body: None }, Transient, Maybe, false),
        (FaultKind::Status { status: 503, retry_after: Some(7), body: None }, Transient, Maybe, false),
        (FaultKind::BrokenJson, Protocol, Maybe, false),
        (FaultKind::HtmlPage, Protocol, Maybe, false),
    ];
    for (fault, class, sent, read_survives) in faults {
        let sim = sim().await;
        let http = Endpoint::new("pfsense", "fw")
            .url(sim.url())
            .allow_plain_http(true)
            .limits(patient)
            .build()
            .unwrap();
        let client = PfSense::new(http, Auth::ApiKey(KEY.into()));
        client.version().await.unwrap();
        sim.faults().add(Fault::new(Match::next("GET", VIPS), fault.clone()));
        assert_eq!(client.list_virtual_ips().await.is_ok(), read_survives, "{fault:?}");
        sim.faults().add(Fault::new(Match::next("POST", VIP), fault.clone()));
        match client.create_virtual_ip(&vip(1)).await {
            Ok(_) => assert!(matches!(fault, FaultKind::Delay { .. }), "{fault:?}"),
            Err(error) => {
                assert_eq!((error.class(), error.sent()), (class, sent), "{fault:?}: {error:?}");
                if let FaultKind::Status { retry_after, .. } = &fault {
                    assert_eq!(error.retry_after(), retry_after.map(Duration::from_secs), "{fault:?}");
                }
            }
        }
        assert!(client.list_virtual_ips().await.unwrap().len() <= 1, "{fault:?}: written twice");
        assert_eq!(client.http().counters().snapshot().writes, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_time_limit() {
    let sim = sim().await;
    let short = Limits { total: Duration::from_millis(200), ..limits() };
    let http =
        Endpoint::new("pfsense", "fw").url(sim.url()).allow_plain_http(true).limits(short).build().unwrap();
    let client = PfSense::new(http, Auth::ApiKey(KEY.into()));
    sim.faults().add(Fault::new(Match::next("GET", VIPS), FaultKind::Hang));
    let error = client.list_virtual_ips().await.unwrap_err();
    let PfSenseError::Http(cause) = &error else { panic!("{error:?}") };
    assert!(matches!(cause.problem(), Problem::Timeout { .. }), "{error:?}");
    client.list_virtual_ips().await.unwrap();
}
