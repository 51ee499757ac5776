//! The steps of a plan: exact calls, by key and content instead of position.
//!
//! Ids are positions and shift with every write. A step therefore carries what its row looked like; [`Step::resolve`]
//! finds the row in the list as it stands now, or says that the firewall was changed in the meantime. It must not
//! choose anything.

use std::fmt;

use serde_json::{Value, json};

use super::{Subsystem, Table, rows::Raw};
use crate::hash::{Fingerprint, Fnv};

/// Fields that say nothing of what a row does: its position, who wrote it when, and what it is doing right now.
pub(crate) const NOT_CONTENT: [&str; 8] =
    ["id", "parent_id", "created_time", "created_by", "updated_time", "updated_by", "carp_status", "_links"];

/// What a row looks like, its position and its history apart.
pub fn fingerprint_of_row(raw: &Raw) -> Fingerprint {
    let mut state = Fnv::default();
    state.fields(raw, |name| !NOT_CONTENT.contains(&name));
    state.finish()
}

/// What a list looks like, its order included.
pub fn fingerprint_of_list<'a>(rows: impl IntoIterator<Item = &'a Raw>) -> Fingerprint {
    let mut state = Fnv::default();
    for row in rows {
        state.fields(row, |name| !NOT_CONTENT.contains(&name));
    }
    state.finish()
}

/// A row that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What people know it by.
    pub key: String,
    /// What it looks like.
    pub expect: Fingerprint,
    /// Which one of those that look like that, from 0: a row that is there twice stands at two places.
    pub nth: usize,
}

impl Target {
    /// Where it stands.
    pub fn find(&self, now: &[Raw]) -> Option<usize> {
        let alike = now.iter().enumerate().filter(|(_, raw)| fingerprint_of_row(raw) == self.expect);
        alike.map(|(position, _)| position).nth(self.nth)
    }
}

/// Where a row is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// After all others; a table without an order has no other place.
    End,
    /// Before a row that stays where it is.
    Before(Target),
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a row. With [`Placement::End`] no list is needed to carry it out.
    Create {
        /// In which list.
        table: Table,
        /// What people know it by.
        key: String,
        /// Its fields; `uniqid` of a virtual IP and `tracker` of a rule are among them.
        body: Raw,
        /// Where.
        placement: Placement,
    },
    /// Change fields of a row.
    Update {
        /// In which list.
        table: Table,
        /// Which row.
        target: Target,
        /// The fields that change.
        changes: Raw,
    },
    /// Put a row elsewhere in the order.
    Move {
        /// In which list.
        table: Table,
        /// Which row.
        target: Target,
        /// Where to.
        placement: Placement,
    },
    /// Remove a row.
    Delete {
        /// In which list.
        table: Table,
        /// Which row.
        target: Target,
    },
    /// Write a whole list. It holds the rows of others as they were read.
    Replace {
        /// Which list.
        table: Table,
        /// All its rows.
        rows: Vec<Raw>,
        /// What the list looked like from which it was made; if it looks otherwise now, nothing may be written.
        basis: Fingerprint,
    },
    /// Make what was written effective.
    Apply(Subsystem),
}

/// A call, with the position that is right at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// POST one row; a `placement` stands in its body. The interface of a static mapping is the table's.
    Create {
        /// In which list.
        table: Table,
        /// Its fields.
        body: Raw,
    },
    /// PATCH one row; the `id` is not in the body.
    Update {
        /// In which list.
        table: Table,
        /// Where it stands.
        id: usize,
        /// The fields that change, or a `placement`.
        body: Raw,
    },
    /// DELETE one row.
    Delete {
        /// In which list.
        table: Table,
        /// Where it stands.
        id: usize,
    },
    /// PUT a whole list, or PATCH the `staticmap` of a DHCP server. Never empty.
    Replace {
        /// Which list.
        table: Table,
        /// All its rows.
        rows: Vec<Raw>,
    },
    /// POST an apply, and wait for its end.
    Apply(Subsystem),
}

/// The firewall is not as the plan was made for: read it again and plan anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// A row is gone or looks otherwise.
    #[error("{table} {key} was changed or removed by somebody else since the firewall was read")]
    Row {
        /// In which list.
        table: Table,
        /// Which row.
        key: String,
    },
    /// A list looks otherwise.
    #[error("a {table} was changed by somebody else since the firewall was read")]
    List {
        /// Which list.
        table: Table,
    },
}

impl Step {
    /// The list that must be read just before this step, so that it can be resolved. None: any list will do.
    pub fn needs(&self) -> Option<&Table> {
        match self {
            Self::Create { table, placement: Placement::Before(_), .. }
            | Self::Update { table, .. }
            | Self::Move { table, .. }
            | Self::Delete { table, .. }
            | Self::Replace { table, .. } => Some(table),
            Self::Create { placement: Placement::End, .. } | Self::Apply(_) => None,
        }
    }

    /// The list that this step changes.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Create { table, .. }
            | Self::Update { table, .. }
            | Self::Move { table, .. }
            | Self::Delete { table, .. }
            | Self::Replace { table, .. } => Some(table),
            Self::Apply(_) => None,
        }
    }

    /// The call to make, given the list as it stands now.
    pub fn resolve(&self, now: &[Raw]) -> Result<Call, Stale> {
        let find = |found: Option<usize>, table: &Table, target: &Target| {
            found.ok_or_else(|| Stale::Row { table: table.clone(), key: target.key.clone() })
        };
        Ok(match self {
            Self::Create { table, body, placement, .. } => {
                let mut body = body.clone();
                if let Placement::Before(anchor) = placement {
                    body.insert("placement".into(), json!(find(anchor.find(now), table, anchor)?));
                }
                Call::Create { table: table.clone(), body }
            }
            Self::Update { table, target, changes } => Call::Update {
                table: table.clone(),
                id: find(target.find(now), table, target)?,
                body: changes.clone(),
            },
            Self::Move { table, target, placement } => {
                let id = find(target.find(now), table, target)?;
                // The placement is where the row stands afterwards, when it is no longer where it was.
                let landing = match placement {
                    Placement::End => now.len() - 1,
                    Placement::Before(anchor) => {
                        let anchor = find(anchor.find(now), table, anchor)?;
                        if id < anchor { anchor - 1 } else { anchor }
                    }
                };
                let body = Raw::from_iter([("placement".to_owned(), json!(landing))]);
                Call::Update { table: table.clone(), id, body }
            }
            Self::Delete { table, target } => {
                Call::Delete { table: table.clone(), id: find(target.find(now), table, target)? }
            }
            Self::Replace { table, rows, basis } => {
                if fingerprint_of_list(now) != *basis {
                    return Err(Stale::List { table: table.clone() });
                }
                Call::Replace { table: table.clone(), rows: rows.clone() }
            }
            Self::Apply(subsystem) => Call::Apply(*subsystem),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |placement: &Placement| match placement {
            Placement::End => String::new(),
            Placement::Before(anchor) => format!(" before {}", anchor.key),
        };
        match self {
            Self::Create { table, key, placement, .. } => write!(f, "POST {table} {key}{}", place(placement)),
            Self::Update { table, target, changes } => {
                let names: Vec<&str> = changes.keys().map(String::as_str).collect();
                write!(f, "PATCH {table} {}: {}", target.key, names.join(", "))
            }
            Self::Move { table, target, placement } => match placement {
                Placement::End => write!(f, "PATCH {table} {}: to the end", target.key),
                Placement::Before(_) => write!(f, "PATCH {table} {}:{}", target.key, place(placement)),
            },
            Self::Delete { table, target } => write!(f, "DELETE {table} {}", target.key),
            Self::Replace { table: table @ Table::StaticMaps(_), rows, .. } => {
                write!(f, "PATCH {table}: {} rows as a whole", rows.len())
            }
            Self::Replace { table, rows, .. } => write!(f, "PUT {table}: {} rows as a whole", rows.len()),
            Self::Apply(subsystem) => write!(f, "apply {subsystem}"),
        }
    }
}

/// A row of others as it goes back into a list that is written as a whole.
///
/// Left out are: `id` and `parent_id` (the list's order and place say them), `_links` (an answer's decoration), and
/// empty fields, which the package refuses in some places where it answers them itself and which it reads as the same
/// when absent. Lease times are the exception: absent, they would become the package's default instead of none. The
/// history (`created_*`, `updated_*`) is sent back; the package keeps the first and renews the second.
pub(crate) fn sent_back(raw: &Raw) -> Raw {
    raw.iter()
        .filter(|(name, value)| match name.as_str() {
            "id" | "parent_id" | "_links" => false,
            "defaultleasetime" | "maxleasetime" => true,
            _ => !crate::hash::is_empty(value),
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Fields for a new row: what is empty is left to the package's defaults.
pub(crate) fn new_body(fields: Raw, description: String) -> Raw {
    let mut body: Raw = fields.into_iter().filter(|(_, value)| !crate::hash::is_empty(value)).collect();
    body.insert("descr".into(), Value::String(description));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Raw {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn of_rows_that_look_alike_each_can_be_named() {
        let now =
            [row(r#"{"id":0,"descr":"a"}"#), row(r#"{"id":1,"descr":"b"}"#), row(r#"{"id":2,"descr":"a"}"#)];
        let find = |nth| Target { key: "a".into(), expect: fingerprint_of_row(&now[0]), nth }.find(&now);
        assert_eq!([find(0), find(1), find(2)], [Some(0), Some(2), None]);
    }

    #[test]
    fn a_move_lands_before_its_anchor_from_either_side() {
        let now = ["a", "b", "c", "d"].map(|name| row(&format!(r#"{{"descr":"{name}"}}"#)));
        let target = |n: usize| Target { key: n.to_string(), expect: fingerprint_of_row(&now[n]), nth: 0 };
        let landing = |n: usize, placement: Placement| {
            let step = Step::Move { table: Table::Rules, target: target(n), placement };
            match step.resolve(&now) {
                Ok(Call::Update { id, body, .. }) if id == n => body["placement"].as_u64().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(landing(3, Placement::Before(target(1))), 1);
        assert_eq!(landing(0, Placement::Before(target(2))), 1);
        assert_eq!(landing(0, Placement::End), 3);
        let gone = Target { key: "x".into(), expect: fingerprint_of_row(&row("{}")), nth: 0 };
        let step = Step::Move { table: Table::Rules, target: target(0), placement: Placement::Before(gone) };
        let stale = Stale::Row { table: Table::Rules, key: "x".into() };
        assert_eq!(step.resolve(&now), Err(stale.clone()));
        assert_eq!(
            stale.to_string(),
            "rule x was changed or removed by somebody else since the firewall was read"
        );
    }
}
