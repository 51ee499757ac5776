//! The plan itself: every ask heard, every row given to somebody, every bound kept, every step in its place.
//!
//! The order: virtual IPs, NAT, static mappings, rules; then deletions the other way round; then one apply for each
//! subsystem that was touched. Virtual IPs are never removed in a batch that also writes some: the package keeps what
//! waits to be applied by position, so a removal would make it configure the wrong one.

use std::collections::{BTreeMap, BTreeSet};

use skyy_api::{Reason, common::CONFIRM_DELETES_ANNOTATION, virtual_ip::VipMode};

use super::{
    Ask, Count, Desired, DhcpRow, Goal, NatRow, Observed, Orphan, Owner, Plan, Policy, Refusal, RowKind,
    RuleRow, Subsystem, Table, Verdict, VipRow,
    chain::Chain,
    diff::{Act, Asked, Holder, Matching, Registry, match_keyed},
    firewall_rule::tracker_of,
    guard::locks_out,
    mark::{Mark, tracker, uniqid},
    order::{Item, RuleMatching, Slot, arrange, last_rule, match_rules},
    rows::{Row, Seen, string},
    step::new_body,
    write::{NewRow, Removal, Steps, Update, Work},
    write_rules::RuleWork,
};

/// What is to be done on a firewall so that it has what is asked of it, within the policy's bounds.
pub fn plan(asks: &[Ask], observed: &Observed, policy: &Policy) -> Plan {
    let mut sorted: Vec<&Ask> = asks.iter().collect();
    sorted.sort_by(|a, b| a.owner.cmp(&b.owner));
    let mut plan = Plan::default();
    // One object asks once. Of two uids under one name, the one that sorts first is heard.
    sorted.dedup_by(|later, first| {
        let same = (later.owner.kind, &later.owner.namespace, &later.owner.name)
            == (first.owner.kind, &first.owner.namespace, &first.owner.name);
        if same && later.owner != first.owner {
            let message = format!("{} {} is asked for twice, with two uids.", later.owner.kind, later.owner);
            plan.verdicts.insert(later.owner.clone(), Verdict::Refused { reason: Reason::Conflict, message });
        }
        same
    });
    let of = |kind: RowKind| -> Vec<&Ask> {
        sorted.iter().copied().filter(|ask| ask.owner.kind == kind).collect()
    };

    let vips: Vec<&Seen<VipRow>> = observed.vips.iter().collect();
    let nats: Vec<&Seen<NatRow>> = observed.nats.iter().collect();
    let maps: Vec<&Seen<DhcpRow>> = observed.dhcp.values().flat_map(|server| &server.static_maps).collect();

    let vip = Kind::keyed(of(RowKind::VirtualIp), &vips, policy, |ask| match &ask.row {
        Desired::Vip(row) => on_interface(row.clone(), &row.interface, observed, policy),
        row => Err(not_this_kind(row)),
    });
    let vip = without_carp_creation(vip, &of(RowKind::VirtualIp), policy);
    let nat = Kind::keyed(of(RowKind::NatMapping), &nats, policy, |ask| match &ask.row {
        Desired::Nat(row) => on_interface(row.clone(), &row.interface, observed, policy),
        row => Err(not_this_kind(row)),
    });
    let dhcp = Kind::keyed(of(RowKind::DhcpReservation), &maps, policy, |ask| match &ask.row {
        Desired::Dhcp(row) => served(row, observed, policy),
        row => Err(not_this_kind(row)),
    });
    let rules = Kind::rules(of(RowKind::FirewallRule), observed, policy);

    // The deletions of all kinds are counted together, before one of them is planned.
    let wanted = [vip.deletes(), nat.deletes(), dhcp.deletes(), rules.deletes()].iter().sum::<usize>();
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let allowed = policy.max_deletes_per_batch.max(policy.confirmed_deletes.unwrap_or(0));
    let refused = wanted > allowed;
    if refused {
        plan.refusal = Some(Refusal::TooManyDeletes { deletes: wanted, limit: policy.max_deletes_per_batch });
    }
    let limit = Limit { refused, deletes: wanted, policy };

    let vip_work = vip.work(&vips, refused, |n, row, taken| vip_body(&vip.asked[n], row, taken, policy));
    let nat_work = nat.work(&nats, refused, |n, row, _| keyed_body(&nat.asked[n], row));
    let writes_vips = !vip_work.creates.is_empty() || !vip_work.updates.is_empty();
    let vips_wait = writes_vips || observed.unapplied.contains(&Subsystem::VirtualIps);

    let mut chain = Chain::default();
    let mut vip_steps = vip_work.steps(&Table::VirtualIps, &vips, policy);
    if vips_wait && !vip_steps.last.is_empty() {
        vip_steps.last.clear();
        plan.again = true;
    }
    let nat_steps = nat_work.steps(&Table::NatMappings, &nats, policy);
    let dhcp_steps = dhcp_steps(&dhcp, observed, refused, policy);
    let (rule_steps, rule_said, kept_rule) = rule_steps(&rules, observed, refused, policy);

    chain.add(&vip.asked_owners(), vip_steps.first);
    chain.add(&nat.asked_owners(), nat_steps.first);
    chain.add(&dhcp.asked_owners(), dhcp_steps.first);
    chain.add(&rules.asked_owners(), rule_steps.first);
    chain.add(&rules.asked_owners(), rule_steps.last);
    chain.add(&dhcp.asked_owners(), dhcp_steps.last);
    chain.add(&nat.asked_owners(), nat_steps.last);
    chain.add(&vip.asked_owners(), vip_steps.last);
    chain.apply(&sorted, observed);

    vip.say(&mut plan, &chain, &limit, Subsystem::VirtualIps, &observed.unapplied);
    nat.say(&mut plan, &chain, &limit, Subsystem::Filter, &observed.unapplied);
    dhcp.say(&mut plan, &chain, &limit, Subsystem::Dhcp, &observed.unapplied);
    rules.say_rules(&mut plan, &chain, &limit, &rule_said, &observed.unapplied);
    if let Some(owner) = kept_rule {
        let (reason, message) = last_rule(&policy.firewall);
        plan.verdicts.insert(owner, Verdict::Refused { reason, message });
    }

    vip.count(&mut plan, &vips, |seen| seen.key.as_ref().map(ToString::to_string));
    nat.count(&mut plan, &nats, |seen| seen.key.as_ref().map(ToString::to_string));
    dhcp.count(&mut plan, &maps, |seen| seen.key.as_ref().map(ToString::to_string));
    let all_rules: Vec<&Seen<RuleRow>> = observed.rules.iter().collect();
    rules.count(&mut plan, &all_rules, |seen| tracker_of(&seen.raw).map(|tracker| tracker.to_string()));
    plan.orphans.sort();
    plan.deletes = u32::try_from(chain.deletes).unwrap_or(u32::MAX);
    plan.steps = chain.steps;
    plan
}

/// How deletions stand.
struct Limit<'a> {
    refused: bool,
    deletes: u32,
    policy: &'a Policy,
}

impl Limit<'_> {
    fn message(&self) -> String {
        format!(
            "{} rows would be deleted from {} at once; the limit is {}. If that is meant, set the annotation {CONFIRM_DELETES_ANNOTATION}: \"{}\" on the Firewall.",
            self.deletes, self.policy.firewall, self.policy.max_deletes_per_batch, self.deletes
        )
    }
}

/// The asks of one kind and what becomes of them.
struct Kind<'a, R: Row> {
    asked: Vec<Asked<'a, R>>,
    acts: Vec<Act>,
    deletes: Vec<(usize, usize, String)>,
    handed: Vec<(usize, usize)>,
    holders: Vec<Holder>,
    items: Vec<Item>,
}

impl<'a, R: Row> Kind<'a, R> {
    fn asked(
        asks: Vec<&'a Ask>,
        policy: &Policy,
        want: impl Fn(&Ask) -> Result<R, (Reason, String)>,
    ) -> Vec<Asked<'a, R>> {
        let limit = R::KIND.description_limit();
        let one = |ask: &'a Ask| {
            let mark = Mark::of(&policy.installation, &ask.owner, limit);
            // The row of an object that goes is not looked at: its spec may be nonsense by now.
            let want = match ask.goal {
                Goal::Present => want(ask),
                Goal::Absent | Goal::Released => Err((Reason::Deleting, String::new())),
            };
            let want = want.map(|mut row| {
                row.set_text(mark.fit(row.text(), limit));
                row
            });
            Asked { ask, want, mark }
        };
        asks.into_iter().map(one).collect()
    }

    fn keyed(
        asks: Vec<&'a Ask>,
        rows: &[&Seen<R>],
        policy: &Policy,
        want: impl Fn(&Ask) -> Result<R, (Reason, String)>,
    ) -> Self {
        let registry = Registry::new(&policy.installation, &asks, |ask| match R::KIND {
            RowKind::VirtualIp => vec![uniqid(&policy.installation, &ask.owner, 0)],
            _ => Vec::new(),
        });
        let asked = Self::asked(asks.clone(), policy, want);
        let Matching { acts, deletes, handed, holders } = match_keyed(&asked, rows, &registry, policy);
        Self { asked, acts, deletes, handed, holders, items: Vec::new() }
    }

    fn asked_owners(&self) -> Vec<Owner> {
        self.asked.iter().map(|one| one.ask.owner.clone()).collect()
    }

    /// How many rows would go.
    fn deletes(&self) -> usize {
        self.deletes.iter().filter(|(n, _, _)| !self.asked[*n].ask.held).count()
    }

    /// What is written for a table without an order.
    fn work(
        &self,
        rows: &[&Seen<R>],
        no_deletes: bool,
        body: impl Fn(usize, &R, &mut BTreeSet<String>) -> super::Raw,
    ) -> Work {
        let mut work = Work::default();
        let mut taken: BTreeSet<String> = rows.iter().filter_map(|seen| seen.witness.clone()).collect();
        for (n, one) in self.asked.iter().enumerate().filter(|(_, one)| !one.ask.held) {
            let Ok(want) = &one.want else { continue };
            match &self.acts[n] {
                Act::Create(_) => work.creates.push(NewRow {
                    ask: n,
                    key: want.key().to_string(),
                    body: body(n, want, &mut taken),
                }),
                Act::Change(at, changes, _) => work.updates.push(Update {
                    ask: n,
                    at: *at,
                    key: want.key().to_string(),
                    fields: changes.fields.clone(),
                }),
                Act::Same | Act::Let | Act::Refuse(..) => {}
            }
        }
        for (n, at, _) in self.deletes.iter().filter(|(n, _, _)| !no_deletes && !self.asked[*n].ask.held) {
            let key = rows[*at].key.as_ref().map_or_else(|| rows[*at].called(), ToString::to_string);
            work.removals.push(Removal { ask: *n, at: *at, key });
        }
        work
    }

    fn say(
        &self,
        plan: &mut Plan,
        chain: &Chain,
        limit: &Limit<'_>,
        subsystem: Subsystem,
        unapplied: &BTreeSet<Subsystem>,
    ) {
        let said = self
            .acts
            .iter()
            .map(|act| match act {
                Act::Change(_, _, sentence) | Act::Create(sentence) => vec![sentence.clone()],
                Act::Same | Act::Let | Act::Refuse(..) => Vec::new(),
            })
            .collect::<Vec<_>>();
        self.say_all(plan, chain, limit, &said, subsystem, unapplied);
    }

    fn say_all(
        &self,
        plan: &mut Plan,
        chain: &Chain,
        limit: &Limit<'_>,
        said: &[Vec<String>],
        subsystem: Subsystem,
        unapplied: &BTreeSet<Subsystem>,
    ) {
        let mut going: Vec<Vec<String>> = vec![Vec::new(); self.asked.len()];
        for (n, _, sentence) in &self.deletes {
            going[*n].push(sentence.clone());
        }
        let mut given: Vec<Vec<usize>> = vec![Vec::new(); self.asked.len()];
        for (from, to) in &self.handed {
            given[*from].push(*to);
        }
        for (n, one) in self.asked.iter().enumerate() {
            let owner = &one.ask.owner;
            let verdict = match &self.acts[n] {
                Act::Refuse(reason, message) => {
                    Verdict::Refused { reason: *reason, message: message.clone() }
                }
                _ if one.ask.goal == Goal::Released => Verdict::Gone,
                _ if limit.refused && !going[n].is_empty() && !one.ask.held => {
                    Verdict::Refused { reason: Reason::TooManyDeletes, message: limit.message() }
                }
                _ => {
                    let mut actions = said[n].clone();
                    actions.append(&mut going[n]);
                    let mut steps = chain.of(owner);
                    if one.ask.goal == Goal::Absent {
                        for to in &given[n] {
                            let other = &self.asked[*to].ask.owner;
                            actions.push(format!("hand its {} over to {other}", R::NOUN));
                            steps.extend(chain.of(other));
                        }
                    }
                    // A row that is written or removed but not in force, or still in force, is not done.
                    if actions.is_empty() && unapplied.contains(&subsystem) && !one.ask.held {
                        actions.push(format!("apply the {subsystem}"));
                        steps.extend(chain.apply_of(subsystem));
                    }
                    steps.sort_unstable();
                    steps.dedup();
                    match (actions.is_empty(), one.ask.goal) {
                        (false, _) => Verdict::Change { actions, steps },
                        (true, Goal::Present) => Verdict::InSync,
                        (true, _) => Verdict::Gone,
                    }
                }
            };
            plan.verdicts.insert(owner.clone(), verdict);
        }
    }

    fn count(&self, plan: &mut Plan, rows: &[&Seen<R>], key: impl Fn(&Seen<R>) -> Option<String>) {
        let mut count = Count::default();
        for (seen, holder) in rows.iter().zip(&self.holders) {
            match holder {
                Holder::Foreign => count.foreign += 1,
                Holder::Ours(..) => count.owned += 1,
                Holder::Orphan => {
                    count.owned += 1;
                    plan.orphans.push(Orphan {
                        kind: R::KIND,
                        key: key(seen).unwrap_or_default(),
                        description: string(&seen.raw, "descr"),
                    });
                }
            }
        }
        plan.counts.insert(R::KIND, count);
    }
}

impl<'a> Kind<'a, RuleRow> {
    fn rules(asks: Vec<&'a Ask>, observed: &Observed, policy: &Policy) -> Self {
        let registry = Registry::new(&policy.installation, &asks, |ask| match &ask.row {
            Desired::Rule(row) => row
                .interfaces
                .iter()
                .map(|interface| tracker(&policy.installation, &ask.owner, interface, 0).to_string())
                .collect(),
            _ => Vec::new(),
        });
        let asked = Self::asked(asks.clone(), policy, |ask| match &ask.row {
            Desired::Rule(row) => match locks_out(row, observed, policy) {
                Some(message) => Err((Reason::WouldLockOut, message)),
                None => Ok(row.clone()),
            },
            row => Err(not_this_kind(row)),
        });
        let RuleMatching { acts, items, deletes, holders } = match_rules(&asked, &observed.rules, &registry);
        Self { asked, acts, deletes, handed: Vec::new(), holders, items }
    }

    fn say_rules(
        &self,
        plan: &mut Plan,
        chain: &Chain,
        limit: &Limit<'_>,
        said: &[Vec<String>],
        unapplied: &BTreeSet<Subsystem>,
    ) {
        self.say_all(plan, chain, limit, said, Subsystem::Filter, unapplied);
    }
}

fn dhcp_steps(dhcp: &Kind<'_, DhcpRow>, observed: &Observed, no_deletes: bool, policy: &Policy) -> Steps {
    let all: Vec<&Seen<DhcpRow>> = observed.dhcp.values().flat_map(|server| &server.static_maps).collect();
    let work = dhcp.work(&all, no_deletes, |n, row, _| keyed_body(&dhcp.asked[n], row));
    // One list for each interface; the rows were numbered through all of them.
    let mut split: BTreeMap<&str, (Work, usize)> = BTreeMap::new();
    let mut start = 0;
    let mut starts: Vec<(usize, &str)> = Vec::new();
    for (interface, server) in &observed.dhcp {
        split.insert(interface, (Work::default(), start));
        starts.push((start, interface));
        start += server.static_maps.len();
    }
    let interface_of = |at: usize| {
        let after = starts.partition_point(|(start, _)| *start <= at);
        starts.get(after.wrapping_sub(1)).map(|(_, interface)| *interface)
    };
    for new in work.creates {
        let Ok(row) = &dhcp.asked[new.ask].want else { continue };
        if let Some((work, _)) = split.get_mut(row.interface.as_str()) {
            work.creates.push(new);
        }
    }
    for mut update in work.updates {
        if let Some((work, start)) = interface_of(update.at).and_then(|interface| split.get_mut(interface)) {
            update.at -= *start;
            work.updates.push(update);
        }
    }
    for mut removal in work.removals {
        if let Some((work, start)) = interface_of(removal.at).and_then(|interface| split.get_mut(interface)) {
            removal.at -= *start;
            work.removals.push(removal);
        }
    }
    let mut steps = Steps::default();
    for (interface, (work, _)) in split {
        let rows: Vec<&Seen<DhcpRow>> = observed.dhcp[interface].static_maps.iter().collect();
        let more = work.steps(&Table::StaticMaps(interface.to_owned()), &rows, policy);
        steps.first.extend(more.first);
        steps.last.extend(more.last);
    }
    steps
}

/// The steps for the rules, what is said of each ask, and the owner of a rule that cannot go because it is the last.
fn rule_steps(
    rules: &Kind<'_, RuleRow>,
    observed: &Observed,
    no_deletes: bool,
    policy: &Policy,
) -> (Steps, Vec<Vec<String>>, Option<Owner>) {
    let rows = &observed.rules;
    let items = &rules.items;
    let held = |n: usize| rules.asked[n].ask.held;
    let mut removals: Vec<(usize, usize)> = Vec::new();
    if !no_deletes {
        removals.extend(rules.deletes.iter().filter(|(n, _, _)| !held(*n)).map(|(n, at, _)| (*n, *at)));
    }
    let creates = items.iter().filter(|item| item.seen.is_none() && !held(item.ask)).count();
    let mut kept_rule = None;
    if !removals.is_empty() && rows.len() + creates == removals.len() {
        kept_rule = removals.pop().map(|(n, _)| rules.asked[n].ask.owner.clone());
    }
    let mut gone = vec![false; rows.len()];
    for (_, at) in &removals {
        gone[*at] = true;
    }
    let active: Vec<bool> = items.iter().map(|item| !held(item.ask)).collect();
    let list = arrange(items, rows, &rules.holders, |item| !held(item.ask), &gone);
    let nothing_gone = vec![false; rows.len()];
    let placed_only = arrange(items, rows, &rules.holders, |item| !held(item.ask), &nothing_gone);

    let mut taken: BTreeSet<u32> = rows.iter().filter_map(|seen| tracker_of(&seen.raw)).collect();
    let trackers: Vec<Option<u32>> = items
        .iter()
        .zip(&active)
        .map(|(item, active)| {
            (*active && item.seen.is_none()).then(|| {
                let owner = &rules.asked[item.ask].ask.owner;
                let mut n = 0;
                loop {
                    let candidate = tracker(&policy.installation, owner, &item.interface, n);
                    if taken.insert(candidate) {
                        return candidate;
                    }
                    n += 1;
                }
            })
        })
        .collect();
    let names: Vec<String> = items
        .iter()
        .map(|item| format!("{} on {}", rules.asked[item.ask].ask.owner, item.interface))
        .collect();

    // What is held back is spoken of as if it were not.
    let if_not_held = if active.iter().all(|active| *active) {
        Vec::new()
    } else {
        arrange(items, rows, &rules.holders, |_| true, &gone)
    };
    let placed = list.iter().map(|slot| (slot, true)).chain(if_not_held.iter().map(|slot| (slot, false)));
    let mut said: Vec<Vec<String>> = vec![Vec::new(); rules.asked.len()];
    for (slot, real) in placed {
        if let Slot::Item(n) = slot
            && active[*n] == real
        {
            let item = &items[*n];
            said[item.ask].push(match item.seen {
                None => format!("create rule {}", item.row.sentence()),
                Some(_) => format!("move rule on {} to its place by priority", item.interface),
            });
        }
    }
    for item in items.iter().filter(|item| item.seen.is_some() && !item.changes.fields.is_empty()) {
        said[item.ask].push(if item.changes.spoken.is_empty() {
            format!("mark rule on {} as {}'s", item.interface, rules.asked[item.ask].ask.owner)
        } else {
            format!("change rule on {}: {}", item.interface, item.changes.spoken.join(", "))
        });
    }
    let removals = removals
        .into_iter()
        .map(|(n, at)| {
            let key = rows[at].key.clone().unwrap_or_else(|| "no one interface".to_owned());
            Removal { ask: n, at, key: format!("{} on {key}", rules.asked[n].ask.owner) }
        })
        .collect();
    let work = RuleWork {
        items,
        active: &active,
        trackers: &trackers,
        names: &names,
        list,
        placed: placed_only,
        removals,
    };
    (work.steps(rows, policy), said, kept_rule)
}

fn vip_body(
    one: &Asked<'_, VipRow>,
    row: &VipRow,
    taken: &mut BTreeSet<String>,
    policy: &Policy,
) -> super::Raw {
    let mut body = keyed_body(one, row);
    let mut n = 0;
    let chosen = loop {
        let candidate = uniqid(&policy.installation, &one.ask.owner, n);
        if taken.insert(candidate.clone()) {
            break candidate;
        }
        n += 1;
    };
    body.insert("uniqid".into(), serde_json::Value::String(chosen));
    body
}

fn keyed_body<R: Row>(one: &Asked<'_, R>, row: &R) -> super::Raw {
    new_body(row.fields(), one.mark.describe(row.text(), R::KIND.description_limit()))
}

fn not_this_kind(row: &Desired) -> (Reason, String) {
    match row {
        Desired::Nothing(reason, message) => (*reason, message.clone()),
        _ => (Reason::Invalid, "the object asks for a row of another kind.".to_owned()),
    }
}

/// The package knows the interfaces of such rows by name, and refuses others without saying which there are.
fn on_interface<R>(
    row: R,
    interface: &str,
    observed: &Observed,
    policy: &Policy,
) -> Result<R, (Reason, String)> {
    if observed.interfaces.is_empty() || observed.interfaces.iter().any(|one| one.name == interface) {
        return Ok(row);
    }
    let names: Vec<&str> = observed.interfaces.iter().map(|one| one.name.as_str()).collect();
    let message = format!(
        "spec.interface: {} has no interface {interface:?}; it has {}.",
        policy.firewall,
        names.join(", ")
    );
    Err((Reason::Invalid, message))
}

fn served(row: &DhcpRow, observed: &Observed, policy: &Policy) -> Result<DhcpRow, (Reason, String)> {
    if observed.dhcp.contains_key(&row.interface) {
        return Ok(row.clone());
    }
    let names: Vec<&str> = observed.dhcp.keys().map(String::as_str).collect();
    let has = if names.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has one on {}", names.join(", "))
    };
    let message =
        format!("spec.interface: {} has no DHCP server on {:?}; {has}.", policy.firewall, row.interface);
    Err((Reason::Invalid, message))
}

/// The package demands a password for a new CARP address, which the object cannot carry.
fn without_carp_creation<'a>(mut vip: Kind<'a, VipRow>, asks: &[&Ask], policy: &Policy) -> Kind<'a, VipRow> {
    for (n, ask) in asks.iter().enumerate() {
        let carp = matches!(&ask.row, Desired::Vip(row) if row.mode == VipMode::CARP);
        if carp && matches!(vip.acts[n], Act::Create(_)) {
            let message = format!(
                "spec.mode: a new CARP address needs a password, which a VirtualIP cannot carry. Make it on {} by hand and set spec.adopt: true.",
                policy.firewall
            );
            vip.acts[n] = Act::Refuse(Reason::Invalid, message);
        }
    }
    vip
}
