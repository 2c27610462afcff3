//! Processes in groups of their own, so that ending one ends all that it started.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// Says which stack a process belongs to; every process below a service inherits it.
pub(crate) const STACK_VARIABLE: &str = "WEIR_LOCAL_STACK";

/// How long something may take to end once it was asked to: the local AWS needs some seconds with many workers.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often the state of a process is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// The leader of a process group, as it is remembered between commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leader {
    /// Process id, also that of the group.
    pid: i32,
    /// When it started, in the kernel's ticks; tells it from a later process of the same id.
    started: Option<u64>,
}

impl Leader {
    /// Starts `command` as the leader of a new group.
    pub(crate) fn spawn(command: &mut Command) -> Result<(Self, Child)> {
        let child = command.process_group(0).spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            Failure::new(format!("could not start {program}: {error}"))
        })?;
        let pid =
            i32::try_from(child.id()).map_err(|_| Failure::new("a process id is out of range"))?;
        Ok((Self { pid, started: status(pid).map(|status| status.started) }, child))
    }

    /// Whether it still runs, and is not another one that has got its id since.
    pub(crate) fn is_alive(&self) -> bool {
        reap(self.pid);
        match status(self.pid) {
            Some(status) => {
                !status.is_zombie && self.started.is_none_or(|started| started == status.started)
            }
            None if has_proc() => false,
            None => kill(Pid::from_raw(self.pid), None).is_ok(),
        }
    }

    /// Ends it and everything in its group: asks, waits, then insists. Returns when nothing is left.
    pub(crate) fn end(&self) -> Result<()> {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
            wait_until(PATIENCE, || !self.is_alive());
        } else if !self.is_own_group() {
            return Ok(());
        }
        let group = Pid::from_raw(self.pid);
        if killpg(group, Signal::SIGKILL) == Err(Errno::ESRCH) {
            return Ok(());
        }
        if wait_until(PATIENCE, || !group_is_alive(self.pid)) {
            Ok(())
        } else {
            Err(Failure::new(format!("processes of group {} did not end", self.pid)))
        }
    }

    /// Whether the group may be signalled although its leader is gone: not if the id now leads another one.
    fn is_own_group(&self) -> bool {
        status(self.pid)
            .is_none_or(|status| self.started.is_none_or(|started| started == status.started))
    }
}

/// Ends every process that was started, however indirectly, by a service of the stack in `stack`.
/// Returns how many there were. Knows them only where there is a `/proc`.
pub(crate) fn end_strays(stack: &Path) -> usize {
    let strays = strays(stack);
    for pid in &strays {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    wait_until(PATIENCE, || {
        strays.iter().all(|pid| status(*pid).is_none_or(|status| status.is_zombie))
    });
    strays.len()
}

fn strays(stack: &Path) -> Vec<i32> {
    let marker = format!("{STACK_VARIABLE}={}", stack.display()).into_bytes();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    pids()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|variable| variable == marker)
            })
        })
        .collect()
}

/// Looks at `is_true` until it is, or until `limit` has passed; returns which.
pub(crate) fn wait_until(limit: Duration, is_true: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if is_true() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(GLANCE);
    }
}

/// Takes note of the end of a child, which otherwise stays as a zombie; does nothing for others.
fn reap(pid: i32) {
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

fn group_is_alive(group: i32) -> bool {
    reap(group);
    if has_proc() {
        pids().filter_map(status).any(|status| status.group == group && !status.is_zombie)
    } else {
        killpg(Pid::from_raw(group), None).is_ok()
    }
}

/// What the kernel says about a process, where there is a `/proc`.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    group: i32,
    is_zombie: bool,
    started: u64,
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn status(pid: i32) -> Option<Status> {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/<pid>/stat`. The second field is the program's name in parentheses and may hold anything.
fn parse_status(line: &str) -> Option<Status> {
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Some(Status {
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_named_like_other_fields() {
        let line = "42 (a) Z 1 (b) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(
            parse_status(line),
            Some(Status { group: 40, is_zombie: false, started: 98_765 })
        );
    }

    #[test]
    fn ending_a_leader_ends_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600 & wait"]);
        let (leader, _child) = Leader::spawn(&mut command).unwrap();
        assert!(leader.is_alive());
        leader.end().unwrap();
        assert!(!leader.is_alive());
        assert!(!group_is_alive(leader.pid));
        leader.end().unwrap();
    }

    #[test]
    fn what_outlives_its_leader_is_ended_too() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & exit 0"]);
        let (leader, mut child) = Leader::spawn(&mut command).unwrap();
        child.wait().unwrap();
        leader.end().unwrap();
        assert!(!group_is_alive(leader.pid));
    }

    #[test]
    fn another_process_of_the_same_id_is_left_alone() {
        let mut command = Command::new("sleep");
        let (leader, _child) = Leader::spawn(command.arg("600")).unwrap();
        if let Some(started) = leader.started {
            let earlier = Leader { started: Some(started - 1), ..leader.clone() };
            assert!(!earlier.is_alive());
            earlier.end().unwrap();
            assert!(leader.is_alive(), "it was not the one that was meant");
        }
        leader.end().unwrap();
    }
}
