//! What a person sees while the tools work: progress on stderr, results on stdout. Knows nothing of the work.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Where output is no terminal, a sign of life this often.
const QUIET: Duration = Duration::from_mins(1);

/// Prints one line of the result on stdout. A closed pipe (`| head`) is no error.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints one line of what is going on, on stderr.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Seconds and minutes as people say them: `42 s`, `2 min 05 s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 10 {
        format!("{:.1} s", time.as_secs_f64())
    } else if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// One line that is kept up to date on a terminal, and printed now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    what: String,
    since: Instant,
    printed: Instant,
    terminal: bool,
}

impl Progress {
    /// Says that `what` begins.
    pub fn start(what: impl Into<String>) -> Self {
        let now = Instant::now();
        let progress =
            Self { what: what.into(), since: now, printed: now, terminal: std::io::stderr().is_terminal() };
        if progress.terminal {
            progress.rewrite("");
        } else {
            note(format!("{} …", progress.what));
        }
        progress
    }

    /// As [`Progress::start`], but says nothing where output is no terminal until a minute has passed.
    pub fn quiet(what: impl Into<String>) -> Self {
        let now = Instant::now();
        Self { what: what.into(), since: now, printed: now, terminal: std::io::stderr().is_terminal() }
    }

    /// Takes the line away: what comes next says how it went.
    pub fn clear(self) {
        if self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
    }

    /// Shows where it stands.
    pub fn tick(&mut self, detail: &str) {
        if self.terminal {
            self.rewrite(detail);
        } else if self.printed.elapsed() >= QUIET {
            self.printed = Instant::now();
            note(format!("{}: {}, {detail}", self.what, duration(self.since.elapsed())));
        }
    }

    /// Says that it is done, and how long it took.
    pub fn done(self) {
        if self.terminal {
            self.rewrite("");
            note("");
        } else {
            note(format!("{}: done in {}", self.what, duration(self.since.elapsed())));
        }
    }

    /// Leaves the line as it stands: what comes next is an error that says more.
    pub fn abandon(self) {
        if self.terminal {
            note("");
        }
    }

    fn rewrite(&self, detail: &str) {
        let separator = if detail.is_empty() { "" } else { "  " };
        let text = format!("{}  {}{separator}{detail}", self.what, duration(self.since.elapsed()));
        // Wider than a terminal, the line would wrap and be repeated instead of rewritten.
        let text: String = text.chars().take(78).collect();
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "\r\x1b[2K{text}");
        let _ = err.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        fn check(millis: u64, expected: &str) {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
        check(0, "0.0 s");
        check(1_640, "1.6 s");
        check(9_999, "10.0 s");
        check(10_000, "10 s");
        check(59_999, "59 s");
        check(60_000, "1 min 00 s");
        check(293_000, "4 min 53 s");
        check(3_725_000, "62 min 05 s");
    }
}
