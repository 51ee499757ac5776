//! A firewall in memory that behaves as the real package was seen to: ids are positions and shift, static mappings are
//! sorted by the text of their address, what must be unique is checked as text, some fields come back otherwise than
//! they were sent, and the traps are set (a virtual IP removed while another waits to be applied).
//!
//! For tests of the planner. It shares nothing with the planner but the calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Value, json};

use super::{Call, DhcpServer, Interface, Observed, Plan, Raw, Stale, Subsystem, Table};

/// The firewall.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) vips: Vec<Raw>,
    pub(super) nats: Vec<Raw>,
    pub(super) dhcp: BTreeMap<String, Vec<Raw>>,
    pub(super) rules: Vec<Raw>,
    /// Virtual IPs that wait to be applied, by position: so the package keeps them.
    waiting: BTreeSet<usize>,
    pub(super) unapplied: BTreeSet<Subsystem>,
    pub(super) applies: BTreeMap<Subsystem, usize>,
}

pub(super) fn object(value: Value) -> Raw {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

impl fmt::Debug for Model {
    /// One line a row: what it is, without what is empty and who wrote it when.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maps = self.dhcp.keys().cloned().map(Table::StaticMaps);
        for table in [Table::VirtualIps, Table::NatMappings, Table::Rules].into_iter().chain(maps) {
            for mut row in self.list(&table) {
                row.retain(|name, value| {
                    !crate::hash::is_empty(value)
                        && *value != json!(false)
                        && !name.starts_with("created")
                        && !name.starts_with("updated")
                });
                writeln!(f, "\n{table} {}", Value::Object(row))?;
            }
        }
        write!(f, "{:?}", self.unapplied)
    }
}

impl Model {
    /// Interfaces `wan`, `lan` and `opt3`, a DHCP server on the last two, and the rule that pfSense begins with.
    pub(super) fn new() -> Self {
        let mut model = Self::default();
        model.dhcp.insert("lan".into(), Vec::new());
        model.dhcp.insert("opt3".into(), Vec::new());
        model.rules.push(stored_rule(object(json!({
            "type": "pass", "interface": ["lan"], "ipprotocol": "inet", "protocol": null, "source": "lan",
            "destination": "any", "descr": "Default allow LAN to any rule", "tracker": 100_000_101
        }))));
        model
    }

    pub(super) fn interfaces() -> Vec<Interface> {
        [("wan", "198.51.100.2/24", true), ("lan", "192.168.1.1/24", false), ("opt3", "10.20.0.1/16", false)]
            .into_iter()
            .map(|(name, address, gateway)| Interface {
                name: name.into(),
                description: name.to_uppercase(),
                addresses: vec![address.parse().unwrap()],
                gateway,
            })
            .collect()
    }

    pub(super) fn observe(&self) -> Observed {
        let dhcp = self.dhcp.keys().map(|interface| {
            let server =
                DhcpServer::from_raw(interface, Vec::new(), self.list(&Table::StaticMaps(interface.clone())));
            (interface.clone(), server)
        });
        Observed {
            interfaces: Self::interfaces(),
            unapplied: self.unapplied.clone(),
            ..Observed::from_raw(
                self.list(&Table::VirtualIps),
                self.list(&Table::NatMappings),
                dhcp.collect(),
                self.list(&Table::Rules),
            )
        }
    }

    /// A list as a GET answers it, ids included.
    pub(super) fn list(&self, table: &Table) -> Vec<Raw> {
        let rows = match table {
            Table::VirtualIps => &self.vips,
            Table::NatMappings => &self.nats,
            Table::StaticMaps(interface) => &self.dhcp[interface],
            Table::Rules => &self.rules,
        };
        rows.iter()
            .enumerate()
            .map(|(id, row)| {
                let mut row = row.clone();
                row.insert("id".into(), json!(id));
                row
            })
            .collect()
    }

    fn rows(&mut self, table: &Table) -> &mut Vec<Raw> {
        match table {
            Table::VirtualIps => &mut self.vips,
            Table::NatMappings => &mut self.nats,
            Table::StaticMaps(interface) => self.dhcp.get_mut(interface).expect("a DHCP server"),
            Table::Rules => &mut self.rules,
        }
    }

    /// Carries a plan out, looking at the firewall after every step.
    pub(super) fn run(&mut self, plan: &Plan, mut look: impl FnMut(&Self)) -> Result<(), Stale> {
        for step in &plan.steps {
            let now = step.table().map(|table| self.list(table)).unwrap_or_default();
            let given: &[Raw] = if step.needs().is_some() { &now } else { &[] };
            let call = step.resolve(given)?;
            self.call(&call);
            look(self);
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) {
        match call {
            Call::Create { table, body } => {
                let mut body = body.clone();
                let placement = body.shift_remove("placement");
                let row = stored(table, body);
                let rows = self.rows(table);
                let at = placement.map_or(rows.len(), |at| usize::try_from(at.as_u64().unwrap()).unwrap());
                assert!(at <= rows.len(), "placement past the end");
                rows.insert(at, row);
                self.written(table, Some(at));
            }
            Call::Update { table, id, body } => {
                assert!(!body.contains_key("uniqid") && !body.contains_key("tracker"), "not editable");
                assert!(!body.contains_key("floating"), "not editable");
                let rows = self.rows(table);
                let mut row = rows.remove(*id);
                let mut body = body.clone();
                let at = body
                    .shift_remove("placement")
                    .map_or(*id, |at| usize::try_from(at.as_u64().unwrap()).unwrap());
                assert!(at <= rows.len(), "placement past the end");
                row.extend(body);
                if *table == Table::Rules {
                    row.insert("updated_by".into(), json!("key@192.0.2.1 (API)"));
                }
                rows.insert(at, row);
                self.written(table, Some(at));
            }
            Call::Delete { table, id } => {
                if *table == Table::VirtualIps {
                    assert!(self.waiting.is_empty(), "the package would configure the wrong virtual IP");
                }
                let rows = self.rows(table);
                assert!(*table != Table::Rules || rows.len() > 1, "the last rule cannot be deleted");
                rows.remove(*id);
                self.written(table, None);
            }
            Call::Replace { table, rows } => {
                assert!(!rows.is_empty(), "an empty list wipes the table");
                assert!(*table != Table::VirtualIps, "not supported");
                for row in rows {
                    assert!(row.get("associated_rule_id").is_none_or(Value::is_null));
                    assert!(!row.contains_key("id"));
                }
                *self.rows(table) = rows.iter().cloned().map(|row| stored(table, row)).collect();
                self.written(table, None);
            }
            Call::Apply(subsystem) => {
                *self.applies.entry(*subsystem).or_default() += 1;
                self.unapplied.remove(subsystem);
                if *subsystem == Subsystem::VirtualIps {
                    self.waiting.clear();
                }
            }
        }
    }

    fn written(&mut self, table: &Table, at: Option<usize>) {
        self.unapplied.insert(table.subsystem());
        match table {
            Table::VirtualIps => {
                self.waiting.extend(at);
                unique(&self.vips, "subnet");
                unique(&self.vips, "uniqid");
            }
            Table::StaticMaps(interface) => {
                let rows = self.dhcp.get_mut(interface).unwrap();
                rows.sort_by_key(|row| row.get("ipaddr").and_then(Value::as_str).unwrap_or("").to_owned());
                unique(rows, "mac");
            }
            Table::NatMappings | Table::Rules => {}
        }
        let limit = if matches!(table, Table::StaticMaps(_)) { 255 } else { 1024 };
        for row in self.rows(table) {
            assert!(row["descr"].as_str().unwrap().len() <= limit);
        }
    }
}

fn unique(rows: &[Raw], field: &str) {
    let mut seen = BTreeSet::new();
    for row in rows {
        let value = row[field].to_string();
        assert!(seen.insert(value.clone()), "{field} must be unique: {value}");
    }
}

/// What the package makes of a row that it is sent.
pub(super) fn stored(table: &Table, body: Raw) -> Raw {
    match table {
        Table::VirtualIps => with_defaults(
            json!({"uniqid": "5f0c0ffee0000", "mode": null, "interface": null, "type": "single", "subnet": null,
                "subnet_bits": null, "descr": "", "noexpand": null, "vhid": null, "advbase": null, "advskew": null,
                "carp_status": null, "carp_mode": null, "carp_peer": null}),
            body,
        ),
        Table::NatMappings => with_defaults(
            json!({"interface": null, "disabled": false, "nobinat": false, "natreflection": null,
                "ipprotocol": "inet", "external": null, "source": null, "destination": null, "descr": ""}),
            body,
        ),
        Table::StaticMaps(_) => with_defaults(
            json!({"mac": null, "ipaddr": null, "cid": null, "hostname": null, "domain": "", "domainsearchlist": [],
                "defaultleasetime": 7200, "maxleasetime": 86400, "gateway": "", "dnsserver": null,
                "winsserver": null, "ntpserver": null, "arp_table_static_entry": false, "descr": ""}),
            body,
        ),
        Table::Rules => stored_rule(body),
    }
}

fn stored_rule(body: Raw) -> Raw {
    let row = with_defaults(
        json!({"type": null, "interface": [], "ipprotocol": null, "protocol": null, "icmptype": null,
            "source": null, "source_port": null, "destination": null, "destination_port": null, "descr": "",
            "disabled": false, "log": false, "dscp": null, "tag": "", "statetype": "keep state",
            "tcp_flags_any": false, "tcp_flags_out_of": null, "tcp_flags_set": null, "gateway": null,
            "sched": null, "dnpipe": null, "pdnpipe": null, "defaultqueue": null, "ackqueue": null,
            "floating": false, "quick": null, "direction": null, "tracker": 1_795_400_964,
            "associated_rule_id": null, "created_time": 1_795_400_964, "created_by": "@192.0.2.1 (API)",
            "updated_time": 1_795_400_965, "updated_by": "key@192.0.2.1 (API)"}),
        body,
    );
    let floating = row["floating"] == json!(true);
    assert!(
        floating || row["interface"].as_array().unwrap().len() <= 1,
        "several interfaces only when floating"
    );
    row
}

fn with_defaults(defaults: Value, body: Raw) -> Raw {
    let mut row = object(defaults);
    for (name, value) in body {
        assert!(row.contains_key(&name) || name == "parent_id", "unknown field {name}");
        if !value.is_null() {
            row.insert(name, value);
        }
    }
    row
}
