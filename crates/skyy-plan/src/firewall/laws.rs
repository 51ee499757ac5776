//! The laws of the planner, on random firewalls and random wishes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use skyy_api::Reason;

use super::{
    Ask, Desired, DhcpRow, Goal, Mark, NatRow, Observed, Owner, Plan, Policy, Raw, RowKind, RuleRow, Step,
    Subsystem, Table, Verdict, VipRow, fingerprint_of_row,
    firewall_rule::{Address, End, interfaces},
    model::{Model, object, stored},
    plan, tracker, uniqid,
};

const NAMES: u8 = 10;
const OURS: &str = "prod";

/// Whose a row is.
#[derive(Clone, Debug)]
enum Who {
    Stranger,
    Ours(u8),
    /// By the mark's short form.
    Short(u8),
    /// By `uniqid` or `tracker` alone: somebody removed the mark.
    Witness(u8),
    OtherInstallation(u8),
    Orphan,
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        3 => Just(Who::Stranger),
        6 => (0..NAMES).prop_map(Who::Ours),
        1 => (0..NAMES).prop_map(Who::Short),
        1 => (0..NAMES).prop_map(Who::Witness),
        1 => (0..NAMES).prop_map(Who::OtherInstallation),
        1 => Just(Who::Orphan),
    ]
}

fn owner(kind: RowKind, name: u8) -> Owner {
    Owner {
        kind,
        namespace: ["t", "u"][usize::from(name % 2)].into(),
        name: format!("n{name}"),
        uid: format!("uid{name}-0000"),
    }
}

fn describe(kind: RowKind, who: &Who, text: &str) -> String {
    let limit = kind.description_limit();
    match who {
        Who::Stranger | Who::Witness(_) => text.to_owned(),
        Who::Ours(name) => Mark::of(OURS, &owner(kind, *name), limit).describe(text, limit),
        Who::Short(name) => Mark::of(OURS, &owner(kind, *name), 20).describe(text, limit),
        Who::OtherInstallation(name) => Mark::of("test", &owner(kind, *name), limit).describe(text, limit),
        Who::Orphan => {
            let nobody = Owner { name: "nobody".into(), ..owner(kind, 0) };
            Mark::of(OURS, &nobody, limit).describe(text, limit)
        }
    }
}

/// The numbers of which rows and wishes are made.
#[derive(Clone, Debug)]
struct Dice {
    key: u8,
    value: u8,
    interface: u8,
    odd: u8,
    text: u8,
}

fn dice() -> impl Strategy<Value = Dice> {
    (0..NAMES, 0..6_u8, 0..2_u8, 0..12_u8, 0..3_u8).prop_map(|(key, value, interface, odd, text)| Dice {
        key,
        value,
        interface,
        odd,
        text,
    })
}

impl Dice {
    fn text(&self) -> String {
        ["", "web", "größer & <älter>"][usize::from(self.text)].into()
    }
    fn interface(&self) -> &'static str {
        ["lan", "opt3"][usize::from(self.interface)]
    }
    fn vip(&self) -> VipRow {
        let address =
            if self.key == 0 { "2001:db8::1".parse().unwrap() } else { [198, 18, 0, self.key].into() };
        VipRow {
            address,
            prefix: 23 + self.value % 3,
            interface: ["wan", "lan"][usize::from(self.interface)].into(),
            mode: skyy_api::virtual_ip::VipMode::IPAlias,
            vhid: None,
            text: self.text(),
        }
    }
    fn nat(&self) -> NatRow {
        NatRow {
            external: [198, 18, 0, self.key].into(),
            internal: [10, 20, 0, self.value].into(),
            interface: "wan".into(),
            destination: Address::Any,
            reflection: None,
            enabled: self.interface == 0,
            text: self.text(),
        }
    }
    fn dhcp(&self) -> DhcpRow {
        DhcpRow {
            interface: self.interface().into(),
            mac: format!("02:00:00:00:0a:{:02x}", self.key + 10).parse().unwrap(),
            address: [10, 20, 1, self.value * 13].into(),
            hostname: self.text.to_string(),
            domain: String::new(),
            gateway: None,
            dns_servers: if self.value == 1 { vec![[9, 9, 9, 9].into()] } else { Vec::new() },
            text: self.text(),
        }
    }
    fn rule(&self) -> RuleRow {
        let any = End { address: Address::Any, invert: false, ports: None };
        let to = Address::Net(format!("10.20.0.{}/32", self.key).parse().unwrap());
        let mut interfaces = vec![self.interface().to_owned()];
        if self.odd == 0 {
            interfaces = vec!["lan".into(), "opt3".into()];
        }
        RuleRow {
            interfaces,
            action: skyy_api::firewall_rule::RuleAction::Pass,
            family: skyy_api::firewall_rule::IpFamily::IPv4,
            protocol: skyy_api::firewall_rule::RuleProtocol::TCP,
            source: any,
            destination: End {
                address: to,
                invert: false,
                ports: Some((80 + u16::from(self.value)).to_string()),
            },
            log: self.value == 2,
            enabled: true,
            text: self.text(),
        }
    }
}

fn firewall() -> impl Strategy<Value = Model> {
    let rows = |most| prop::collection::vec((dice(), who()), 0..most);
    (rows(14), rows(14), rows(16), rows(24), any::<bool>()).prop_map(|(vips, nats, maps, rules, pending)| {
        use super::Row;
        let mut model = Model::new();
        let (mut addresses, mut uniqids, mut macs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (n, (dice, who)) in vips.into_iter().enumerate() {
            let mut body = dice.vip().fields();
            if dice.odd == 1 && dice.key == 0 {
                body.insert("subnet".into(), json!("2001:DB8:0:0::1"));
            }
            let uniqid = match who {
                Who::Ours(name) | Who::Witness(name) if dice.odd < 9 => {
                    uniqid(OURS, &owner(RowKind::VirtualIp, name), 0)
                }
                _ => format!("5f0c0ffee{n:04}"),
            };
            body.insert("descr".into(), json!(describe(RowKind::VirtualIp, &who, &dice.text())));
            body.insert("uniqid".into(), json!(uniqid));
            if addresses.insert(body["subnet"].to_string()) && uniqids.insert(uniqid) {
                model.vips.push(stored(&Table::VirtualIps, body));
            }
        }
        for (dice, who) in nats {
            let mut body = dice.nat().fields();
            body.insert("descr".into(), json!(describe(RowKind::NatMapping, &who, &dice.text())));
            match dice.odd {
                0 => drop(body.insert("nobinat".into(), json!(true))),
                1 => drop(body.insert("source".into(), json!("10.20.0.5/24"))),
                2 => drop(body.insert("external".into(), json!("wan:ip"))),
                _ => {}
            }
            model.nats.push(stored(&Table::NatMappings, body));
        }
        for (dice, who) in maps {
            let mut body = dice.dhcp().fields();
            body.insert("descr".into(), json!(describe(RowKind::DhcpReservation, &who, &dice.text())));
            match dice.odd {
                0 => drop(body.insert("mac".into(), json!(dice.dhcp().mac.to_string().to_uppercase()))),
                1 => drop(body.insert("ntpserver".into(), json!(["192.0.2.9"]))),
                2 => drop(body.insert("ipaddr".into(), json!(null))),
                _ => {}
            }
            if macs.insert((dice.interface, body["mac"].to_string())) {
                let table = Table::StaticMaps(dice.interface().into());
                model.dhcp.get_mut(dice.interface()).unwrap().push(stored(&table, body));
            }
        }
        for rows in model.dhcp.values_mut() {
            rows.sort_by_key(|row| row["ipaddr"].as_str().unwrap_or("").to_owned());
        }
        for (n, (dice, who)) in rules.into_iter().enumerate() {
            let interface = dice.interface();
            let mut body = dice.rule().on(interface).fields();
            body.insert("descr".into(), json!(describe(RowKind::FirewallRule, &who, &dice.text())));
            let chosen = match who {
                Who::Ours(name) | Who::Witness(name) => {
                    tracker(OURS, &owner(RowKind::FirewallRule, name), interface, 0)
                }
                _ => 1_700_000_000 + u32::try_from(n).unwrap(),
            };
            body.insert("tracker".into(), json!(chosen));
            match dice.odd {
                1 => drop(body.insert("gateway".into(), json!("WANGW"))),
                2 => {
                    body.insert("floating".into(), json!(true));
                    body.insert("interface".into(), json!(["lan", "opt3"]));
                }
                3 if dice.value == 0 => drop(body.insert("associated_rule_id".into(), json!("nat_1"))),
                _ => {}
            }
            model.rules.push(stored(&Table::Rules, body));
        }
        if pending {
            model.unapplied.insert(Subsystem::VirtualIps);
        }
        model
    })
}

fn wishes() -> impl Strategy<Value = Vec<Ask>> {
    let goal = prop_oneof![8 => Just(Goal::Present), 3 => Just(Goal::Absent), 1 => Just(Goal::Released)];
    let one = (dice(), goal, prop::bool::weighted(0.4), prop::bool::weighted(0.08), -2..3_i32);
    let kind = prop::sample::select(RowKind::ALL.to_vec());
    prop::collection::vec((kind, 0..NAMES, one), 0..45).prop_map(|wishes| {
        let mut asks: BTreeMap<Owner, Ask> = BTreeMap::new();
        for (kind, name, (dice, goal, adopt, held, priority)) in wishes {
            let row = match kind {
                RowKind::VirtualIp => Desired::Vip(dice.vip()),
                RowKind::NatMapping => Desired::Nat(dice.nat()),
                RowKind::DhcpReservation => Desired::Dhcp(dice.dhcp()),
                RowKind::FirewallRule => Desired::Rule(dice.rule()),
            };
            let owner = owner(kind, name);
            asks.insert(owner.clone(), Ask { owner, row, goal, adopt, held, priority });
        }
        asks.into_values().collect()
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (prop_oneof![Just(100_u32), 0..6_u32], any::<bool>()).prop_map(|(max, by_row)| {
        let mut policy = Policy::new(OURS, "edge");
        policy.max_deletes_per_batch = max;
        if by_row {
            let maps = ["lan", "opt3"].map(|interface| Table::StaticMaps(interface.into()));
            policy.row_by_row = maps.into_iter().chain([Table::NatMappings, Table::Rules]).collect();
        }
        policy
    })
}

fn tables(model: &Model) -> Vec<Table> {
    let maps = model.dhcp.keys().cloned().map(Table::StaticMaps);
    [Table::VirtualIps, Table::NatMappings, Table::Rules].into_iter().chain(maps).collect()
}

fn is_ours_by_tracker(raw: &Raw) -> bool {
    raw.get("tracker").is_some_and(|n| (200_000_000..1_000_000_000).contains(&n.as_u64().unwrap()))
}

/// Rows without a mark of ours or another sign of it, as they are.
fn strangers(rows: &[Raw], skip: &BTreeSet<super::Fingerprint>) -> Vec<super::Fingerprint> {
    rows.iter()
        .filter(|raw| {
            let (_, mark) = Mark::split(raw["descr"].as_str().unwrap());
            let associated = raw.get("associated_rule_id").is_some_and(|id| !id.is_null());
            let ours = mark.as_ref().is_some_and(|mark| mark.installation == OURS) && !associated;
            let witness = mark.is_none()
                && (raw.get("uniqid").is_some_and(|id| id.as_str().unwrap().starts_with("skyy"))
                    || is_ours_by_tracker(raw));
            !ours && (!witness || associated)
        })
        .map(fingerprint_of_row)
        .filter(|print| !skip.contains(print))
        .collect()
}

/// How many rows carry the mark of an owner and say all that is wanted, and how many carry it at all.
fn marked(model: &Model, ask: &Ask) -> (usize, usize) {
    fn of<R: super::Row>(rows: &[super::Seen<R>], owner: &Owner, wanted: &[R]) -> (usize, usize) {
        let own: Vec<_> = rows
            .iter()
            .filter(|seen| !seen.associated)
            .filter(|seen| {
                seen.mark.as_ref().is_some_and(|mark| {
                    mark.installation == OURS
                        && [super::Marked::named(owner), super::Marked::hashed(owner)].contains(&mark.object)
                })
            })
            .collect();
        let right = wanted
            .iter()
            .filter(|want| own.iter().filter(|seen| seen.row.as_ref() == Some(want)).count() == 1);
        (right.count(), own.len())
    }
    let seen = model.observe();
    match &ask.row {
        Desired::Vip(row) => of(&seen.vips, &ask.owner, std::slice::from_ref(row)),
        Desired::Nat(row) => of(&seen.nats, &ask.owner, std::slice::from_ref(row)),
        Desired::Dhcp(row) => {
            let all: Vec<_> = seen.dhcp.values().flat_map(|server| server.static_maps.clone()).collect();
            of(&all, &ask.owner, std::slice::from_ref(row))
        }
        Desired::Rule(row) => {
            let rows: Vec<RuleRow> = row.interfaces.iter().map(|interface| row.on(interface)).collect();
            of(&seen.rules, &ask.owner, &rows)
        }
        Desired::Nothing(..) => (0, 0),
    }
}

fn one_apply_each(plan: &Plan) {
    let mut touched = BTreeSet::new();
    let mut applied = Vec::new();
    let (mut wrote_vip, mut removed_vip) = (false, false);
    for step in &plan.steps {
        assert!(!step.to_string().is_empty());
        match step {
            Step::Apply(subsystem) => applied.push(*subsystem),
            other => {
                assert!(applied.is_empty(), "a write after an apply");
                touched.extend(other.table().map(Table::subsystem));
                let vip = other.table() == Some(&Table::VirtualIps);
                removed_vip |= vip && matches!(other, Step::Delete { .. });
                wrote_vip |= vip && !matches!(other, Step::Delete { .. });
            }
        }
    }
    let mut distinct = applied.clone();
    distinct.dedup();
    assert_eq!(distinct, applied, "each once, in order");
    assert!(touched.iter().all(|subsystem| applied.contains(subsystem)), "{touched:?} {applied:?}");
    assert!(!(wrote_vip && removed_vip), "additions and removals of virtual IPs in one batch");
}

fn rules_stand_in_order(observed: &Observed, asks: &[Ask], verdicts: &BTreeMap<Owner, Verdict>) {
    let settled = |owner: &Owner| verdicts.get(owner) == Some(&Verdict::InSync);
    for interface in ["lan", "opt3"] {
        let mut last_stranger = None;
        let mut ours: Vec<(usize, (i32, &Owner))> = Vec::new();
        for seen in &observed.rules {
            if !interfaces(&seen.raw).iter().any(|one| one == interface) {
                continue;
            }
            let mark = seen.mark.as_ref().filter(|mark| mark.installation == OURS && !seen.associated);
            match mark {
                // Known by its tracker alone: ours, where somebody asks for it.
                None if seen.mark.is_none() && is_ours_by_tracker(&seen.raw) => {}
                None => last_stranger = Some(seen.position),
                Some(mark) => {
                    let ask = asks.iter().find(|ask| {
                        ask.owner.kind == RowKind::FirewallRule
                            && ask.goal == Goal::Present
                            && !ask.held
                            && settled(&ask.owner)
                            && [super::Marked::named(&ask.owner), super::Marked::hashed(&ask.owner)]
                                .contains(&mark.object)
                    });
                    ours.extend(ask.map(|ask| (seen.position, (ask.priority, &ask.owner))));
                }
            }
        }
        assert!(
            ours.iter().all(|(at, _)| last_stranger.is_none_or(|last| *at > last)),
            "{interface}: after the others"
        );
        assert!(ours.is_sorted_by_key(|(_, rank)| *rank), "{interface}: {ours:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_converge_and_harm_nobody(model in firewall(), asks in wishes(), policy in policy()) {
        let before = model.clone();
        let first = plan(&asks, &model.observe(), &policy);

        // Adopted rows are strangers no longer: what the asks that adopt may touch is left out.
        let adopted: BTreeSet<super::Fingerprint> = {
            let seen = before.observe();
            let keys: BTreeSet<String> = asks
                .iter()
                .filter(|ask| ask.adopt && ask.goal == Goal::Present && !ask.held)
                .filter(|ask| match &first.verdicts[&ask.owner] {
                    Verdict::Refused { reason, .. } => *reason == Reason::TooManyDeletes,
                    _ => true,
                })
                .map(|ask| match &ask.row {
                    Desired::Vip(row) => format!("v{}", row.address),
                    Desired::Nat(row) => format!("n{}", row.external),
                    Desired::Dhcp(row) => format!("d{} on {}", row.mac, row.interface),
                    _ => String::new(),
                })
                .collect();
            let vips = seen.vips.iter().filter_map(|seen| Some((format!("v{}", seen.key?), seen.print)));
            let nats = seen.nats.iter().filter_map(|seen| Some((format!("n{}", seen.key?), seen.print)));
            let maps = seen.dhcp.values().flat_map(|server| &server.static_maps);
            let maps = maps.filter_map(|seen| Some((format!("d{}", seen.key.as_ref()?), seen.print)));
            vips.chain(nats).chain(maps).filter(|(key, _)| keys.contains(key)).map(|(_, print)| print).collect()
        };
        let of_strangers = |model: &Model| -> Vec<Vec<super::Fingerprint>> {
            tables(model).iter().map(|table| strangers(&model.list(table), &adopted)).collect()
        };
        let strangers_before = of_strangers(&before);
        let there: Vec<(&Ask, usize)> = asks
            .iter()
            .filter(|ask| matches!(first.verdicts[&ask.owner], Verdict::InSync))
            .map(|ask| (ask, marked(&before, ask).0))
            .collect();
        let held: Vec<(&Ask, (usize, usize))> =
            asks.iter().filter(|ask| ask.held || (ask.goal == Goal::Released && !asks.iter().any(|ask| ask.adopt))).map(|ask| (ask, marked(&before, ask))).collect();

        let mut model = model;
        let mut last = first;
        let (mut rounds, mut expected) = (0, true);
        loop {
            one_apply_each(&last);
            prop_assert!(last.deletes <= policy.max_deletes_per_batch, "{} deletes", last.deletes);
            let reversed: Vec<Ask> = asks.iter().rev().cloned().collect();
            prop_assert_eq!(&plan(&reversed, &model.observe(), &policy), &last, "the order of the asks");
            if last.steps.is_empty() {
                break;
            }
            rounds += 1;
            // One plan is enough, and one more where it said so.
            let named: Vec<String> = last.steps.iter().map(ToString::to_string).collect();
            prop_assert!(expected && rounds <= 3, "plan {rounds} is not empty: {named:#?}");
            expected = last.again;
            let rows = |model: &Model| tables(model).iter().map(|table| model.list(table).len()).sum::<usize>();
            let rows_before = rows(&model);
            let creates = |plan: &Plan| plan.steps.iter().filter(|step| matches!(step, Step::Create { .. })).count();
            let whole = last.steps.iter().any(|step| matches!(step, Step::Replace { .. }));
            let run = model.clone().run(&last, |_| ());
            prop_assert_eq!(run, Ok(()));
            model
                .run(&last, |now| {
                    assert_eq!(of_strangers(now), strangers_before, "rows of others");
                    for (ask, count) in &there {
                        assert_eq!(marked(now, ask).0, *count, "{} was there and is wanted", ask.owner);
                    }
                    for (ask, count) in &held {
                        assert_eq!(marked(now, ask), *count, "{} is held or released", ask.owner);
                    }
                })
                .unwrap();
            if !whole {
                prop_assert_eq!(rows(&model), rows_before + creates(&last) - last.deletes as usize);
            }
            last = plan(&asks, &model.observe(), &policy);
        }
        let asked = |subsystem: &Subsystem| {
            asks.iter().any(|ask| {
                ask.owner.kind.subsystem() == *subsystem && ask.goal != Goal::Released && !ask.held
            })
        };
        prop_assert!(!model.unapplied.iter().any(asked));
        prop_assert!(!last.again, "nothing to do, and yet to look again");

        for ask in &asks {
            let (right, all) = marked(&model, ask);
            let wanted = match &ask.row {
                Desired::Rule(row) => row.interfaces.len(),
                _ => 1,
            };
            match (&last.verdicts[&ask.owner], ask.goal) {
                (Verdict::InSync, Goal::Present) => prop_assert_eq!((right, all), (wanted, wanted), "{}", ask.owner),
                (Verdict::Gone, Goal::Absent) => prop_assert_eq!(all, 0, "{}", ask.owner),
                (Verdict::Gone, Goal::Released) | (Verdict::Refused { .. }, _) => {}
                (Verdict::Change { steps, .. }, _) => prop_assert!(ask.held && steps.is_empty(), "{}", ask.owner),
                (verdict, goal) => prop_assert!(false, "{:?} for {:?} {}", verdict, goal, ask.owner),
            }
        }
        rules_stand_in_order(&model.observe(), &asks, &last.verdicts);
    }
}

#[test]
fn the_dice_make_what_the_package_could_answer() {
    let raw = object(json!({"descr": "x"}));
    assert_eq!(strangers(&[raw], &BTreeSet::new()).len(), 1);
}
