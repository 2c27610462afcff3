//! Progress on the terminal. Everything goes to stderr; stdout is for results.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a step that goes on is mentioned where lines cannot be overwritten.
const MENTION_EVERY: Duration = Duration::from_secs(15);

/// How much of a tool's last line is shown beside a running step.
const SHOWN_CHARS: usize = 72;

/// A step that takes a while, shown with its elapsed time.
pub(crate) struct Step {
    title: String,
    started: Instant,
    mentioned: Instant,
    is_terminal: bool,
    is_done: bool,
}

impl Step {
    /// Starts it.
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let now = Instant::now();
        let is_terminal = io::stderr().is_terminal();
        let step =
            Self { title: title.into(), started: now, mentioned: now, is_terminal, is_done: false };
        step.show(&if is_terminal { step.title.clone() } else { format!("... {}\n", step.title) });
        step
    }

    /// Shows that it goes on, and what it says.
    pub(crate) fn progress(&mut self, line: &str) {
        let elapsed = seconds(self.started.elapsed());
        let line: String =
            line.trim().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
        if self.is_terminal {
            self.show(&format!("{}  {elapsed}  {line}", self.title));
        } else if self.mentioned.elapsed() >= MENTION_EVERY {
            self.mentioned = Instant::now();
            self.show(&format!("    {elapsed}  {line}\n"));
        }
    }

    /// Ends it well.
    pub(crate) fn done(mut self, note: &str) {
        self.is_done = true;
        let elapsed = seconds(self.started.elapsed());
        let note = if note.is_empty() { String::new() } else { format!("  ({note})") };
        self.show(&format!("ok  {}  {elapsed}{note}\n", self.title));
    }

    fn show(&self, text: &str) {
        let start = if self.is_terminal { "\r\x1b[2K" } else { "" };
        let mut stderr = io::stderr().lock();
        // A terminal that is gone must not end the clean-up.
        let _ = write!(stderr, "{start}{text}").and_then(|()| stderr.flush());
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.is_done {
            let elapsed = seconds(self.started.elapsed());
            self.show(&format!("--  {}  {elapsed}\n", self.title));
        }
    }
}

/// A duration as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// Says something beside the steps.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a result to stdout.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: u64, text: &str) {
        assert_eq!(seconds(Duration::from_millis(millis)), text);
    }

    #[test]
    fn durations_are_as_exact_as_a_person_needs() {
        check(420, "0.4 s");
        check(9_940, "9.9 s");
        check(12_700, "12 s");
        check(185_000, "3 min 05 s");
    }
}
