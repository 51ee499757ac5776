//! The same reads and writes with the columns' own types.
//!
//! Nothing but types: every call goes through the table's.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::PfSense;
use crate::error::PfSenseError;
use crate::fields::{self, Fields};
use crate::rows::{
    Alias, AliasFields, FirewallRule, FirewallRuleFields, OneToOne, OneToOneFields, StaticMap,
    StaticMapFields, VirtualIp, VirtualIpFields,
};
use crate::table::{At, Row, Table};

impl PfSense {
    /// All virtual IPs.
    pub async fn list_virtual_ips(&self) -> Result<Vec<Row<VirtualIp>>, PfSenseError> {
        self.list_as(Table::VirtualIp).await
    }

    /// Makes a virtual IP.
    pub async fn create_virtual_ip(&self, row: &VirtualIpFields) -> Result<Row<VirtualIp>, PfSenseError> {
        self.create_as(Table::VirtualIp, row).await
    }

    /// Changes the virtual IP that stands at `id` now.
    pub async fn update_virtual_ip(
        &self,
        id: usize,
        row: &VirtualIpFields,
    ) -> Result<Row<VirtualIp>, PfSenseError> {
        self.update_as(Table::VirtualIp, &At::row(id), row).await
    }

    /// Deletes the virtual IP that stands at `id` now: the address leaves the interface at once.
    pub async fn delete_virtual_ip(&self, id: usize) -> Result<Row<VirtualIp>, PfSenseError> {
        self.delete_as(Table::VirtualIp, &At::row(id)).await
    }

    /// All 1:1 translations.
    pub async fn list_one_to_one(&self) -> Result<Vec<Row<OneToOne>>, PfSenseError> {
        self.list_as(Table::OneToOne).await
    }

    /// Makes a 1:1 translation.
    pub async fn create_one_to_one(&self, row: &OneToOneFields) -> Result<Row<OneToOne>, PfSenseError> {
        self.create_as(Table::OneToOne, row).await
    }

    /// Changes the 1:1 translation that stands at `id` now.
    pub async fn update_one_to_one(
        &self,
        id: usize,
        row: &OneToOneFields,
    ) -> Result<Row<OneToOne>, PfSenseError> {
        self.update_as(Table::OneToOne, &At::row(id), row).await
    }

    /// Deletes the 1:1 translation that stands at `id` now.
    pub async fn delete_one_to_one(&self, id: usize) -> Result<Row<OneToOne>, PfSenseError> {
        self.delete_as(Table::OneToOne, &At::row(id)).await
    }

    /// Replaces all 1:1 translations; see [`replace`](Self::replace).
    pub async fn replace_one_to_one(&self, rows: &[Fields]) -> Result<Vec<Row<OneToOne>>, PfSenseError> {
        all_typed(Table::OneToOne, self.replace(Table::OneToOne, rows).await?)
    }

    /// All static mappings of one interface, or of all.
    pub async fn list_static_mappings(
        &self,
        interface: Option<&str>,
    ) -> Result<Vec<Row<StaticMap>>, PfSenseError> {
        // Not filtered by the box: it ignores a filter that it does not know.
        let mut rows: Vec<Row<StaticMap>> = self.list_as(Table::StaticMapping).await?;
        rows.retain(|row| interface.is_none_or(|interface| row.value.interface == interface));
        Ok(rows)
    }

    /// Makes a static mapping.
    pub async fn create_static_mapping(&self, row: &StaticMapFields) -> Result<Row<StaticMap>, PfSenseError> {
        self.create_as(Table::StaticMapping, row).await
    }

    /// Changes the static mapping that stands at `id` of the interface now.
    pub async fn update_static_mapping(
        &self,
        interface: &str,
        id: usize,
        row: &StaticMapFields,
    ) -> Result<Row<StaticMap>, PfSenseError> {
        self.update_as(Table::StaticMapping, &At::under(interface, id), row).await
    }

    /// Deletes the static mapping that stands at `id` of the interface now.
    pub async fn delete_static_mapping(
        &self,
        interface: &str,
        id: usize,
    ) -> Result<Row<StaticMap>, PfSenseError> {
        self.delete_as(Table::StaticMapping, &At::under(interface, id)).await
    }

    /// All filter rules, in the order of the configuration.
    pub async fn list_rules(&self) -> Result<Vec<Row<FirewallRule>>, PfSenseError> {
        self.list_as(Table::Rule).await
    }

    /// Makes a filter rule, at the end unless placed.
    pub async fn create_rule(&self, row: &FirewallRuleFields) -> Result<Row<FirewallRule>, PfSenseError> {
        self.create_as(Table::Rule, row).await
    }

    /// Changes, or with `placement` moves, the filter rule that stands at `id` now.
    pub async fn update_rule(
        &self,
        id: usize,
        row: &FirewallRuleFields,
    ) -> Result<Row<FirewallRule>, PfSenseError> {
        self.update_as(Table::Rule, &At::row(id), row).await
    }

    /// Deletes the filter rule that stands at `id` now. The box keeps at least one.
    pub async fn delete_rule(&self, id: usize) -> Result<Row<FirewallRule>, PfSenseError> {
        self.delete_as(Table::Rule, &At::row(id)).await
    }

    /// Replaces all filter rules; see [`replace`](Self::replace).
    pub async fn replace_rules(&self, rows: &[Fields]) -> Result<Vec<Row<FirewallRule>>, PfSenseError> {
        all_typed(Table::Rule, self.replace(Table::Rule, rows).await?)
    }

    /// All aliases.
    pub async fn list_aliases(&self) -> Result<Vec<Row<Alias>>, PfSenseError> {
        self.list_as(Table::Alias).await
    }

    /// Makes an alias.
    pub async fn create_alias(&self, row: &AliasFields) -> Result<Row<Alias>, PfSenseError> {
        self.create_as(Table::Alias, row).await
    }

    /// Changes the alias that stands at `id` now.
    pub async fn update_alias(&self, id: usize, row: &AliasFields) -> Result<Row<Alias>, PfSenseError> {
        self.update_as(Table::Alias, &At::row(id), row).await
    }

    /// Deletes the alias that stands at `id` now. The box does not mind rules that use it: they stop working silently.
    pub async fn delete_alias(&self, id: usize) -> Result<Row<Alias>, PfSenseError> {
        self.delete_as(Table::Alias, &At::row(id)).await
    }

    async fn list_as<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<Row<T>>, PfSenseError> {
        all_typed(table, self.list(table).await?)
    }

    async fn create_as<T: DeserializeOwned>(
        &self,
        table: Table,
        row: &impl Serialize,
    ) -> Result<Row<T>, PfSenseError> {
        let fields = fields::of(row).map_err(|why| PfSenseError::Fields { table, why })?;
        typed(table, self.create(table, &fields).await?)
    }

    async fn update_as<T: DeserializeOwned>(
        &self,
        table: Table,
        at: &At,
        row: &impl Serialize,
    ) -> Result<Row<T>, PfSenseError> {
        let fields = fields::of(row).map_err(|why| PfSenseError::Fields { table, why })?;
        typed(table, self.update(table, at, &fields).await?)
    }

    async fn delete_as<T: DeserializeOwned>(&self, table: Table, at: &At) -> Result<Row<T>, PfSenseError> {
        typed(table, self.delete(table, at).await?)
    }
}

fn all_typed<T: DeserializeOwned>(table: Table, rows: Vec<Row<()>>) -> Result<Vec<Row<T>>, PfSenseError> {
    rows.into_iter().map(|row| typed(table, row)).collect()
}

fn typed<T: DeserializeOwned>(table: Table, row: Row<()>) -> Result<Row<T>, PfSenseError> {
    row.typed().map_err(|why| PfSenseError::Unreadable { table, why })
}
