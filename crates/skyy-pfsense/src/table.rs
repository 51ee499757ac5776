//! The lists of rows on the box, and a row with all that the box said of it.
//!
//! Must not know what the columns mean, nor how calls are sent.

use std::fmt;

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::lenient::as_number;

/// A list of rows that can be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Addresses that the box answers for.
    VirtualIp,
    /// 1:1 translations.
    OneToOne,
    /// DHCP reservations, kept per interface.
    StaticMapping,
    /// Filter rules, in order.
    Rule,
    /// Named groups of addresses, networks or ports.
    Alias,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 5] =
        [Table::VirtualIp, Table::OneToOne, Table::StaticMapping, Table::Rule, Table::Alias];

    /// Where one row is made, changed and deleted.
    pub(crate) const fn one(self) -> &'static str {
        match self {
            Table::VirtualIp => "/api/v2/firewall/virtual_ip",
            Table::OneToOne => "/api/v2/firewall/nat/one_to_one/mapping",
            Table::StaticMapping => "/api/v2/services/dhcp_server/static_mapping",
            Table::Rule => "/api/v2/firewall/rule",
            Table::Alias => "/api/v2/firewall/alias",
        }
    }

    /// Where all are listed and, for some, replaced.
    pub(crate) const fn all(self) -> &'static str {
        match self {
            Table::VirtualIp => "/api/v2/firewall/virtual_ips",
            Table::OneToOne => "/api/v2/firewall/nat/one_to_one/mappings",
            Table::StaticMapping => "/api/v2/services/dhcp_server/static_mappings",
            Table::Rule => "/api/v2/firewall/rules",
            Table::Alias => "/api/v2/firewall/aliases",
        }
    }

    /// The one call that replaces the whole table, where there is one.
    pub(crate) fn replace(self) -> Option<(Method, &'static str)> {
        match self {
            Table::OneToOne | Table::Rule | Table::Alias => Some((Method::PUT, self.all())),
            // The mappings of one interface are a field of its DHCP server.
            Table::StaticMapping => Some((Method::PATCH, "/api/v2/services/dhcp_server")),
            Table::VirtualIp => None,
        }
    }

    /// How long a text field may be, in bytes.
    pub(crate) fn text_limit(self, field: &str) -> usize {
        match (self, field) {
            (Table::StaticMapping, "descr" | "domain") => 255,
            (Table::StaticMapping, "gateway") => 15,
            (Table::Alias, "name") => 31,
            _ => 1024,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::VirtualIp => "virtual IPs",
            Table::OneToOne => "1:1 mappings",
            Table::StaticMapping => "static mappings",
            Table::Rule => "rules",
            Table::Alias => "aliases",
        })
    }
}

/// Where a row stands **now**. Any write may move it: look it up by its own key right before using this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The position.
    pub id: usize,
    /// The interface, for static mappings.
    pub parent: Option<String>,
}

impl At {
    /// A row of a table that is one list.
    pub fn row(id: usize) -> Self {
        Self { id, parent: None }
    }

    /// A static mapping of an interface.
    pub fn under(interface: impl Into<String>, id: usize) -> Self {
        Self { id, parent: Some(interface.into()) }
    }
}

/// A row as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<T> {
    /// Where it stood.
    pub at: At,
    /// The fields we know.
    pub value: T,
    /// All of it, to be sent back unchanged where a whole list is replaced.
    pub raw: Map<String, Value>,
}

impl Row<()> {
    /// Takes one answered row apart; says what is missing.
    pub(crate) fn from_json(value: Value) -> Result<Self, String> {
        let Value::Object(mut raw) = value else { return Err("a row is not an object".to_owned()) };
        // Links to other calls, present with a setting of the box; no part of the row.
        raw.remove("_links");
        let id = raw.get("id").and_then(as_number).and_then(|id| usize::try_from(id).ok());
        let id = id.ok_or_else(|| "a row has no numeric id".to_owned())?;
        let parent = raw.get("parent_id").and_then(Value::as_str).map(str::to_owned);
        Ok(Row { at: At { id, parent }, value: (), raw })
    }

    /// Reads the fields we know.
    pub(crate) fn typed<T: DeserializeOwned>(self) -> Result<Row<T>, String> {
        let Row { at, value: (), raw } = self;
        let value = serde_json::from_value(Value::Object(raw.clone()))
            .map_err(|cause| format!("row {} cannot be read: {cause}", at.id))?;
        Ok(Row { at, value, raw })
    }
}
