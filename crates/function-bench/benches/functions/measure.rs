//! What is measured, and how.

use std::time::{Duration, Instant};

use bytes::Bytes;
use function_bench::{Memory, Sample};
use serde_json::Value;

use crate::Result;
use crate::aws::Aws;
use crate::events::{self, Workload};
use crate::function::{Function, Launcher};

/// Rounds before the measured ones: connections are made, sessions assumed, configuration read.
const WARM_UP: u32 = 20;

/// Records of a batch: what the template's event source has.
pub(crate) const BATCH: usize = 100;

/// Calls after which reservations are settled, so that meters keep the size that they have in use.
const CALLS_TO_SETTLE: usize = 20;

/// Invocations after which memory is read.
pub(crate) const CALLS_TO_MEMORY: usize = 1_000;

/// How a function's processes came up.
#[derive(Debug)]
pub(crate) struct Starts {
    pub(crate) function: &'static str,
    pub(crate) init: Sample,
    pub(crate) first_answer: Sample,
}

/// Calls of one kind, through the gateway and without it; times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) title: String,
    pub(crate) is_streamed: bool,
    /// Of `invoke`, for each call.
    pub(crate) cpu: Sample,
    pub(crate) first: Compared,
    pub(crate) end: Compared,
}

/// The same moment of the same call: once asked directly, once through the gateway.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) direct: Sample,
    pub(crate) gateway: Sample,
    /// The difference of the two in one round.
    pub(crate) added: Sample,
}

impl Compared {
    fn push(&mut self, direct: Duration, gateway: Duration) {
        self.direct.push_time(direct);
        self.gateway.push_time(gateway);
        self.added.push((gateway.as_secs_f64() - direct.as_secs_f64()) * 1_000.0);
    }
}

/// Invocations of one kind, without anything to compare them with; times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Invocations {
    pub(crate) time: Sample,
    pub(crate) cpu: Sample,
}

/// Starts `function` `times` times, handing each process one event.
pub(crate) async fn starts(
    launcher: &Launcher,
    function: &'static str,
    event: &Bytes,
    times: u32,
) -> Result<Starts> {
    let mut starts = Starts { function, init: Sample::default(), first_answer: Sample::default() };
    for _ in 0..times {
        let mut process = launcher.start(function).await?;
        let start = process.first_call(event).await?;
        starts.init.push_time(start.init);
        starts.first_answer.push_time(start.first_answer);
        process.stop().await?;
    }
    Ok(starts)
}

/// Authorizes the same token over and over; memory is that after [`CALLS_TO_MEMORY`].
pub(crate) async fn authorizations(
    launcher: &Launcher,
    event: &Bytes,
) -> Result<(Invocations, Memory)> {
    let mut process = launcher.start("authorizer").await?;
    let mut invocations = Invocations::default();
    for _ in 0..CALLS_TO_MEMORY {
        let invocation = process.call(event).await?;
        invocations.time.push_time(invocation.total);
        invocations.cpu.push_time(invocation.cpu);
    }
    let memory = process.memory()?;
    process.stop().await?;
    Ok((invocations, memory))
}

/// Calls every kind `rounds` times, in turns with the same call made directly; memory is that of
/// `invoke` when it had answered [`CALLS_TO_MEMORY`] calls, if it came to that.
pub(crate) async fn calls(
    launcher: &Launcher,
    books: &mut Books,
    workloads: &[Workload],
    rounds: u32,
) -> Result<(Vec<Calls>, Option<Memory>)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut invoke = launcher.start("invoke").await?;
    let mut results: Vec<Calls> = workloads
        .iter()
        .map(|workload| Calls {
            title: workload.title.clone(),
            is_streamed: workload.is_streamed,
            ..Calls::default()
        })
        .collect();
    let (mut memory, mut answered) = (None, 0);
    for round in 0..WARM_UP + rounds {
        for (workload, result) in workloads.iter().zip(&mut results) {
            // Whoever comes second finds caches warm: take turns in that, too.
            let (direct, call) = if round % 2 == 0 {
                let direct = ask_model(&client, &launcher.aws, workload).await?;
                (direct, invoke.call(&workload.event).await?)
            } else {
                let call = invoke.call(&workload.event).await?;
                (ask_model(&client, &launcher.aws, workload).await?, call)
            };
            require_whole(workload, &call.body)?;
            answered += 1;
            if answered == CALLS_TO_MEMORY {
                memory = Some(invoke.memory()?);
            }
            if round >= WARM_UP {
                result.cpu.push_time(call.cpu);
                result.first.push(direct.0, call.first);
                result.end.push(direct.1, call.total);
            }
            if answered % CALLS_TO_SETTLE == 0 {
                books.settle(launcher).await?;
            }
        }
    }
    books.settle(launcher).await?;
    invoke.stop().await?;
    Ok((results, memory))
}

/// The times until the first byte of the model's answer and until the last.
async fn ask_model(
    client: &reqwest::Client,
    aws: &Aws,
    workload: &Workload,
) -> Result<(Duration, Duration)> {
    let request = client.post(format!("{}{}", aws.models_url, workload.path));
    let request = request
        .header("content-type", "application/json")
        .header("anthropic-version", "2023-06-01");
    let request = request.body(workload.body.clone()).build()?;
    let asked_at = Instant::now();
    let mut answer = client.execute(request).await?.error_for_status()?;
    let mut first = None;
    while answer.chunk().await?.is_some() {
        first.get_or_insert_with(|| asked_at.elapsed());
    }
    let end = asked_at.elapsed();
    Ok((first.unwrap_or(end), end))
}

/// What is measured must have worked.
fn require_whole(workload: &Workload, body: &[u8]) -> Result<()> {
    let body = String::from_utf8_lossy(body);
    let is_whole = body.contains("river") && body.contains(workload.end);
    if is_whole {
        Ok(())
    } else {
        Err(format!("{}: not a whole answer: {body}", workload.title).into())
    }
}

/// `metering-aggregator`, and how far it has read.
#[derive(Debug)]
pub(crate) struct Books {
    aggregator: Function,
    last: String,
}

impl Books {
    pub(crate) async fn open(launcher: &Launcher) -> Result<Self> {
        Ok(Self {
            aggregator: launcher.start("metering-aggregator").await?,
            last: "USAGE#".to_owned(),
        })
    }

    /// Settles whatever has been recorded.
    pub(crate) async fn settle(&mut self, launcher: &Launcher) -> Result<()> {
        while self.settle_batch(&launcher.aws).await?.is_some() {}
        match launcher.aws.open_reservations().await? {
            0 => Ok(()),
            open => Err(format!("{open} reservations are still open").into()),
        }
    }

    /// Goes on with a new process.
    pub(crate) async fn renew(self, launcher: &Launcher) -> Result<Self> {
        let books = Self { last: self.last, ..Self::open(launcher).await? };
        self.aggregator.stop().await?;
        Ok(books)
    }

    pub(crate) async fn close(self) -> Result<Memory> {
        let memory = self.aggregator.memory()?;
        self.aggregator.stop().await?;
        Ok(memory)
    }

    /// Settles the next batch; its size, and what that took. `None` if there is nothing to settle.
    async fn settle_batch(&mut self, aws: &Aws) -> Result<Option<(usize, Duration, Duration)>> {
        let records = aws.usage_records(&self.last, BATCH).await?;
        let Some(last) = records.last() else { return Ok(None) };
        let last = last.pointer("/SK/S").and_then(Value::as_str).unwrap_or_default().to_owned();
        let call = self.aggregator.call(&events::stream(&records)).await?;
        let answer: Value = serde_json::from_slice(&call.body)?;
        if answer.pointer("/batchItemFailures/0").is_some() {
            return Err(format!("metering-aggregator could not settle: {answer}").into());
        }
        self.last = last;
        Ok(Some((records.len(), call.total, call.cpu)))
    }
}

/// Settles `batches` whole batches of calls that were made for it; times are for each record.
pub(crate) async fn settlements(
    launcher: &Launcher,
    books: &mut Books,
    workload: &Workload,
    batches: u32,
) -> Result<Invocations> {
    let mut invoke = launcher.start("invoke").await?;
    let mut invocations = Invocations::default();
    for _ in 0..batches {
        for _ in 0..BATCH {
            invoke.call(&workload.event).await?;
        }
        let (records, time, cpu) =
            books.settle_batch(&launcher.aws).await?.ok_or("no call was recorded")?;
        let records = u32::try_from(records)?;
        invocations.time.push_time(time / records);
        invocations.cpu.push_time(cpu / records);
    }
    books.settle(launcher).await?;
    invoke.stop().await?;
    Ok(invocations)
}

/// Writes to DynamoDB alone, for comparison.
pub(crate) async fn writes(aws: &Aws) -> Result<Sample> {
    let mut times = Sample::default();
    for _ in 0..CALLS_TO_MEMORY {
        let asked_at = Instant::now();
        aws.write().await?;
        times.push_time(asked_at.elapsed());
    }
    Ok(times)
}
