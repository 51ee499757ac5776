//! How far it is, for people: a table that is rewritten in place on a terminal, and lines when something changes
//! elsewhere. Asks nobody for anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::world::Kind;
use crate::ui;

/// Where output is no terminal, one kind speaks this often at most.
const QUIET: Duration = Duration::from_secs(5);
/// Narrower, and the last column is of no use.
const NARROWEST: usize = 60;
const WIDEST: usize = 160;

/// The table, on whatever stdout is.
#[derive(Debug)]
pub struct Table {
    terminal: bool,
    drawn: usize,
    said: BTreeMap<String, (Instant, String)>,
}

/// One kind, with what is expected of it.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What there is.
    pub kind: &'a Kind,
    /// How many there should be at least.
    pub expected: usize,
}

impl Row<'_> {
    /// Whether all is there and Ready.
    pub fn done(&self) -> bool {
        self.kind.objects.len() >= self.expected && self.kind.ready() == self.kind.objects.len()
    }

    fn total(&self) -> usize {
        self.expected.max(self.kind.objects.len())
    }

    fn progress(&self) -> String {
        format!("{}/{}", self.kind.ready(), self.total())
    }

    /// What is happening: the first that is not Ready, in its own words.
    fn happening(&self) -> String {
        if let Some(object) = self.kind.waiting() {
            return one_line(&format!("{}: {}", object.name, object.message));
        }
        match self.expected.saturating_sub(self.kind.objects.len()) {
            0 => String::new(),
            missing => format!("{missing} not made yet"),
        }
    }
}

impl Table {
    /// Empty.
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), drawn: 0, said: BTreeMap::new() }
    }

    /// Shows how it stands, after so long.
    pub fn show(&mut self, rows: &[Row<'_>], since: Duration) {
        if self.terminal {
            self.draw(&lines(rows, since, width()));
        } else {
            self.say(rows, since);
        }
    }

    fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Back to the first line, and everything below it away.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        self.drawn = lines.len();
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    fn say(&mut self, rows: &[Row<'_>], since: Duration) {
        for row in rows.iter().filter(|row| row.total() > 0) {
            let happening = row.happening();
            let separator = if happening.is_empty() { "" } else { "  " };
            let text = format!("{:<15} {:>9} Ready{separator}{happening}", row.kind.name, row.progress());
            let new = match self.said.get(&row.kind.name) {
                None => true,
                Some((at, before)) => *before != text && (row.done() || at.elapsed() >= QUIET),
            };
            if new {
                ui::line(format!("{:>4} s  {text}", since.as_secs()));
                self.said.insert(row.kind.name.clone(), (Instant::now(), text));
            }
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

fn width() -> usize {
    terminal_size::terminal_size()
        .map_or(80, |(terminal_size::Width(columns), _)| usize::from(columns))
        .clamp(NARROWEST, WIDEST)
}

fn lines(rows: &[Row<'_>], since: Duration, width: usize) -> Vec<String> {
    let mut lines = vec![format!("{:<15} {:>9}  WHAT IS HAPPENING", "KIND", "READY")];
    for row in rows.iter().filter(|row| row.total() > 0) {
        let text = format!("{:<15} {:>9}  {}", row.kind.name, row.progress(), row.happening());
        lines.push(cut(&text, width));
    }
    lines.push(format!("{} since it was applied", ui::duration(since)));
    lines
}

/// What is not Ready and why, for a person who comes too late to see it happen.
pub fn not_ready(rows: &[Row<'_>]) -> Vec<String> {
    /// Of one kind; the rest says the same.
    const SHOWN: usize = 5;
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| !row.done()) {
        let waiting: Vec<_> = row.kind.objects.iter().filter(|object| !object.ready).collect();
        for object in waiting.iter().take(SHOWN) {
            let said = one_line(&object.message);
            lines.push(format!("{:<15} {}  {}: {said}", row.kind.name, object.name, object.reason));
        }
        if waiting.len() > SHOWN {
            lines.push(format!("{:<15} and {} more", row.kind.name, waiting.len() - SHOWN));
        }
        let missing = row.expected.saturating_sub(row.kind.objects.len());
        if missing > 0 {
            lines.push(format!("{:<15} {missing} not there", row.kind.name));
        }
    }
    lines
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.trim_end().to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::world::Object;

    fn kind(name: &str, objects: &[(&str, bool, &str)]) -> Kind {
        let object = |(name, ready, message): &(&str, bool, &str)| Object {
            name: (*name).to_owned(),
            ready: *ready,
            reason: String::from("Waiting"),
            message: (*message).to_owned(),
            version: String::new(),
        };
        Kind { name: name.to_owned(), objects: objects.iter().map(object).collect() }
    }

    #[test]
    fn a_line_says_how_many_and_what_the_first_waits_for() {
        let firewall = kind("Firewall", &[("edge", true, "")]);
        let vips = kind("VirtualIP", &[("t/a", true, ""), ("t/b", false, "one\n two  three")]);
        let pools = kind("CephPool", &[]);
        let none = kind("AddressClaim", &[]);
        let rows = [
            Row { kind: &firewall, expected: 1 },
            Row { kind: &vips, expected: 3 },
            Row { kind: &pools, expected: 2 },
            Row { kind: &none, expected: 0 },
        ];
        assert_eq!(rows.iter().map(Row::done).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(
            lines(&rows, Duration::from_secs(61), 45),
            [
                "KIND                READY  WHAT IS HAPPENING",
                "Firewall              1/1",
                "VirtualIP             1/3  t/b: one two three",
                "CephPool              0/2  2 not made yet",
                "1 min 01 s since it was applied",
            ]
        );
        assert_eq!(lines(&rows, Duration::ZERO, 40)[2], "VirtualIP             1/3  t/b: one two…");
        assert_eq!(
            not_ready(&rows),
            [
                "VirtualIP       t/b  Waiting: one two three",
                "VirtualIP       1 not there",
                "CephPool        2 not there",
            ]
        );
    }
}
