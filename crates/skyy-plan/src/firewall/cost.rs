//! What a write costs on the real package, and so which way of writing is chosen.
//!
//! Measured on package 2.10.0 with two cores, one client, and no other rows: the time of one create at 10, 100 and 400
//! rows of its kind, and of writing 400 rows as a whole. The price of a create grows with the table, so many creates
//! cost with the square of their number. Numbers only; it must not know a row.

use super::Table;

/// Microseconds on the reference machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub u64);

struct Measured {
    /// Milliseconds of one create at 10, 100, 400 rows.
    single: [u64; 3],
    /// Milliseconds of 400 rows as a whole; none: the package cannot do that.
    whole: Option<u64>,
}

const AT: [u64; 3] = [10, 100, 400];

fn measured(table: &Table) -> Measured {
    match table {
        Table::VirtualIps => Measured { single: [22, 37, 85], whole: None },
        Table::NatMappings => Measured { single: [15, 22, 40], whole: Some(3_000) },
        Table::StaticMaps(_) => Measured { single: [27, 92, 562], whole: Some(4_300) },
        Table::Rules => Measured { single: [22, 81, 290], whole: Some(7_900) },
    }
}

/// A row that must be found first costs a list besides: 0.25 ms a row, as lists of 500 rows were seen to take.
const LIST_MICROS_PER_ROW: u64 = 250;

impl Cost {
    /// One write of one row in a table of so many: a straight line through the measured points.
    pub fn single(table: &Table, rows: usize) -> Self {
        let rows = rows as u64;
        let at = measured(table).single;
        let (from, to) = if rows <= AT[1] { (0, 1) } else { (1, 2) };
        let slope = (at[to] - at[from]) * 1_000 / (AT[to] - AT[from]);
        let start = at[from] * 1_000;
        Self((start + slope * rows).saturating_sub(slope * AT[from]))
    }

    /// Many writes: `creates` make the table grow from `rows`, `others` change, move or delete one row each and need
    /// the list read first.
    pub fn one_by_one(table: &Table, rows: usize, creates: usize, others: usize) -> Self {
        // The price is a line in the table's size: all creates cost what the middle one costs, times their number.
        let middle = Self::single(table, rows + creates / 2).0;
        let other = Self::single(table, rows + creates).0 + LIST_MICROS_PER_ROW * (rows + creates) as u64;
        Self(middle * creates as u64 + other * others as u64)
    }

    /// The table as a whole, with so many rows afterwards, the list before it included; none where it is impossible.
    ///
    /// Only 400 rows were measured. Below, a straight line, above, a square: of both the dearer guess. What a request
    /// costs by itself, one row in an empty table shows.
    pub fn whole(table: &Table, rows: usize) -> Option<Self> {
        let at_400 = measured(table).whole? * 1_000;
        let rows = rows as u64;
        let write =
            if rows <= AT[2] { at_400 * rows / AT[2] } else { at_400 * rows * rows / (AT[2] * AT[2]) };
        Some(Self(Self::single(table, 0).0 + write + LIST_MICROS_PER_ROW * rows))
    }
}

/// Whether a table is better written as a whole: `rows` in it now, `after` afterwards, so many creates and other
/// writes if it were done row by row.
pub fn bulk_is_cheaper(table: &Table, rows: usize, after: usize, creates: usize, others: usize) -> bool {
    Cost::whole(table, after).is_some_and(|whole| whole < Cost::one_by_one(table, rows, creates, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> [Table; 3] {
        [Table::NatMappings, Table::StaticMaps("opt3".into()), Table::Rules]
    }

    #[test]
    fn the_measured_points_are_on_the_line() {
        for (table, want) in [
            (Table::VirtualIps, [22, 37, 85]),
            (Table::NatMappings, [15, 22, 40]),
            (Table::StaticMaps("opt3".into()), [27, 92, 562]),
            (Table::Rules, [22, 81, 290]),
        ] {
            for (rows, millis) in [10, 100, 400].into_iter().zip(want) {
                let got = Cost::single(&table, rows).0;
                assert!(got.abs_diff(millis * 1_000) <= 400, "{table} at {rows}: {got} µs, not {millis} ms");
            }
        }
    }

    #[test]
    fn four_hundred_creates_cost_about_what_was_measured() {
        for (table, seconds) in [
            (Table::VirtualIps, 28),
            (Table::NatMappings, 13),
            (Table::Rules, 78),
            (tables()[1].clone(), 125),
        ] {
            let got = Cost::one_by_one(&table, 0, 400, 0).0 / 1_000_000;
            assert!(got * 2 > seconds && got < seconds * 2, "{table}: {got} s, measured {seconds} s");
        }
    }

    #[test]
    fn one_change_in_a_large_table_is_one_write() {
        for table in tables() {
            assert!(!bulk_is_cheaper(&table, 500, 501, 1, 0), "{table}: create");
            assert!(!bulk_is_cheaper(&table, 500, 500, 0, 1), "{table}: change");
        }
    }

    #[test]
    fn many_creations_are_one_write() {
        for table in tables() {
            assert!(bulk_is_cheaper(&table, 0, 508, 508, 0), "{table}");
            assert!(bulk_is_cheaper(&table, 20, 528, 508, 0), "{table}");
        }
        assert!(!bulk_is_cheaper(&Table::VirtualIps, 0, 508, 508, 0), "the package cannot");
    }

    #[test]
    fn a_few_rows_go_one_by_one() {
        assert!(!bulk_is_cheaper(&Table::Rules, 400, 420, 20, 0));
        assert!(!bulk_is_cheaper(&Table::NatMappings, 0, 1, 1, 0));
        assert!(bulk_is_cheaper(&Table::NatMappings, 0, 20, 20, 0));
        assert!(!bulk_is_cheaper(&Table::NatMappings, 400, 405, 5, 0));
    }

    #[test]
    fn the_price_never_falls_with_the_size() {
        for table in tables() {
            for rows in 0..2000 {
                assert!(Cost::single(&table, rows) <= Cost::single(&table, rows + 1));
                assert!(Cost::whole(&table, rows) <= Cost::whole(&table, rows + 1));
            }
        }
    }
}
