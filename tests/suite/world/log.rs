//! What the code under test logs, kept apart for each world: several live in one process.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use tracing::{
    Dispatch,
    dispatcher::{DefaultGuard, set_default},
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::lock;

/// How many lines are kept.
const LINES: usize = 4000;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<VecDeque<String>>>);

/// The log of one world.
#[derive(Clone)]
pub(crate) struct Log {
    lines: Lines,
    /// One for all threads: spans wander between them.
    dispatch: Dispatch,
}

impl Default for Log {
    fn default() -> Self {
        let lines = Lines::default();
        let filter = std::env::var("SKYY_LOG").unwrap_or_else(|_| "info".into());
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        Self { lines, dispatch: Dispatch::new(subscriber) }
    }
}

impl Log {
    /// Hears what is logged on this thread, until the guard goes.
    pub(crate) fn listen(&self) -> DefaultGuard {
        set_default(&self.dispatch)
    }

    /// The last lines.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let log = lock(&self.lines.0);
        log.iter().skip(log.len().saturating_sub(lines)).cloned().collect()
    }

    /// Whether a line holds this text.
    pub(crate) fn says(&self, text: &str) -> bool {
        lock(&self.lines.0).iter().any(|line| line.contains(text))
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A line comes in one piece.
impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut log = lock(&self.0);
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
