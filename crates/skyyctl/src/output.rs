//! What people and programs read: tables, JSON, YAML.
//!
//! Knows no kind and does no work of its own; everything that reaches a stream goes through here.

use std::io::{self, Write};

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Writes a value as JSON or YAML.
pub fn value(out: &mut dyn Write, format: Format, value: &serde_json::Value) -> io::Result<()> {
    match format {
        Format::Yaml => {
            let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
            writeln!(out, "{}", text.trim_end())
        }
        Format::Json | Format::Table => {
            serde_json::to_writer_pretty(&mut *out, value)?;
            writeln!(out)
        }
    }
}

/// Writes rows in columns as wide as needed; the last column is as long as it is.
pub fn table(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let last = header.len().saturating_sub(1);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (n, cell) in cells.enumerate() {
            text.push_str(cell);
            if n < last {
                let pad = widths.get(n).unwrap_or(&0).saturating_sub(cell.chars().count()) + 3;
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut header.iter().copied())?;
    rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let mut out = Vec::new();
        let row = |cells: [&str; 3]| cells.map(ToOwned::to_owned).to_vec();
        table(&mut out, &["A", "LONGER", "C"], &[row(["x", "y", "a b"]), row(["wide cell", "", ""])])
            .unwrap();
        let expected = "A           LONGER   C\nx           y        a b\nwide cell\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
