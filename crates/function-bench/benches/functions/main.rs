//! Drives the functions' programs through the Lambda Runtime API, with everything that they talk to
//! in this process: DynamoDB (dynoxide), STS, the user pool's keys, and models that answer at once.

mod aws;
mod binaries;
mod events;
mod function;
mod listener;
mod measure;
mod report;
mod runtime_api;
mod token;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;

use crate::aws::Aws;
use crate::binaries::FUNCTIONS;
use crate::events::Workload;
use crate::function::Launcher;
use crate::measure::{Books, CALLS_TO_MEMORY};
use crate::report::Report;
use crate::token::SigningKey;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures size, start, memory, processor time and added latency of the functions.
#[derive(Debug, Parser)]
struct Arguments {
    /// Profile that the functions are built with.
    #[arg(long, default_value = "release")]
    functions_profile: String,
    /// Starts of each function.
    #[arg(long, default_value_t = 20)]
    starts: u32,
    /// Calls of each kind.
    #[arg(long, default_value_t = 1_000)]
    calls: u32,
    /// Batches of usage records to settle.
    #[arg(long, default_value_t = 20)]
    batches: u32,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("no workspace")?;
    let results = root.join("target/function-bench");
    let report = measure(&arguments, root, results.clone()).await?;
    println!("\n{report}");
    let file = results.join("results.json");
    fs::write(&file, format!("{:#}\n", report.json()))?;
    println!("The same as JSON: {}", file.display());
    Ok(())
}

async fn measure(arguments: &Arguments, root: &Path, logs: PathBuf) -> Result<Report> {
    progress(&format!("building the functions, profile `{}`", arguments.functions_profile));
    let binaries = binaries::build(root, &arguments.functions_profile)?;
    progress("compressing them");
    let mut sizes = Vec::new();
    for name in FUNCTIONS {
        sizes.push((name, binaries::size(binaries.get(name).ok_or("no such function")?)?));
    }

    let before = function_bench::load()?;
    let models = read(&root.join("infra/seed/models.json"))?;
    let key = SigningKey::generate()?;
    let aws = Aws::start(&key, &models, &read(&root.join("infra/seed/prices.json"))?).await?;
    let launcher = Launcher { binaries, aws, logs };
    let workloads = Workload::all(&models)?;
    let chat = workloads.first().ok_or("nothing to call")?;
    let authorization = events::authorization(&key.access_token(unix_ms())?);

    let mut starts = Vec::new();
    let first_events = [&authorization, &chat.event, &events::schedule()];
    let mut books = Books::open(&launcher).await?;
    for (function, event) in FUNCTIONS.into_iter().zip(first_events) {
        progress(&format!("starting {function} {} times", arguments.starts));
        starts.push(measure::starts(&launcher, function, event, arguments.starts).await?);
        books.settle(&launcher).await?;
    }
    progress("authorizing");
    let (authorizations, memory) = measure::authorizations(&launcher, &authorization).await?;
    let mut memories = vec![("authorizer", format!("{CALLS_TO_MEMORY} calls"), memory)];
    progress(&format!("calling models, {} times each way", arguments.calls));
    let (calls, memory) =
        measure::calls(&launcher, &mut books, &workloads, arguments.calls).await?;
    memories.extend(memory.map(|memory| ("invoke", format!("{CALLS_TO_MEMORY} calls"), memory)));

    progress(&format!("settling {} batches", arguments.batches));
    let mut books = books.renew(&launcher).await?;
    let settlements = measure::settlements(&launcher, &mut books, chat, arguments.batches).await?;
    let after = format!("{} batches", arguments.batches);
    memories.push(("metering-aggregator", after, books.close().await?));
    let write = measure::writes(&launcher.aws).await?;
    let profile = arguments.functions_profile.clone();
    let load = [before, function_bench::load()?];
    Ok(Report {
        profile,
        load,
        sizes,
        starts,
        memory: memories,
        authorizations,
        calls,
        settlements,
        write,
    })
}

#[expect(clippy::print_stderr, reason = "a person waits")]
fn progress(step: &str) {
    eprintln!("==> {step}");
}

fn read(path: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Now, in Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the one clock of the benchmark")]
fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
