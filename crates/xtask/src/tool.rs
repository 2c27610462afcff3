//! Running a tool to its end: its output goes to a log and, as far as useful, to the terminal.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::console::Step;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::layout::Layout;
use crate::process::{GLANCE, Leader};

/// How many lines of a log are repeated on the terminal when a step fails.
const TAIL_LINES: usize = 40;

/// How long output is awaited after a tool has ended; something that it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs `command` below `step`; if it fails, the end of its output is the message.
pub(crate) fn run(
    layout: &Layout,
    step: &mut Step,
    name: &str,
    command: &mut Command,
) -> Result<()> {
    let log = layout.log(name);
    let mut last = String::new();
    let is_success = run_with(command, &log, |line| {
        if let Some(line) = line {
            last.clear();
            last.push_str(line);
        }
        step.progress(&last);
    })?;
    if is_success { Ok(()) } else { Err(failed(layout, name, &log)) }
}

/// Runs `command`, handing each line of its output to `on_line` and to the log, and `None` now and then while there is
/// none. Returns whether it succeeded. Ctrl-C ends it, with all that it started.
pub(crate) fn run_with(
    command: &mut Command,
    log: &Path,
    mut on_line: impl FnMut(Option<&str>),
) -> Result<bool> {
    interrupt::check()?;
    let mut log_file = create(log)?;
    let (reader, writer) =
        io::pipe().map_err(|error| Failure::new(format!("could not open a pipe: {error}")))?;
    let second = writer
        .try_clone()
        .map_err(|error| Failure::new(format!("could not open a pipe: {error}")))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(second);
    let (leader, mut child) = Leader::spawn(command)?;
    // The command holds our end of the pipe; as long as it does, the pipe never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let lines = read_lines(reader);
    let exit = loop {
        match lines.recv_timeout(GLANCE) {
            Ok(line) => {
                write_line(&mut log_file, log, &line)?;
                on_line(Some(&line));
            }
            Err(RecvTimeoutError::Timeout) => on_line(None),
            Err(RecvTimeoutError::Disconnected) => thread::sleep(GLANCE),
        }
        if let Err(interrupted) = interrupt::check() {
            leader.end()?;
            return Err(interrupted);
        }
        match child.try_wait() {
            Ok(Some(exit)) => break exit,
            Ok(None) => {}
            Err(error) => {
                return Err(Failure::new(format!("could not wait for a process: {error}")));
            }
        }
    };
    while let Ok(line) = lines.recv_timeout(LAST_WORDS) {
        write_line(&mut log_file, log, &line)?;
        on_line(Some(&line));
    }
    Ok(exit.success())
}

/// The failure of the tool that wrote `log`.
pub(crate) fn failed(layout: &Layout, name: &str, log: &Path) -> Failure {
    Failure::new(format!("{name} failed; the end of {}:\n{}", layout.shown(log), tail(log)))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text =
        fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(TAIL_LINES);
    lines.get(start..).unwrap_or_default().iter().flat_map(|line| ["    ", line, "\n"]).collect()
}

/// An empty log at that path.
pub(crate) fn create(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(Failure::at("create", folder))?;
    }
    File::create(log).map_err(Failure::at("write", log))
}

/// Where a program of that name is, as a shell would find it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn write_line(file: &mut File, log: &Path, line: &str) -> Result<()> {
    writeln!(file, "{line}").map_err(Failure::at("write", log))
}

fn read_lines(reader: io::PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            // A tool that draws a bar overwrites its line; the last state counts.
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_script(script: &str) -> (bool, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/x.log");
        let mut lines = Vec::new();
        let is_success = run_with(Command::new("sh").args(["-c", script]), &log, |line| {
            lines.extend(line.map(str::to_owned));
        })
        .unwrap();
        let logged: Vec<String> =
            fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines, logged, "what is seen is what is logged");
        (is_success, lines)
    }

    #[test]
    fn output_and_errors_arrive_in_order() {
        let (is_success, lines) =
            run_script("echo one; echo two >&2; printf 'a\\rb\\n'; echo three; exit 3");
        assert!(!is_success);
        assert_eq!(lines, ["one", "two", "b", "three"]);
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_a_tool_up() {
        let (is_success, lines) = run_script("sleep 3 & echo done");
        assert!(is_success);
        assert_eq!(lines, ["done"]);
    }
}
