//! What a person would see, case by case: the asks, the firewall, and what is said and done.

mod bounds;
mod ownership;
mod rules;

use serde_json::{Value, json};
use skyy_api::{DhcpReservationSpec, FirewallRuleSpec, NatMappingSpec, VirtualIpSpec};

use super::{
    Ask, Desired, Goal, Mark, Owner, Plan, Policy, RowKind, Table, Verdict, desired_dhcp, desired_nat,
    desired_rule, desired_vip,
    model::{Model, object, stored},
    plan,
};

/// An ask for a row from a spec, without `firewall`.
fn ask(kind: RowKind, name: &str, spec: Value) -> Ask {
    let mut whole = json!({"firewall": "edge"});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let adopt = whole["adopt"] == json!(true);
    let priority = whole["priority"].as_i64().map_or(0, |priority| i32::try_from(priority).unwrap());
    let row: Desired = match kind {
        RowKind::VirtualIp => desired_vip(&serde_json::from_value::<VirtualIpSpec>(whole).unwrap()).into(),
        RowKind::NatMapping => desired_nat(&serde_json::from_value::<NatMappingSpec>(whole).unwrap()).into(),
        RowKind::DhcpReservation => {
            desired_dhcp(&serde_json::from_value::<DhcpReservationSpec>(whole).unwrap()).into()
        }
        RowKind::FirewallRule => {
            desired_rule(&serde_json::from_value::<FirewallRuleSpec>(whole).unwrap()).into()
        }
    };
    let owner =
        Owner { kind, namespace: "tenants".into(), name: name.into(), uid: format!("{name}-00000000") };
    Ask { owner, row, goal: Goal::Present, adopt, held: false, priority }
}

fn vip(name: &str, address: &str) -> Ask {
    ask(RowKind::VirtualIp, name, json!({"address": address, "interface": "wan"}))
}

fn rule(name: &str, spec: Value) -> Ask {
    let mut whole = json!({"interfaces": ["wan"], "protocol": "TCP"});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    ask(RowKind::FirewallRule, name, whole)
}

fn gone(mut ask: Ask) -> Ask {
    ask.goal = Goal::Absent;
    ask
}

fn policy() -> Policy {
    Policy::new("prod", "edge")
}

/// The verdicts in the order of the asks, then the steps.
fn told(asks: &[Ask], plan: &Plan) -> Vec<String> {
    let verdicts = asks.iter().map(|ask| match &plan.verdicts[&ask.owner] {
        Verdict::InSync => format!("{}: in sync", ask.owner.name),
        Verdict::Gone => format!("{}: gone", ask.owner.name),
        Verdict::Change { actions, steps } => {
            let later = if steps.is_empty() { " (not now)" } else { "" };
            format!("{}: {}{later}", ask.owner.name, actions.join("; "))
        }
        Verdict::Refused { reason, message } => format!("{}: {reason}: {message}", ask.owner.name),
    });
    verdicts.chain(plan.steps.iter().map(ToString::to_string)).collect()
}

#[track_caller]
fn check(asks: &[Ask], model: &Model, expect: &[&str]) {
    check_within(&policy(), asks, model, expect);
}

#[track_caller]
fn check_within(policy: &Policy, asks: &[Ask], model: &Model, expect: &[&str]) {
    assert_eq!(told(asks, &plan(asks, &model.observe(), policy)), expect);
}

/// Plans and carries out until nothing is left to do.
#[track_caller]
fn settle(asks: &[Ask], model: &mut Model) -> usize {
    for rounds in 0..4 {
        let plan = plan(asks, &model.observe(), &policy());
        if plan.steps.is_empty() {
            return rounds;
        }
        model.run(&plan, |_| ()).unwrap();
    }
    panic!("not settled");
}

fn box_with(vips: &[Value]) -> Model {
    let mut model = Model::new();
    for (n, body) in vips.iter().enumerate() {
        let mut body = object(body.clone());
        body.entry("uniqid").or_insert(json!(format!("5f0c0ffee{n:04}")));
        body.entry("mode").or_insert(json!("ipalias"));
        body.entry("interface").or_insert(json!("wan"));
        model.vips.push(stored(&Table::VirtualIps, body));
    }
    model
}

fn marked(kind: RowKind, name: &str, text: &str) -> String {
    let owner =
        Owner { kind, namespace: "tenants".into(), name: name.into(), uid: format!("{name}-00000000") };
    Mark::of("prod", &owner, 1024).describe(text, 1024)
}

/// As many addresses as a tenant network has, with all four rows each.
fn pool(count: u32) -> Vec<Ask> {
    let kinds = |n: u32| {
        let (outer, inner) =
            (format!("198.18.{}.{}", n / 250, n % 250 + 1), format!("10.20.{}.{}", n / 250, n % 250 + 2));
        let mac = format!("02:00:00:{:02x}:{:02x}:01", n / 256, n % 256);
        let name = format!("p{n}");
        [
            vip(&name, &format!("{outer}/16")),
            ask(
                RowKind::NatMapping,
                &name,
                json!({"interface": "wan", "external": outer, "internal": inner}),
            ),
            ask(RowKind::DhcpReservation, &name, json!({"interface": "opt3", "mac": mac, "address": inner})),
            rule(&name, json!({"destination": {"address": inner}})),
        ]
    };
    (0..count).flat_map(kinds).collect()
}
