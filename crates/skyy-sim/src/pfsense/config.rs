//! The configuration of the simulated box: what `config.xml` holds.
//!
//! Copying it is cheap, as every request works on a copy of the whole, the way each PHP process does. It must not know
//! what is loaded into pf or Kea: that is `apply`'s.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

/// One object in the form in which it is read back.
pub(super) type Row = Arc<Map<String, Value>>;
/// The objects of one collection in their order.
pub(super) type Table = Arc<Vec<Row>>;

/// The collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Vip,
    OneToOne,
    PortForward,
    Outbound,
    Rule,
    Alias,
    DhcpServer,
    StaticMap,
    Interface,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Vip,
        Self::OneToOne,
        Self::PortForward,
        Self::Outbound,
        Self::Rule,
        Self::Alias,
        Self::DhcpServer,
        Self::StaticMap,
        Self::Interface,
    ];

    /// Its name in a saved state.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Vip => "virtual_ips",
            Self::OneToOne => "one_to_one",
            Self::PortForward => "port_forwards",
            Self::Outbound => "outbound",
            Self::Rule => "rules",
            Self::Alias => "aliases",
            Self::DhcpServer => "dhcp_servers",
            Self::StaticMap => "static_mappings",
            Self::Interface => "interfaces",
        }
    }
}

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Config {
    tables: BTreeMap<Kind, Table>,
    static_maps: BTreeMap<String, Table>,
    pub(super) outbound_mode: String,
}

impl Config {
    /// The objects of a collection; static mappings need the interface they belong to.
    pub(super) fn table(&self, kind: Kind, parent: Option<&str>) -> &[Row] {
        let table = match parent {
            Some(parent) if kind == Kind::StaticMap => self.static_maps.get(parent),
            _ => self.tables.get(&kind),
        };
        table.map_or(&[], |table| table.as_slice())
    }

    pub(super) fn table_mut(&mut self, kind: Kind, parent: Option<&str>) -> &mut Vec<Row> {
        let table = match parent {
            Some(parent) if kind == Kind::StaticMap => self.static_maps.entry(parent.to_owned()).or_default(),
            _ => self.tables.entry(kind).or_default(),
        };
        Arc::make_mut(table)
    }

    /// Every object of a collection with its parent, in order.
    pub(super) fn all(&self, kind: Kind) -> Vec<(Option<String>, usize, Row)> {
        let parents: Vec<Option<String>> = match kind {
            Kind::StaticMap => self.dhcp_interfaces().map(Some).collect(),
            _ => vec![None],
        };
        let mut all = Vec::new();
        for parent in parents {
            for (position, row) in self.table(kind, parent.as_deref()).iter().enumerate() {
                all.push((parent.clone(), position, Arc::clone(row)));
            }
        }
        all
    }

    /// How many objects a collection has.
    pub(super) fn len(&self, kind: Kind) -> usize {
        match kind {
            Kind::StaticMap => self.static_maps.values().map(|table| table.len()).sum(),
            _ => self.table(kind, None).len(),
        }
    }

    /// How many objects there are besides those of `kind`.
    pub(super) fn others(&self, kind: Kind) -> usize {
        Kind::ALL.iter().filter(|other| **other != kind).map(|other| self.len(*other)).sum()
    }

    /// The interfaces that have a DHCP server.
    pub(super) fn dhcp_interfaces(&self) -> impl Iterator<Item = String> + '_ {
        self.table(Kind::DhcpServer, None).iter().map(|row| text(row, "interface").to_owned())
    }

    /// Drops the static mappings of interfaces that have no DHCP server any more.
    pub(super) fn drop_orphans(&mut self) {
        let servers: Vec<String> = self.dhcp_interfaces().collect();
        self.static_maps.retain(|parent, _| servers.contains(parent));
    }

    /// The ids of the interfaces, in order.
    pub(super) fn interface_ids(&self) -> Vec<&str> {
        self.table(Kind::Interface, None).iter().map(|row| text(row, "id")).collect()
    }

    pub(super) fn interface(&self, id: &str) -> Option<&Row> {
        self.table(Kind::Interface, None).iter().find(|row| text(row, "id") == id)
    }

    pub(super) fn alias(&self, name: &str) -> Option<&Row> {
        self.table(Kind::Alias, None).iter().find(|row| text(row, "name") == name)
    }

    pub(super) fn to_value(&self) -> Value {
        let mut whole = Map::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::StaticMap) {
            whole.insert(kind.name().to_owned(), rows_to_value(self.table(kind, None)));
        }
        let maps: Map<_, _> =
            self.static_maps.iter().map(|(parent, table)| (parent.clone(), rows_to_value(table))).collect();
        whole.insert(Kind::StaticMap.name().to_owned(), maps.into());
        whole.insert("outbound_mode".to_owned(), json!(self.outbound_mode));
        whole.into()
    }

    pub(super) fn from_value(value: &Value) -> Result<Self, String> {
        let mut config = Self {
            outbound_mode: value["outbound_mode"].as_str().unwrap_or("automatic").to_owned(),
            ..Self::default()
        };
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::StaticMap) {
            *config.table_mut(kind, None) = rows_from_value(&value[kind.name()])?;
        }
        for (parent, rows) in
            value[Kind::StaticMap.name()].as_object().ok_or("static_mappings is no object")?
        {
            *config.table_mut(Kind::StaticMap, Some(parent)) = rows_from_value(rows)?;
        }
        Ok(config)
    }
}

pub(super) fn rows_to_value(rows: &[Row]) -> Value {
    rows.iter().map(|row| Value::Object((**row).clone())).collect()
}

pub(super) fn rows_from_value(value: &Value) -> Result<Vec<Row>, String> {
    let rows = value.as_array().ok_or("a collection is no list")?;
    rows.iter()
        .map(|row| {
            row.as_object().map(|row| Arc::new(row.clone())).ok_or_else(|| "an object is none".to_owned())
        })
        .collect()
}

/// A text member, empty when it is absent or something else.
pub(super) fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A boolean member, false when it is absent or something else.
pub(super) fn flag(row: &Map<String, Value>, name: &str) -> bool {
    row.get(name).and_then(Value::as_bool).unwrap_or_default()
}
