//! Every fault of every provider, through the whole hot path and over real connections: what the
//! client reads, who answers in its place, and what is recorded.
//!
//! What came of it stands in `docs/faults.md`; this test fails if that is not current. To write it anew:
//!
//! ```sh
//! UPDATE_DOCS=1 cargo nextest run -p gateway-aws --test faults
//! ```

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

mod client;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use futures::{FutureExt as _, StreamExt as _};
use inference::{Protocol, ProviderKind};
use metering::{NanoUsd, Outcome, TokenUsage, UsageRecord};
use serde_json::{Value, json};

use crate::client::{Client, MAX_TOKENS, Read, meaning};
use crate::support::{ALIAS, FAILING, HEALTHY, Line, World};

/// A way to a model.
pub(crate) struct Provider {
    name: &'static str,
    kind: ProviderKind,
    protocol: Protocol,
    /// What the provider calls it.
    model: &'static str,
}

const PROVIDERS: [Provider; 7] = [
    bedrock("Bedrock Converse", Protocol::Converse, "anthropic.claude-sonnet-5"),
    bedrock("Bedrock Chat Completions", Protocol::OpenaiChat, "openai.gpt-oss-120b-1:0"),
    bedrock("Bedrock Responses", Protocol::OpenaiResponses, "openai.gpt-oss-120b-1:0"),
    bedrock("Bedrock Messages", Protocol::AnthropicMessages, "anthropic.claude-sonnet-5"),
    bedrock("Bedrock InvokeModel", Protocol::InvokeModel, "anthropic.claude-sonnet-5"),
    Provider {
        name: "SageMaker",
        kind: ProviderKind::Sagemaker,
        protocol: Protocol::OpenaiChat,
        model: "llama-chat",
    },
    Provider {
        name: "OpenAI-compatible",
        kind: ProviderKind::OpenaiCompatible,
        protocol: Protocol::OpenaiChat,
        model: "sim-small",
    },
];

const fn bedrock(name: &'static str, protocol: Protocol, model: &'static str) -> Provider {
    Provider { name, kind: ProviderKind::Bedrock, protocol, model }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
struct Fault {
    name: &'static str,
    /// As the simulator is told.
    script: &'static str,
    line: Line,
    /// Whether a stream has brought content by then; a whole answer never has.
    is_within_answer: bool,
}

const fn fault(name: &'static str, script: &'static str) -> Fault {
    Fault { name, script, line: Line::Sound, is_within_answer: false }
}

const fn late(name: &'static str, script: &'static str) -> Fault {
    Fault { is_within_answer: true, ..fault(name, script) }
}

const FAULTS: [Fault; 14] = [
    Fault { line: Line::Closed, ..fault("connection refused", "{}") },
    fault("429", r#"{"error": {"status": 429}}"#),
    fault("429, `Retry-After: 30`", r#"{"error": {"status": 429, "retry_after": 30}}"#),
    fault("500", r#"{"error": {"status": 500}}"#),
    fault("503", r#"{"error": {"status": 503}}"#),
    fault("cut before the head", r#"{"cut_before_head": true}"#),
    fault("error before content", r#"{"error_after_chunks": 0}"#),
    fault("cut before content", r#"{"cut_after_chunks": 0}"#),
    fault("garbage before content", r#"{"garbage_after_chunks": 0}"#),
    Fault {
        line: Line::Impatient,
        ..fault("silence before content", r#"{"stall_after_chunks": 0}"#)
    },
    late("error in mid-answer", r#"{"error_after_chunks": 1}"#),
    late("cut in mid-answer", r#"{"cut_after_chunks": 1}"#),
    late("garbage in mid-answer", r#"{"garbage_after_chunks": 1}"#),
    Fault {
        line: Line::Impatient,
        ..late("silence in mid-answer", r#"{"stall_after_chunks": 1}"#)
    },
];

/// What the simulator reports for a whole answer.
const USAGE: TokenUsage = TokenUsage {
    input: 10,
    output: 2,
    cache_read: 3,
    cache_write_5m: 0,
    cache_write_1h: 0,
    input_audio: 0,
    output_audio: 0,
    images: 0,
    search_units: 0,
    guardrail_units: 0,
};

struct Case {
    provider: &'static Provider,
    fault: Fault,
    client: Client,
    is_streamed: bool,
    /// What tells its calls from those of others.
    marker: String,
}

/// What came of a case.
struct Finding {
    case: Case,
    /// What the client reads of a model by its own name.
    alone: Read,
    alone_records: Vec<UsageRecord>,
    /// And of an alias.
    aliased: Read,
    aliased_records: Vec<UsageRecord>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, fault) in FAULTS.iter().enumerate() {
        for (column, provider) in PROVIDERS.iter().enumerate() {
            for is_streamed in [true, false] {
                // Every client meets every fault, and every provider.
                let turn = row + column + usize::from(is_streamed);
                let client = match provider.protocol {
                    // Such a model is asked in its own words only.
                    Protocol::InvokeModel => Client::Invoke,
                    _ => Client::ALL[turn % Client::ALL.len()],
                };
                let marker = format!("case {row}-{column}-{is_streamed}:");
                cases.push(Case { provider, fault: *fault, client, is_streamed, marker });
            }
        }
    }
    cases
}

impl Case {
    fn name(&self) -> String {
        let Self { provider, fault, client, is_streamed, .. } = self;
        let mode = if *is_streamed { "streamed" } else { "whole" };
        format!("{}: {}, {mode}, for {client:?}", provider.name, fault.name)
    }

    /// Whether the client has a part of the answer when it fails.
    fn has_begun(&self) -> bool {
        self.is_streamed && self.fault.is_within_answer
    }

    /// Whether the call's time is over when the fault shows: a whole answer may take all of it.
    fn takes_all_time(&self) -> bool {
        !self.is_streamed && self.fault.line == Line::Impatient
    }

    fn prompt(&self, marker: &str) -> String {
        let mut broken: Value = serde_json::from_str(self.fault.script).unwrap();
        broken["chunks"] = json!(["bad ", "news"]);
        let usage =
            json!({"input": USAGE.input, "output": USAGE.output, "cache_read": USAGE.cache_read});
        let script = json!({
            "chunks": ["fine ", "words"], "usage": usage, "faults": {self.provider.model: broken}
        });
        format!("{marker} say it [sim {script}]")
    }

    async fn ask(&self, world: &World, model: &str) -> (Read, Vec<UsageRecord>) {
        let marker = format!("{model} {}", self.marker);
        let gateway = world.gateway(self.provider, self.fault.line);
        let (prompt, is_short) = (self.prompt(&marker), self.takes_all_time());
        let read = self.client.ask(&gateway, model, &prompt, self.is_streamed, is_short).await;
        let records = gateway.settled().await;
        let calls = world.calls(&marker).await;
        let numbers: Vec<_> = records.iter().map(|record| record.id.attempt).collect();
        assert_eq!(numbers, (1..=u32::try_from(records.len()).unwrap()).collect::<Vec<_>>());
        // Nobody counts a call that was never put through.
        let reached = |record: &&UsageRecord| {
            self.fault.line != Line::Closed || record.choice.model.as_str() != FAILING
        };
        assert_eq!(
            records.iter().filter(reached).count(),
            calls.len(),
            "{}: {calls:?}",
            self.name()
        );
        if let Some(attempts) = read.attempts {
            assert_eq!(attempts, records.len(), "x-weir-attempts");
        }
        (read, records)
    }

    async fn run(self, world: &World) -> Finding {
        let (alone, alone_records) = self.ask(world, FAILING).await;
        let (aliased, aliased_records) = self.ask(world, ALIAS).await;
        let finding = Finding { case: self, alone, alone_records, aliased, aliased_records };
        finding.check();
        finding
    }
}

impl Finding {
    fn check(&self) {
        let Self { case, alone, alone_records, aliased, aliased_records } = self;
        let (failing, last) = aliased_records.split_at(aliased_records.len() - 1);
        self.check_failure(alone, alone_records);
        if case.has_begun() || case.takes_all_time() {
            self.check_failure(aliased, aliased_records);
            assert_eq!(aliased_records.len(), 1, "an answer that has begun is nobody else's");
            return;
        }
        assert_eq!((aliased.status.as_u16(), &aliased.error), (200, &None), "{}", self.text());
        assert!(aliased.is_complete && aliased.text.contains("fine"), "{}", aliased.text);
        assert!(!aliased.text.contains("bad "), "of the failed answer: {}", aliased.text);
        assert_eq!(aliased.model.as_deref(), Some(HEALTHY));
        assert_eq!(aliased.attempts, Some(aliased_records.len()));
        assert!(!failing.is_empty());
        for record in failing {
            self.check_failed(record);
        }
        let last = &last[0];
        assert_eq!(
            (last.outcome, last.usage, last.is_estimated, last.choice.model.as_str()),
            (Outcome::Completed, USAGE, false, HEALTHY)
        );
    }

    fn check_failure(&self, read: &Read, records: &[UsageRecord]) {
        assert!(!read.is_complete, "{}", self.text());
        assert!(read.error.is_some(), "{}", self.text());
        assert_eq!(read.status == 200, self.case.has_begun(), "{}", self.text());
        assert_eq!(read.text.contains("bad "), self.case.has_begun(), "{}", self.text());
        if self.case.has_begun() {
            assert_eq!(read.model.as_deref(), Some(FAILING));
        }
        assert!(!records.is_empty());
        for record in records {
            self.check_failed(record);
        }
    }

    /// A failed attempt is never more than it was.
    fn check_failed(&self, record: &UsageRecord) {
        let name = self.case.name();
        assert_eq!(record.choice.model.as_str(), FAILING);
        match record.outcome {
            Outcome::Refused => {
                assert_eq!((record.cost_nanousd, record.is_estimated), (NanoUsd::ZERO, false));
            }
            Outcome::Failed if self.case.has_begun() => {
                assert!(record.is_estimated, "{name}: nobody said what it used: {record:?}");
                assert!(record.usage.input > 0 && record.usage.output > 0, "{name}: {record:?}");
            }
            Outcome::Failed => {}
            outcome => panic!("{outcome:?}"),
        }
    }

    fn text(&self) -> String {
        format!("{}\n{:?}\n{:?}", self.case.name(), self.alone, self.aliased)
    }

    /// What the table says of it.
    fn row(&self) -> Row {
        let read = |read: &Read| match &read.error {
            None => "the answer".to_owned(),
            Some(_) if read.status == 200 => "an error in its stream".to_owned(),
            Some(error) => {
                let wish = if read.retry_after.is_some() { ", and when to come back" } else { "" };
                format!("{}{wish}", meaning(error))
            }
        };
        let answerer = if self.aliased.error.is_none() { "the next target" } else { "nobody" };
        Row {
            reads: read(&self.alone),
            records: written(&self.alone_records),
            answerer: answerer.to_owned(),
            aliased_records: written(&self.aliased_records),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    reads: String,
    records: String,
    answerer: String,
    aliased_records: String,
}

/// `2 × refused, free; completed, as reported`
fn written(records: &[UsageRecord]) -> String {
    let mut runs: Vec<(usize, String)> = Vec::new();
    for record in records {
        let outcome = match record.outcome {
            Outcome::Completed => "completed",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Abandoned => "abandoned",
        };
        let cost = match record.is_estimated {
            true if record.usage.output == MAX_TOKENS => "the most it can have been",
            true => "what was seen",
            false if record.usage == TokenUsage::default() => "free",
            false => "as reported",
        };
        let said = format!("{outcome}, {cost}");
        match runs.last_mut() {
            Some((count, last)) if *last == said => *count += 1,
            _ => runs.push((1, said)),
        }
    }
    let runs = runs.into_iter().map(|(count, said)| match count {
        1 => said,
        _ => format!("{count} × {said}"),
    });
    runs.collect::<Vec<_>>().join("; ")
}

fn page(findings: &[Finding]) -> String {
    let mut page = include_str!("head.md").to_owned();
    page.push_str(
        "\n| fault | answer | provider | the client reads | its records | an alias: answered by | its records |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for fault in &FAULTS {
        for is_streamed in [true, false] {
            let of_this = findings.iter().filter(|it| {
                it.case.fault.name == fault.name && it.case.is_streamed == is_streamed
            });
            let mut rows: Vec<(Row, Vec<&str>)> = Vec::new();
            for finding in of_this {
                let (row, name) = (finding.row(), finding.case.provider.name);
                match rows.iter_mut().find(|(known, _)| *known == row) {
                    Some((_, names)) => names.push(name),
                    None => rows.push((row, vec![name])),
                }
            }
            for (row, names) in rows {
                let names = if names.len() == PROVIDERS.len() {
                    "all".to_owned()
                } else {
                    names.join(", ")
                };
                let answer = if is_streamed { "streamed" } else { "whole" };
                let Row { reads, records, answerer, aliased_records } = row;
                writeln!(
                    page,
                    "| {} | {answer} | {names} | {reads} | {records} | {answerer} | {aliased_records} |",
                    fault.name
                )
                .unwrap();
            }
        }
    }
    page.push_str("\n## In each client's words\n\n| client | what | by status | in a stream |\n|---|---|---|---|\n");
    let mut words: BTreeMap<(Client, &str), [Vec<String>; 2]> = BTreeMap::new();
    for finding in findings {
        for read in [&finding.alone, &finding.aliased] {
            let Some(error) = &read.error else { continue };
            let key = (finding.case.client, meaning(error));
            let is_in_stream = read.status == 200;
            let said = if is_in_stream {
                format!("`{error}`")
            } else {
                format!("{} `{error}`", read.status.as_u16())
            };
            words.entry(key).or_default()[usize::from(is_in_stream)].push(said);
        }
    }
    for ((client, meaning), mut said) in words {
        let [by_status, in_stream] = said.each_mut().map(|said| {
            said.sort();
            said.dedup();
            said.join(", ")
        });
        writeln!(page, "| {} | {meaning} | {by_status} | {in_stream} |", client.name()).unwrap();
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_every_provider() {
    let world = World::start().await;
    let findings: Vec<_> = futures::stream::iter(cases())
        .map(|case| {
            let name = case.name();
            // All surprises at once, each with its name.
            AssertUnwindSafe(case.run(&world))
                .catch_unwind()
                .map(|finding| finding.map_err(|_| name))
        })
        .buffered(16)
        .collect()
        .await;
    let surprises: Vec<_> = findings.iter().filter_map(|finding| finding.as_ref().err()).collect();
    assert!(surprises.is_empty(), "{surprises:#?}");
    let findings: Vec<_> = findings.into_iter().filter_map(Result::ok).collect();
    let page = page(&findings);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        current == page,
        "docs/faults.md is not current; run with UPDATE_DOCS=1. It would be:\n{page}"
    );
}
