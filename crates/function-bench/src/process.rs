//! What a running process costs, as Linux tells in `/proc`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// Memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now, in KiB.
    pub resident_kib: u64,
    /// Resident at most so far, in KiB.
    pub peak_kib: u64,
}

/// Processor time that the living threads of a process have used, user and system together.
///
/// Taken from the scheduler, in nanoseconds: `utime` and `stime` count in hundredths of a second.
///
/// # Errors
/// If the process is gone, or the system keeps no such count.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = text.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
        total += Duration::from_nanos(on_cpu.ok_or_else(|| unreadable("schedstat"))?);
    }
    Ok(total)
}

/// How many processes wanted to run in the last minute: the more beyond the processors, the less figures mean.
///
/// # Errors
/// If the system does not tell.
pub fn load() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let last_minute = text.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
    last_minute.ok_or_else(|| unreadable("load"))
}

/// The memory of a process.
///
/// # Errors
/// If the process is gone.
pub fn memory(pid: u32) -> io::Result<Memory> {
    parse_memory(&fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?)
}

fn parse_memory(status: &str) -> io::Result<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.ok_or_else(|| unreadable(name))
    };
    Ok(Memory { resident_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("found no {what} in /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let memory = parse_memory(
            "Name:\tinvoke\nVmHWM:\t   14212 kB\nVmRSS:\t   13980 kB\nRssAnon:\t 1 kB\n",
        )
        .unwrap();
        assert_eq!(memory, Memory { resident_kib: 13_980, peak_kib: 14_212 });
        assert!(parse_memory("Name:\tzombie\n").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_shows_in_the_processor_time() {
        let before = cpu_time(std::process::id()).unwrap();
        let after = loop {
            let now = cpu_time(std::process::id()).unwrap();
            if now != before {
                break now;
            }
        };
        assert!(after > before);
        assert!(memory(std::process::id()).unwrap().resident_kib > 0);
    }
}
