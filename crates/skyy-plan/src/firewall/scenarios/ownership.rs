//! Whose is a row, and what is done with it.

use serde_json::json;

use super::{ask, box_with, check, gone, marked, policy, rule, settle, told, vip};
use crate::firewall::{RowKind, Verdict, model::Model, plan};

#[test]
fn a_row_is_made_read_back_and_left_alone() {
    let asks = [vip("web", "198.18.0.2/23")];
    let mut model = Model::new();
    check(
        &asks,
        &model,
        &["web: create virtual IP 198.18.0.2/23 on wan", "POST virtual IP 198.18.0.2", "apply virtual IPs"],
    );
    assert_eq!(settle(&asks, &mut model), 1);
    check(&asks, &model, &["web: in sync"]);
    assert_eq!(model.vips[0]["descr"], "[skyy:prod/tenants/web#web-0000]");
    // A restored cluster has new uids; the rows are ours still, and are not written again.
    let mut restored = asks;
    restored[0].owner.uid = "other".into();
    check(&restored, &model, &["web: in sync"]);
}

#[test]
fn a_row_of_somebody_else_is_refused_with_the_way_out() {
    let model = box_with(&[json!({"subnet": "198.18.0.9", "subnet_bits": 24, "descr": "old web server"})]);
    let mut asks = [vip("web", "198.18.0.9/23")];
    check(
        &asks,
        &model,
        &[
            r#"web: NotOwned: 198.18.0.9 already exists on edge as "old web server", not made by Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change (subnet_bits 24 → 23, description "old web server" → "")."#,
        ],
    );
    asks[0].adopt = true;
    check(
        &asks,
        &model,
        &[
            r#"web: take over virtual IP 198.18.0.9 ("old web server"): subnet_bits 24 → 23, description "old web server" → "" changes besides the mark"#,
            "PATCH virtual IP 198.18.0.9: subnet_bits, descr",
            "apply virtual IPs",
        ],
    );
    let other = box_with(&[json!({"subnet": "198.18.0.9", "subnet_bits": 23, "descr": "[skyy:test/a/b#1]"})]);
    asks[0].adopt = false;
    check(
        &asks,
        &other,
        &[
            r#"web: NotOwned: 198.18.0.9 already exists on edge as a row without a description, made by the installation "test" of Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change (nothing)."#,
        ],
    );
}

#[test]
fn of_two_asks_for_one_key_the_older_holder_wins_then_the_name() {
    let asks = [vip("a", "198.18.0.2/23"), vip("b", "198.18.0.2/24")];
    check(
        &asks,
        &Model::new(),
        &[
            "a: create virtual IP 198.18.0.2/23 on wan",
            "b: Conflict: virtual IP 198.18.0.2 is asked for by VirtualIP tenants/a too, which comes first. Change or delete one of the two.",
            "POST virtual IP 198.18.0.2",
            "apply virtual IPs",
        ],
    );
    let descr = marked(RowKind::VirtualIp, "b", "");
    let held_by_b = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 24, "descr": descr})]);
    check(
        &asks,
        &held_by_b,
        &[
            "a: Conflict: virtual IP 198.18.0.2 is asked for by VirtualIP tenants/b too, which comes first. Change or delete one of the two.",
            "b: in sync",
        ],
    );
}

#[test]
fn every_spelling_of_an_address_is_the_same() {
    let descr = marked(RowKind::VirtualIp, "six", "");
    let model = box_with(&[json!({"subnet": "2001:DB8:0:0::1", "subnet_bits": "64", "descr": descr})]);
    check(&[vip("six", "2001:db8::1/64")], &model, &["six: in sync"]);
    let twice = [vip("a", "2001:db8::1/64"), vip("b", "2001:0DB8::0001/64")];
    let plan = plan(&twice, &Model::new().observe(), &policy());
    assert!(matches!(
        plan.verdicts[&twice[1].owner],
        Verdict::Refused { reason: skyy_api::Reason::Conflict, .. }
    ));
}

#[test]
fn rows_that_were_exchanged_by_hand_exchange_their_marks() {
    let descr = |name| marked(RowKind::VirtualIp, name, "");
    let mut model = box_with(&[
        json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": descr("b")}),
        json!({"subnet": "198.18.0.3", "subnet_bits": 23, "descr": descr("a")}),
    ]);
    let asks = [vip("a", "198.18.0.2/23"), vip("b", "198.18.0.3/23")];
    check(
        &asks,
        &model,
        &[
            "a: take virtual IP 198.18.0.2 over from tenants/b: nothing else changes",
            "b: take virtual IP 198.18.0.3 over from tenants/a: nothing else changes",
            "PATCH virtual IP 198.18.0.2: descr",
            "PATCH virtual IP 198.18.0.3: descr",
            "apply virtual IPs",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(model.vips.len(), 2);
}

#[test]
fn a_renamed_object_takes_its_row_along() {
    let descr = marked(RowKind::VirtualIp, "old", "");
    let model = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": descr})]);
    check(
        &[vip("new", "198.18.0.2/23"), gone(vip("old", "198.18.0.2/23"))],
        &model,
        &[
            "new: take virtual IP 198.18.0.2 over from tenants/old: nothing else changes",
            "old: hand its virtual IP over to tenants/new",
            "PATCH virtual IP 198.18.0.2: descr",
            "apply virtual IPs",
        ],
    );
    // An orphan is not taken without a word.
    check(
        &[vip("new", "198.18.0.2/23")],
        &model,
        &[
            "new: NotOwned: 198.18.0.2 already exists on edge as a row without a description, with a mark of ours that no object asks for. Set spec.adopt: true to take it over; plan shows what would change (nothing).",
        ],
    );
    let seen = plan(&[vip("new", "198.18.0.2/23")], &model.observe(), &policy());
    assert_eq!(seen.orphans[0].to_string(), "VirtualIP 198.18.0.2 \"[skyy:prod/tenants/old#old-0000]\"");
    assert_eq!((seen.counts[&RowKind::VirtualIp].owned, seen.counts[&RowKind::VirtualIp].foreign), (1, 0));
}

#[test]
fn a_changed_and_a_doubled_row_are_put_right() {
    let mut model = Model::new();
    let asks = [ask(
        RowKind::NatMapping,
        "n",
        json!({"interface": "wan", "external": "198.18.0.2", "internal": "10.20.0.2"}),
    )];
    settle(&asks, &mut model);
    // After a lost answer the row is there twice; somebody has changed one of them, and its key.
    let mut twin = model.nats[0].clone();
    twin.insert("source".into(), json!("10.20.0.99"));
    model.nats.insert(0, twin);
    check(
        &asks,
        &model,
        &["n: delete 1:1 NAT 198.18.0.2, which is there twice", "DELETE 1:1 NAT 198.18.0.2", "apply filter"],
    );
    model.nats.truncate(1);
    model.nats[0].insert("external".into(), json!("198.18.0.7"));
    check(
        &asks,
        &model,
        &[
            "n: change 1:1 NAT 198.18.0.2: external 198.18.0.7 → 198.18.0.2, source 10.20.0.99 → 10.20.0.2",
            "PATCH 1:1 NAT 198.18.0.2: external, source",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    // The mark removed by hand: the row is nobody's that we know.
    model.nats[0].insert("descr".into(), json!("mine now"));
    assert!(told(&asks, &plan(&asks, &model.observe(), &policy()))[0].starts_with("n: NotOwned"));
    // A virtual IP and a rule are still known, by uniqid and tracker.
    let asks = [vip("web", "198.18.0.2/23"), rule("r", json!({}))];
    let mut model = Model::new();
    settle(&asks, &mut model);
    model.vips[0].insert("descr".into(), json!("mine now"));
    model.rules[1].insert("descr".into(), json!("mine now"));
    model.rules[1].insert("gateway".into(), json!("WANGW"));
    check(
        &asks,
        &model,
        &[
            r#"web: change virtual IP 198.18.0.2: description "mine now" → """#,
            r#"r: change rule on wan: gateway WANGW → none, description "mine now" → """#,
            "PATCH virtual IP 198.18.0.2: descr",
            "PATCH rule tenants/r on wan: gateway, descr",
            "apply virtual IPs",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
}
