//! Rules: their order, their interfaces, and those that must not be.

use serde_json::{Value, json};

use super::{check, gone, policy, rule, settle};
use crate::firewall::{
    Observed, Raw, Table, Verdict,
    model::{Model, object, stored},
    plan,
};

#[test]
fn rules_stand_by_priority_after_those_of_others() {
    let mut model = Model::new();
    let by = |name: &str, priority: i32| rule(name, json!({"priority": priority}));
    let mut asks = vec![by("a", 0), by("b", 0)];
    settle(&asks, &mut model);
    asks.push(by("c", -5));
    asks.push(by("aa", 0));
    check(
        &asks,
        &model,
        &[
            "a: in sync",
            "b: in sync",
            "c: create rule pass tcp from any to any on wan",
            "aa: create rule pass tcp from any to any on wan",
            "POST rule tenants/c on wan before tenants/a on wan",
            "POST rule tenants/aa on wan before tenants/b on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    let names = |model: &Model| -> Vec<String> {
        let descr = |row: &Raw| row["descr"].as_str().unwrap().to_owned();
        model
            .rules
            .iter()
            .map(descr)
            .map(|descr| descr.replace("[skyy:prod/tenants/", "").chars().take(4).collect())
            .collect()
    };
    assert_eq!(names(&model), ["Defa", "c#c-", "a#a-", "aa#a", "b#b-"]);
    // Somebody adds a rule at the end, as the web page does: ours go after it, as few as can be.
    let foreign = json!({"type": "block", "interface": ["wan"], "ipprotocol": "inet", "source": "any",
        "destination": "any", "descr": "foreign", "tracker": 1_795_000_000});
    model.rules.insert(3, stored(&Table::Rules, object(foreign)));
    check(
        &asks,
        &model,
        &[
            "a: move rule on wan to its place by priority",
            "b: in sync",
            "c: move rule on wan to its place by priority",
            "aa: in sync",
            "PATCH rule tenants/c on wan: before tenants/aa on wan",
            "PATCH rule tenants/a on wan: before tenants/aa on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(names(&model), ["Defa", "fore", "c#c-", "a#a-", "aa#a", "b#b-"]);
}

#[test]
fn a_rule_on_two_interfaces_is_a_row_on_each() {
    let mut model = Model::new();
    let mut asks = [rule("r", json!({"interfaces": ["wan", "opt3"]}))];
    settle(&asks, &mut model);
    let on: Vec<&Value> = model.rules.iter().map(|row| &row["interface"]).collect();
    assert_eq!(on, [&json!(["lan"]), &json!(["opt3"]), &json!(["wan"])]);
    let trackers: std::collections::BTreeSet<String> =
        model.rules.iter().map(|row| row["tracker"].to_string()).collect();
    assert_eq!(trackers.len(), 3);
    asks[0] = rule("r", json!({"interfaces": ["lan"]}));
    check(
        &asks,
        &model,
        &[
            "r: change rule on lan: interface opt3 → lan; delete rule pass tcp from any to any on wan, which is asked for there no more",
            "PATCH rule tenants/r on lan: interface",
            "DELETE rule tenants/r on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(model.rules.len(), 2);
}

#[test]
fn the_last_rule_stays() {
    let mut model = Model::new();
    let asks = [rule("r", json!({}))];
    settle(&asks, &mut model);
    model.rules.remove(0);
    check(
        &asks.map(gone),
        &model,
        &[
            "r: Refused: edge keeps at least one rule, and this is the last one. Add a rule of your own on the firewall; then this one can go.",
        ],
    );
}

#[test]
fn a_rule_that_would_lock_us_out_is_refused() {
    let mut policy = policy();
    policy.management_sources = vec!["192.168.1.16/28".parse().unwrap(), "203.0.113.0/24".parse().unwrap()];
    let mut observed = Model::new().observe();
    observed.aliases.insert("bad_hosts".into(), vec!["198.51.100.128/25".parse().unwrap()]);
    let refused = |spec: Value, observed: &Observed| {
        let mut whole = json!({"action": "Block", "protocol": "Any"});
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let asks = [rule("r", whole)];
        let plan = plan(&asks, observed, &policy);
        match &plan.verdicts[&asks[0].owner] {
            Verdict::Refused { reason, message } => {
                assert_eq!(*reason, skyy_api::Reason::WouldLockOut, "{message}");
                assert!(plan.steps.is_empty());
                true
            }
            _ => false,
        }
    };
    for (spec, expect) in [
        (json!({"interfaces": ["lan"]}), true),
        (json!({"interfaces": ["lan"], "action": "Reject", "ipFamily": "Both"}), true),
        (json!({"interfaces": ["opt3", "wan"]}), true),
        (json!({"interfaces": ["opt3"]}), false),
        (json!({"interfaces": ["lan"], "action": "Pass"}), false),
        (json!({"interfaces": ["lan"], "enabled": false}), false),
        (json!({"interfaces": ["lan"], "ipFamily": "IPv6"}), false),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.20"}}), true),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.40"}}), false),
        (json!({"interfaces": ["lan"], "source": {"address": "lan"}}), true),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.16/28", "invert": true}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "10.20.0.0/24"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "10.20.9.0/24"}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "(self)"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "wan:ip"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "198.18.0.0/15"}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "(self)", "invert": true}}), false),
        (json!({"interfaces": ["wan"], "source": {"address": "bad_hosts"}}), false),
        (json!({"interfaces": ["wan"], "source": {"address": "who_knows"}}), true),
    ] {
        assert_eq!(refused(spec.clone(), &observed), expect, "{spec}");
    }
    // Nothing is known of the firewall: then everything may be the way in.
    let unknown = Observed { dhcp: observed.dhcp.clone(), ..Observed::default() };
    assert!(refused(json!({"interfaces": ["opt3"], "destination": {"address": "10.20.9.0/24"}}), &unknown));
}
