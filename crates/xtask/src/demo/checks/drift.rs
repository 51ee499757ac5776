//! What people do by hand: a row deleted, one changed, one of their own made, a guest killed. Ours are put right within
//! one interval and once; theirs is left alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::{INTERVAL, Outside, REPAIR, Report, took, until};
use crate::demo::stages::Demo;

const MAPPING: &str = "/api/v2/firewall/nat/one_to_one/mapping";
const RULE: &str = "/api/v2/firewall/rule";

pub(super) async fn run(demo: &mut Demo, report: &mut Report) -> Result<()> {
    rows(demo, report).await?;
    guest(demo, report).await
}

async fn rows(demo: &mut Demo, report: &mut Report) -> Result<()> {
    let before = Outside::look(&demo.endpoints).await?;
    let events = events(demo).await?;
    let (deleted, lost) = before.own_row("one_to_one", 7).context("no mapping of ours on the firewall")?;
    let (changed, rule) = before.own_row("rules", 11).context("no rule of ours on the firewall")?;
    let (lost, rule) = (owner(lost), owner(rule));

    let pfsense = &demo.endpoints.pfsense;
    pfsense.pfsense(Method::DELETE, &format!("{MAPPING}?id={deleted}&apply=true"), None).await?;
    let change = json!({"id": changed, "disabled": true, "apply": true});
    pfsense.pfsense(Method::PATCH, RULE, Some(change)).await?;
    let foreign = json!({
        "interface": "wan", "external": "198.51.100.99", "source": "192.168.1.99", "destination": "any",
        "descr": "made by hand", "apply": true,
    });
    pfsense.pfsense(Method::POST, MAPPING, Some(foreign)).await?;
    let theirs = Outside::look(&demo.endpoints).await?.foreign();

    let content = before.content();
    let within = INTERVAL + REPAIR;
    let repaired =
        until(within, async || Ok(Outside::look(&demo.endpoints).await?.content() == content)).await?;
    let now = Outside::look(&demo.endpoints).await?.content();
    let mut wrong: Vec<String> = content.difference(&now).map(|row| format!("was: {row}")).collect();
    wrong.extend(now.difference(&content).map(|row| format!("is: {row}")));
    report.nothing_wrong(
        &wrong,
        format!("drift: a row deleted and one changed by hand are as they were, {}", took(repaired, within)),
    );
    // Another round of looking, in which nothing more may happen.
    tokio::time::sleep(INTERVAL).await;
    let after = Outside::look(&demo.endpoints).await?;
    let wrong = after.foreign().differs(&theirs);
    report.nothing_wrong(
        &wrong,
        format!("drift: a row made by hand is left alone: {}", after.foreign().count()),
    );
    let ours = before.own_rows() == after.own_rows() && after.content() == content;
    report.check(ours, format!("drift: and nothing else happened: {}", after.own()));

    let told = new_events(&events, &self::events(demo).await?);
    one_each(report, &told, &[("NatMapping", &lost), ("FirewallRule", &rule)]);
    Ok(())
}

async fn guest(demo: &mut Demo, report: &mut Report) -> Result<()> {
    let before = Outside::look(&demo.endpoints).await?;
    let events = events(demo).await?;
    let guest = before.own_guests().find(|guest| guest.running).context("no guest of ours runs")?.clone();
    let deployment = guest.name.rsplit_once('-').map_or(guest.name.as_str(), |(name, _)| name).to_owned();
    let began = Instant::now();
    demo.endpoints.proxmox.sim_post(&format!("proxmox/guests/{}/kill", guest.vmid), Value::Null).await?;
    let within = INTERVAL + REPAIR;
    let running = until(within, async || {
        let now = Outside::look(&demo.endpoints).await?;
        Ok(now.guests.contains(&guest))
    })
    .await?;
    report.check(
        running.is_some(),
        format!(
            "drift: guest {} ({}), killed by hand, runs again, {}",
            guest.name,
            guest.vmid,
            took(running, within)
        ),
    );
    // Its Deployment is Ready again, and the events have been written.
    let ready = until(INTERVAL, async || {
        Ok(began.elapsed() > Duration::from_secs(5)
            && demo.world.look().iter().all(|kind| kind.waiting().is_none()))
    })
    .await?;
    report.check(ready.is_some(), "drift: all objects are Ready after it");
    let after = Outside::look(&demo.endpoints).await?;
    let same = after.own_guests().eq(before.own_guests());
    report.check(same, format!("drift: the guests are the same as before: {}", after.own()));
    let told = new_events(&events, &self::events(demo).await?);
    one_each(report, &told, &[("Deployment", &deployment)]);
    Ok(())
}

/// Each of these objects has been told of once, and no other.
fn one_each(report: &mut Report, told: &BTreeMap<(String, String), Vec<String>>, expected: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (kind, name) in expected {
        let count = told.get(&((*kind).to_owned(), (*name).to_owned())).map_or(0, Vec::len);
        if count != 1 {
            wrong.push(format!("{kind} {name}: {count} events"));
        }
    }
    for ((kind, name), notes) in told {
        if wrong.is_empty() && expected.contains(&(kind, name)) {
            continue;
        }
        wrong.extend(notes.iter().map(|note| format!("{kind} {name}: {note}")));
    }
    let count: usize = told.values().map(Vec::len).sum();
    let names: Vec<String> = expected.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    report
        .nothing_wrong(&wrong, format!("drift: one event each for {}; {count} in all", names.join(" and ")));
}

/// The name of the object that a row is of, out of its mark: `… [skyy:INSTALLATION/NAMESPACE/NAME#…]`.
fn owner(row: &Value) -> String {
    let mark = row["descr"].as_str().unwrap_or_default().rsplit("[skyy:").next().unwrap_or_default();
    let path = mark.split(['#', ']']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// How often each event was told so far, with the object it is of.
async fn events(demo: &Demo) -> Result<BTreeMap<String, (String, String, String, i32)>> {
    let api: Api<Event> = Api::all(demo.world.client().clone());
    let list = api.list(&ListParams::default()).await.context("listing the events")?;
    let mut events = BTreeMap::new();
    for event in list {
        let object = event.regarding.unwrap_or_default();
        let count = event.series.as_ref().map_or(1, |series| series.count);
        let note = format!("{}: {}", event.reason.unwrap_or_default(), event.note.unwrap_or_default());
        let about = (object.kind.unwrap_or_default(), object.name.unwrap_or_default(), note, count);
        events.insert(event.metadata.uid.unwrap_or_default(), about);
    }
    Ok(events)
}

fn new_events(
    before: &BTreeMap<String, (String, String, String, i32)>,
    after: &BTreeMap<String, (String, String, String, i32)>,
) -> BTreeMap<(String, String), Vec<String>> {
    let mut new: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (uid, (kind, name, note, count)) in after {
        let seen = before.get(uid).map_or(0, |(.., count)| *count);
        for _ in seen..*count {
            new.entry((kind.clone(), name.clone())).or_default().push(note.clone());
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_object() {
        let row = json!({"descr": "pool public [skyy:6e0af05c/tenants/public-198-18-0-102#7c2e4b2b]"});
        assert_eq!(owner(&row), "public-198-18-0-102");
        assert_eq!(owner(&json!({"descr": "[skyy:a/b/c]"})), "c");
    }

    #[test]
    fn a_series_that_goes_on_counts_as_what_is_new_of_it() {
        let event = |count| (String::from("A"), String::from("x"), String::from("R: said"), count);
        let before = BTreeMap::from([(String::from("1"), event(2))]);
        let after = BTreeMap::from([(String::from("1"), event(4)), (String::from("2"), event(1))]);
        let new = new_events(&before, &after);
        assert_eq!(new[&(String::from("A"), String::from("x"))].len(), 3);
        assert!(new_events(&after, &after).is_empty());
    }
}
