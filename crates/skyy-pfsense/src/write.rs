//! Reading and writing rows of any table by their fields.
//!
//! One request per write, and never a plural DELETE: a misspelt filter there deletes everything. Must not know what the
//! fields mean.

use std::time::Duration;

use serde_json::{Value, json};
use skyy_http::Call;

use crate::client::PfSense;
use crate::error::PfSenseError;
use crate::fields::{Fields, FieldsError, check_texts};
use crate::table::{At, Row, Table};
use crate::text::Strictness;

/// A locked configuration is reported after 61 s; less patience would not learn why.
const ONE: Duration = Duration::from_secs(90);

/// The box's own web server gives up after 180 s.
pub(crate) const LONG: Duration = Duration::from_secs(190);

impl PfSense {
    /// All rows of a table. For static mappings, of all interfaces.
    pub async fn list(&self, table: Table) -> Result<Vec<Row<()>>, PfSenseError> {
        self.ask(Call::get(table.all()), rows).await
    }

    /// Makes a row and answers it as the box stored it. Its position is that of this moment.
    pub async fn create(&self, table: Table, fields: &Fields) -> Result<Row<()>, PfSenseError> {
        let refused = |why| PfSenseError::Fields { table, why };
        check_texts(table, fields, None, Strictness::Ours).map_err(refused)?;
        if table == Table::StaticMapping && !fields.get("parent_id").is_some_and(Value::is_string) {
            return Err(refused(FieldsError::NoInterface));
        }
        self.ask(Call::post(table.one()).json(fields).timeout(ONE), Row::from_json).await
    }

    /// Changes some fields of the row that stands at `at` now.
    pub async fn update(&self, table: Table, at: &At, fields: &Fields) -> Result<Row<()>, PfSenseError> {
        let refused = |why| PfSenseError::Fields { table, why };
        check_texts(table, fields, None, Strictness::Ours).map_err(refused)?;
        let mut body = fields.clone();
        body.insert("id".to_owned(), json!(at.id));
        if let Some(parent) = parent(table, at)? {
            body.insert("parent_id".to_owned(), json!(parent));
        }
        self.ask(Call::patch(table.one()).json(&body).timeout(ONE), Row::from_json).await
    }

    /// Deletes the row that stands at `at` now, and answers it: compare it with what was meant.
    pub async fn delete(&self, table: Table, at: &At) -> Result<Row<()>, PfSenseError> {
        let mut call = Call::delete(table.one()).query("id", at.id).timeout(ONE);
        if let Some(parent) = parent(table, at)? {
            call = call.query("parent_id", parent);
        }
        self.ask(call, Row::from_json).await
    }

    /// Replaces a whole table in one write, in this order: rows of others must be among them as they were read. All or
    /// nothing. An empty list is refused. For static mappings use [`replace_static_mappings`](Self::replace_static_mappings).
    pub async fn replace(&self, table: Table, rows: &[Fields]) -> Result<Vec<Row<()>>, PfSenseError> {
        let (Some((method, path)), true) = (table.replace(), table != Table::StaticMapping) else {
            return Err(PfSenseError::NoReplace(table));
        };
        check_rows(table, rows)?;
        self.ask(Call::new(method, path).json(rows).timeout(LONG), self::rows).await
    }

    /// Replaces all static mappings of one interface in one write. All or nothing. An empty list is refused.
    pub async fn replace_static_mappings(
        &self,
        interface: &str,
        rows: &[Fields],
    ) -> Result<Vec<Row<()>>, PfSenseError> {
        let table = Table::StaticMapping;
        check_rows(table, rows)?;
        for (row, fields) in rows.iter().enumerate() {
            let found = fields.get("parent_id").and_then(Value::as_str).unwrap_or(interface);
            if found != interface {
                let (found, interface) = (found.to_owned(), interface.to_owned());
                return Err(PfSenseError::Fields {
                    table,
                    why: FieldsError::OtherInterface { row, found, interface },
                });
            }
        }
        let body = json!({"id": interface, "staticmap": rows});
        let call = Call::patch("/api/v2/services/dhcp_server").json(&body).timeout(LONG);
        self.ask(call, |mut server| match server.get_mut("staticmap").map(Value::take) {
            Some(mappings) => self::rows(mappings),
            None => Err("the DHCP server has no staticmap".to_owned()),
        })
        .await
    }
}

fn parent(table: Table, at: &At) -> Result<Option<&str>, PfSenseError> {
    match (table, &at.parent) {
        // Without it the package answers 500.
        (Table::StaticMapping, None) => Err(PfSenseError::Fields { table, why: FieldsError::NoInterface }),
        (Table::StaticMapping, Some(interface)) => Ok(Some(interface)),
        _ => Ok(None),
    }
}

fn check_rows(table: Table, rows: &[Fields]) -> Result<(), PfSenseError> {
    if rows.is_empty() {
        return Err(PfSenseError::EmptyReplace(table));
    }
    for (position, fields) in rows.iter().enumerate() {
        check_texts(table, fields, Some(position), Strictness::Foreign)
            .map_err(|why| PfSenseError::Fields { table, why })?;
    }
    Ok(())
}

/// Reads a list of rows; null is what the package makes of no rows in places.
pub(crate) fn rows(data: Value) -> Result<Vec<Row<()>>, String> {
    match data {
        Value::Array(rows) => rows.into_iter().map(Row::from_json).collect(),
        Value::Null => Ok(Vec::new()),
        _ => Err("a list of rows was expected".to_owned()),
    }
}
