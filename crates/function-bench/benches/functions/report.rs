//! The figures, for people and for programs.

use std::fmt::{self, Display, Formatter};

use function_bench::{Memory, Sample};
use serde_json::{Value, json};

use crate::binaries::Size;
use crate::measure::{BATCH, CALLS_TO_MEMORY, Calls, Compared, Invocations, Starts};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) profile: String,
    /// Load of the machine before and after.
    pub(crate) load: [f64; 2],
    pub(crate) sizes: Vec<(&'static str, Size)>,
    pub(crate) starts: Vec<Starts>,
    pub(crate) memory: Vec<(&'static str, String, Memory)>,
    pub(crate) authorizations: Invocations,
    pub(crate) calls: Vec<Calls>,
    pub(crate) settlements: Invocations,
    pub(crate) write: Sample,
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let sizes = self.sizes.iter().map(|(function, size)| {
            json!({ "function": function, "binary_bytes": size.binary, "zip_bytes": size.zip })
        });
        let starts = self.starts.iter().map(|starts| {
            json!({
                "function": starts.function, "starts": starts.init.len(),
                "init_ms": spread(&starts.init), "first_answer_ms": spread(&starts.first_answer),
            })
        });
        let memory = self.memory.iter().map(|(function, after, memory)| {
            json!({
                "function": function, "after": after,
                "resident_kib": memory.resident_kib, "peak_kib": memory.peak_kib,
            })
        });
        let calls = self.calls.iter().map(|calls| {
            json!({
                "title": calls.title, "calls": calls.cpu.len(), "cpu_ms_per_call": calls.cpu.mean(),
                "first_byte": compared(&calls.first), "end": compared(&calls.end),
            })
        });
        json!({
            "profile": self.profile, "load": self.load,
            "sizes": sizes.collect::<Vec<_>>(),
            "starts": starts.collect::<Vec<_>>(),
            "memory": memory.collect::<Vec<_>>(),
            "authorizer": {
                "calls": self.authorizations.time.len(),
                "cpu_ms_per_call": self.authorizations.cpu.mean(), "time_ms": spread(&self.authorizations.time),
            },
            "invoke": calls.collect::<Vec<_>>(),
            "metering_aggregator": {
                "batches": self.settlements.time.len(), "records_per_batch": BATCH,
                "cpu_ms_per_record": self.settlements.cpu.mean(), "time_ms_per_record": spread(&self.settlements.time),
                "records_per_second": self.records_per_second(),
            },
            "dynamodb_write_ms": spread(&self.write),
        })
    }

    fn records_per_second(&self) -> f64 {
        1_000.0 / self.settlements.time.mean()
    }
}

fn spread(sample: &Sample) -> Value {
    json!({ "p50": sample.median(), "p95": sample.percentile(95), "p99": sample.percentile(99) })
}

fn compared(compared: &Compared) -> Value {
    json!({
        "direct_ms": spread(&compared.direct), "gateway_ms": spread(&compared.gateway),
        "added_ms": spread(&compared.added), "ratio": ratio(compared),
    })
}

fn ratio(compared: &Compared) -> f64 {
    compared.gateway.median() / compared.direct.median()
}

/// As tables in Markdown.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [before, after] = self.load;
        writeln!(f, "Load of the machine: {before:.1} before, {after:.1} after.\n")?;
        writeln!(f, "| function | binary, MB | zip, MB |\n|---|--:|--:|")?;
        for (function, size) in &self.sizes {
            writeln!(f, "| `{function}` | {} | {} |", megabytes(size.binary), megabytes(size.zip))?;
        }
        writeln!(
            f,
            "\n| start of process, ms | until it asks for an event: p50 | p95 | until the first answer: p50 | p95 |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for starts in &self.starts {
            let (init, first) = (&starts.init, &starts.first_answer);
            write!(f, "| `{}`, {} starts | {:.1} ", starts.function, init.len(), init.median())?;
            let (p95, first_p95) = (init.percentile(95), first.percentile(95));
            writeln!(f, "| {p95:.1} | {:.1} | {first_p95:.1} |", first.median())?;
        }
        writeln!(f, "\n| memory, MiB | after | resident | at most |\n|---|---|--:|--:|")?;
        for (function, after, memory) in &self.memory {
            let (resident, peak) = (mebibytes(memory.resident_kib), mebibytes(memory.peak_kib));
            writeln!(f, "| `{function}` | {after} | {resident} | {peak} |")?;
        }
        self.write_calls(f)?;
        let (authorizations, settlements) = (&self.authorizations, &self.settlements);
        writeln!(f, "\n| other invocations | CPU, ms | time, ms: p50 | p99 |\n|---|--:|--:|--:|")?;
        writeln!(
            f,
            "| `authorizer`, each of {CALLS_TO_MEMORY} calls | {:.3} | {:.2} | {:.2} |",
            authorizations.cpu.mean(),
            authorizations.time.median(),
            authorizations.time.percentile(99),
        )?;
        writeln!(
            f,
            "| `metering-aggregator`, each record, {} batches of {BATCH} | {:.3} | {:.2} | {:.2} |",
            settlements.time.len(),
            settlements.cpu.mean(),
            settlements.time.median(),
            settlements.time.percentile(99),
        )?;
        let write = &self.write;
        writeln!(
            f,
            "| one `UpdateItem` of dynoxide alone | | {:.2} | {:.2} |",
            write.median(),
            write.percentile(99)
        )?;
        writeln!(
            f,
            "\n`metering-aggregator` settles {:.0} records per second.",
            self.records_per_second()
        )
    }
}

impl Report {
    fn write_calls(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = "CPU, ms | direct, ms: p50 | gateway, ms: p50 | added, ms: p50 | p99 | ratio";
        writeln!(f, "\n| call of `invoke` | {columns} |\n|---|--:|--:|--:|--:|--:|--:|")?;
        for calls in &self.calls {
            let cpu = format!("{:.3}", calls.cpu.mean());
            if calls.is_streamed {
                write_compared(f, &format!("{}: first data", calls.title), "", &calls.first)?;
                write_compared(f, &format!("{}: end", calls.title), &cpu, &calls.end)?;
            } else {
                write_compared(f, &calls.title, &cpu, &calls.end)?;
            }
        }
        Ok(())
    }
}

fn write_compared(
    f: &mut Formatter<'_>,
    title: &str,
    cpu: &str,
    compared: &Compared,
) -> fmt::Result {
    let (direct, gateway, added) =
        (compared.direct.median(), compared.gateway.median(), compared.added.median());
    let (p99, ratio) = (compared.added.percentile(99), ratio(compared));
    writeln!(
        f,
        "| {title} | {cpu} | {direct:.2} | {gateway:.2} | {added:.2} | {p99:.2} | {ratio:.1} |"
    )
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

fn mebibytes(kib: u64) -> String {
    format!("{}.{}", kib / 1_024, kib % 1_024 * 10 / 1_024)
}
