//! What stands on the simulated endpoints, taken from their states: rows, guests, volumes, pools; whose it is, and
//! whether anything is there twice or was left behind.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::demo::endpoints::Endpoints;
use crate::demo::manifests::Manifests;

/// The tables of the firewall that are looked at, each with the kind whose rows are in it and the field that must
/// not be there twice.
const TABLES: [(&str, &str, &str); 4] = [
    ("virtual_ips", "VirtualIP", "subnet"),
    ("one_to_one", "NatMapping", "external"),
    ("static_mappings", "DhcpReservation", "ipaddr"),
    ("rules", "FirewallRule", "descr"),
];
/// How a mark of ours begins, wherever it stands.
const MARK: &str = "skyy:";
/// What pfSense's API package says anew of every rule of a list that is written as a whole, whoever's rule it is: who
/// wrote it and when, and an empty tag for none.
const SAID_ANEW: [&str; 5] = ["created_time", "created_by", "updated_time", "updated_by", "tag"];

/// All of it at one moment.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    tables: BTreeMap<&'static str, Vec<Value>>,
    unapplied: Vec<String>,
    /// Every guest and template.
    pub(super) guests: Vec<Guest>,
    volumes: Vec<String>,
    pools: Vec<Value>,
}

/// A guest on the simulated hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Guest {
    /// Its number.
    pub(super) vmid: u32,
    /// Its name.
    pub(super) name: String,
    /// Where it is.
    pub(super) node: String,
    /// Whether it runs.
    pub(super) running: bool,
    /// Whether it is only there to be cloned.
    pub(super) template: bool,
    /// As they are kept.
    pub(super) tags: String,
    /// As it is kept.
    pub(super) description: String,
}

/// What belongs to others, to the letter and in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign(BTreeMap<&'static str, Vec<String>>);

impl Outside {
    /// Looks; no call is counted.
    pub(super) async fn look(endpoints: &Endpoints) -> Result<Self> {
        let firewall = endpoints.pfsense.sim("state").await?;
        let ceph = endpoints.ceph.sim("state").await?;
        let guests = endpoints.proxmox.sim("proxmox/guests").await?;
        let volumes = endpoints.proxmox.sim("proxmox/volumes").await?;
        let running = &firewall["running"];
        let mut tables = BTreeMap::new();
        let mut unapplied: Vec<String> = texts(&running["dirty"]);
        for (table, ..) in TABLES {
            let rows = rows(&running["config"][table]);
            if descriptions(&rows) != descriptions(&self::rows(&running["loaded"][table])) {
                unapplied.push(table.to_owned());
            }
            tables.insert(table, rows);
        }
        let mut guests: Vec<Guest> = serde_json::from_value(guests).context("reading the guests")?;
        guests.sort();
        Ok(Self {
            tables,
            unapplied,
            guests,
            volumes: texts(&volumes),
            pools: ceph["cluster"]["pools"]
                .as_object()
                .map(|pools| pools.values().cloned().collect())
                .unwrap_or_default(),
        })
    }

    /// The rows of a table, in their order; all reservations in one list.
    pub(super) fn rows(&self, table: &str) -> &[Value] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// The first row of ours in a table, with its position.
    pub(super) fn own_row(&self, table: &str, nth: usize) -> Option<(usize, &Value)> {
        self.rows(table).iter().enumerate().filter(|(_, row)| is_ours(row)).nth(nth)
    }

    /// The guests that are ours.
    pub(super) fn own_guests(&self) -> impl Iterator<Item = &Guest> {
        self.guests.iter().filter(|guest| guest.description.contains(MARK) || guest.tags.contains("skyy-"))
    }

    /// The pools that are ours, by name.
    pub(super) fn own_pools(&self) -> BTreeSet<String> {
        let own = self.pools.iter().filter(|pool| is_ours(pool));
        own.filter_map(|pool| pool["name"].as_str()).map(str::to_owned).collect()
    }

    /// How many rows are ours.
    pub(super) fn own_rows(&self) -> usize {
        self.tables.values().flatten().filter(|row| is_ours(row)).count()
    }

    /// What each row of ours says, to compare two ways to the same end. A field without a value, an empty one and an
    /// empty list say the same: nothing.
    pub(super) fn content(&self) -> BTreeSet<String> {
        let tables = self.tables.iter();
        let of = |(table, rows): (&&str, &Vec<Value>)| -> Vec<String> {
            rows.iter()
                .filter(|row| is_ours(row))
                .map(|row| format!("{table} {}", terse(plain(row))))
                .collect()
        };
        tables.flat_map(of).collect()
    }

    /// What is not ours.
    pub(super) fn foreign(&self) -> Foreign {
        let mut all = BTreeMap::new();
        for (table, rows) in &self.tables {
            let others = rows.iter().filter(|row| !is_ours(row)).map(|row| plain(row).to_string());
            all.insert(*table, others.collect());
        }
        let own: BTreeSet<u32> = self.own_guests().map(|guest| guest.vmid).collect();
        let others = self.guests.iter().filter(|guest| !own.contains(&guest.vmid));
        all.insert("guests", others.map(|guest| format!("{guest:?}")).collect());
        let volumes =
            self.volumes.iter().filter(|volume| vmid_of(volume).is_none_or(|vmid| !own.contains(&vmid)));
        all.insert("volumes", volumes.cloned().collect());
        let pools = self.pools.iter().filter(|pool| !is_ours(pool)).map(settled);
        all.insert("pools", pools.collect());
        Foreign(all)
    }

    /// Everything in which this is not exactly what the manifests ask for beside what was there before.
    pub(super) fn wrong(&self, manifests: &Manifests, before: &Foreign) -> Vec<String> {
        let mut wrong = self.foreign().differs(before);
        let expected = manifests.expected();
        for (table, kind, key) in TABLES {
            let own: Vec<&Value> = self.rows(table).iter().filter(|row| is_ours(row)).collect();
            let expected = expected.get(kind).copied().unwrap_or_default();
            if own.len() != expected {
                wrong.push(format!("{} rows of ours in {table}, not {expected}", own.len()));
            }
            wrong.extend(
                twice(own.iter().filter_map(|row| row[key].as_str()))
                    .map(|key| format!("{key} twice in {table}")),
            );
        }
        wrong.extend(self.unapplied.iter().map(|what| format!("{what} written but not applied")));

        let own: Vec<&Guest> = self.own_guests().collect();
        if own.len() != manifests.guests() {
            wrong.push(format!("{} guests of ours, not {}", own.len(), manifests.guests()));
        }
        wrong.extend(
            twice(own.iter().map(|guest| guest.name.as_str())).map(|name| format!("guest {name} twice")),
        );
        wrong.extend(
            own.iter()
                .filter(|guest| !guest.running)
                .map(|guest| format!("guest {} does not run", guest.name)),
        );
        let pools = self.own_pools();
        let wanted: BTreeSet<String> = manifests.ceph_pools().into_iter().map(str::to_owned).collect();
        if pools != wanted {
            wrong.push(format!("pools of ours are {pools:?}, not {wanted:?}"));
        }
        wrong
    }

    /// In short, how much of it is ours.
    pub(super) fn own(&self) -> String {
        format!(
            "{} rows, {} guests, {} pools of ours",
            self.own_rows(),
            self.own_guests().count(),
            self.own_pools().len()
        )
    }
}

impl Foreign {
    /// Where it is not what it was.
    pub(super) fn differs(&self, before: &Self) -> Vec<String> {
        let mut differs = Vec::new();
        for (what, then) in &before.0 {
            let now = self.0.get(what).map_or(&[][..], Vec::as_slice);
            let gone = then.iter().filter(|one| !now.contains(one));
            let new = now.iter().filter(|one| !then.contains(one));
            differs.extend(gone.map(|one| format!("of others, gone or changed in {what}: {one}")));
            differs.extend(new.map(|one| format!("of nobody, new in {what}: {one}")));
            if differs.is_empty() && now != then.as_slice() {
                differs.push(format!("of others, in another order in {what}"));
            }
        }
        differs
    }

    /// In short, how much it is.
    pub(super) fn count(&self) -> String {
        let count = |what: &str| self.0.get(what).map_or(0, Vec::len);
        let rows: usize = TABLES.iter().map(|(table, ..)| count(table)).sum();
        format!(
            "{rows} rows, {} guests, {} volumes, {} pools of others",
            count("guests"),
            count("volumes"),
            count("pools")
        )
    }
}

fn is_ours(value: &Value) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| text.contains(MARK));
    text(&value["descr"]) || value["applications"].as_array().is_some_and(|all| all.iter().any(text))
}

/// Without what a cluster counts up by itself.
fn settled(pool: &Value) -> String {
    let mut pool = pool.clone();
    if let Some(fields) = pool.as_object_mut() {
        fields.remove("changed_epoch");
    }
    pool.to_string()
}

/// A row without what is said anew of it by others.
fn plain(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.retain(|name, value| {
            !SAID_ANEW.contains(&name.as_str())
                || (name == "tag" && value.as_str().is_some_and(|tag| !tag.is_empty()))
        });
    }
    row
}

/// A row without the fields that say nothing.
fn terse(mut row: Value) -> Value {
    if let Some(fields) = row.as_object_mut() {
        let nothing = |value: &Value| {
            *value == Value::Null || *value == "" || value.as_array().is_some_and(Vec::is_empty)
        };
        fields.retain(|_, value| !nothing(value));
    }
    row
}

/// A table, or the tables of all interfaces in one.
fn rows(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(rows) => rows.clone(),
        Value::Object(tables) => tables.values().flat_map(rows).collect(),
        _ => Vec::new(),
    }
}

fn descriptions(rows: &[Value]) -> Vec<&str> {
    let mut all: Vec<&str> = rows.iter().filter_map(|row| row["descr"].as_str()).collect();
    all.sort_unstable();
    all
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `host/storage:vm-100-disk-0` → 100.
fn vmid_of(volume: &str) -> Option<u32> {
    let name = volume.rsplit(':').next()?;
    name.split('-').nth(1)?.parse().ok()
}

fn twice<'a>(keys: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for key in keys {
        *seen.entry(key).or_default() += 1;
    }
    seen.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(key, _)| key.to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outside(vips: Value, guests: &[(u32, &str, &str)], volumes: &[&str]) -> Outside {
        Outside {
            tables: BTreeMap::from([("virtual_ips", rows(&vips))]),
            unapplied: Vec::new(),
            guests: guests
                .iter()
                .map(|(vmid, name, description)| Guest {
                    vmid: *vmid,
                    name: (*name).to_owned(),
                    node: String::from("n"),
                    running: true,
                    template: false,
                    tags: String::new(),
                    description: (*description).to_owned(),
                })
                .collect(),
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
            pools: Vec::new(),
        }
    }

    #[test]
    fn a_volume_without_a_guest_and_a_foreign_row_that_changed_are_seen() {
        let before =
            outside(json!([{"descr": "mail", "subnet": "a"}]), &[(101, "mail", "")], &["s:vm-101-disk-0"]);
        let after = outside(
            json!([{"descr": "mail", "subnet": "b"}, {"descr": "[skyy:x/y]", "subnet": "c"}]),
            &[(101, "mail", ""), (200, "web-0", "skyy:x/y")],
            &["s:vm-101-disk-0", "s:vm-200-disk-0", "n/local:vm-201-cloudinit"],
        );
        let differs = after.foreign().differs(&before.foreign());
        let [gone, new, volume] = differs.as_slice() else { panic!("{differs:?}") };
        assert!(gone.starts_with("of others, gone or changed in virtual_ips"), "{gone}");
        assert!(new.starts_with("of nobody, new in virtual_ips"), "{new}");
        assert!(volume.ends_with("n/local:vm-201-cloudinit"), "{volume}");
        assert_eq!(after.own(), "1 rows, 1 guests, 0 pools of ours");
        assert_eq!(before.foreign().differs(&before.foreign()), Vec::<String>::new());
    }

    #[test]
    fn a_stamp_is_no_change_and_an_order_is() {
        let rule = |descr: &str, time: u64| json!({"descr": descr, "updated_time": time});
        let before = outside(json!([rule("a", 1), rule("b", 1)]), &[], &[]).foreign();
        let stamped = outside(json!([rule("a", 2), rule("b", 2)]), &[], &[]).foreign();
        let turned = outside(json!([rule("b", 1), rule("a", 1)]), &[], &[]).foreign();
        assert_eq!(stamped.differs(&before), Vec::<String>::new());
        assert_eq!(turned.differs(&before), ["of others, in another order in virtual_ips"]);
    }

    #[test]
    fn what_is_there_twice_is_named() {
        assert_eq!(twice(["a", "b", "a", "c", "a"].into_iter()).collect::<Vec<_>>(), ["a"]);
    }
}
