//! Any client, any model: what each dialect can ask of models behind each protocol.
//!
//! Each cell of the table is run: the client's request is parsed and written for the provider (or
//! forwarded, when the model speaks the client's own protocol), the provider answers, and the client
//! reads the answer as strictly as its SDKs do. A cell is `pass` only if the meaning arrived: the same
//! text, thinking, tool calls with their ids in their order, usage of each kind; and if the next request,
//! with the results of the tools, brings all of that back to the provider, signatures included.
//!
//! The table stands in `docs/matrix.md`; this test fails if that is not current. To write it anew:
//!
//! ```sh
//! UPDATE_DOCS=1 cargo nextest run -p inference --test matrix
//! ```

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

mod client;
mod provider;
mod said;
mod unary;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use inference::{
    AnswerHead, AnswerRenderer, BadRequest, Codec, Fault, Frame, GenerateRequest, Model, Protocol,
    ProviderAnswer, ProviderError, ProviderErrorKind,
};
use serde_json::Value;

use crate::client::{CLIENTS, Client};
use crate::said::{
    MODEL, PDF, PNG, QUESTION, RESULTS, SIGNATURE, SYSTEM, Said, Scenario, THINKING_TOKENS, TOOL,
    TOOL_DESCRIPTION, holds, place, said,
};

/// The protocols of models that generate answers.
const PROTOCOLS: [Protocol; 6] = [
    Protocol::Converse,
    Protocol::OpenaiChat,
    Protocol::OpenaiResponses,
    Protocol::AnthropicMessages,
    Protocol::InvokeModel,
    Protocol::JsonTemplate,
];

/// A client at a model.
struct Cell {
    client: &'static dyn Client,
    protocol: Protocol,
    scenario: Scenario,
    model: Model,
    codec: &'static dyn Codec,
}

/// Why a cell cannot be.
type Refused = BadRequest;

impl Cell {
    fn run(&self) -> Result<(), Refused> {
        for is_streaming in self.scenario.modes() {
            self.run_once(*is_streaming)?;
        }
        Ok(())
    }

    fn run_once(&self, is_streaming: bool) -> Result<(), Refused> {
        let body = self.client.request(self.scenario, is_streaming);
        let (request, sent) = self.send(&body, is_streaming)?;
        self.check_request(&sent);
        let said = said(self.scenario);
        if self.scenario == Scenario::Error {
            self.check_error(&*request, &said);
            return Ok(());
        }
        let answer = if is_streaming {
            let answer = self.stream(&*request, &said);
            (self.client.read_stream(&answer), None)
        } else {
            let answer = self.whole(&*request, &said);
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            (self.client.read(&answer), Some(answer))
        };
        let expected = Said {
            usage: self.client.told(provider::told(self.protocol, said.usage)),
            ..said.clone()
        };
        assert_eq!(answer.0, expected);
        if let (Some(answer), true) = (answer.1, self.scenario.has_tools()) {
            let next = self.client.next_request(body, &answer);
            let (_, sent) = self.send(&next, is_streaming)?;
            check_next_request(&sent, &said);
        }
        Ok(())
    }

    fn is_native(&self, request: &dyn GenerateRequest) -> bool {
        request.native_protocol() == self.protocol
    }

    /// Parses the client's request and writes the provider's.
    fn send(
        &self,
        body: &Value,
        is_streaming: bool,
    ) -> Result<(Box<dyn GenerateRequest>, Value), Refused> {
        let request = self.client.parse(body, is_streaming)?;
        assert_eq!((request.model(), request.is_streaming()), (MODEL, is_streaming));
        let bound = request.bound(&self.model, None)?;
        let sent = if self.is_native(&*request) {
            let sent = request.forward(&self.model, bound.max_tokens)?;
            assert_eq!(sent.body, body.to_string(), "the client's own bytes");
            sent
        } else {
            let canonical = request.to_canonical(&self.model, bound.max_tokens)?;
            self.codec.write(&canonical, &self.model, is_streaming)?
        };
        // An endpoint of its own kind answers at once, and is read as a stream of one piece.
        let is_streamed = is_streaming && self.protocol != Protocol::JsonTemplate;
        assert_eq!((sent.protocol, sent.is_streaming), (self.protocol, is_streamed));
        Ok((request, serde_json::from_slice(&sent.body).unwrap()))
    }

    /// What was asked has reached the provider.
    fn check_request(&self, sent: &Value) {
        let more: &[&str] = match self.scenario {
            Scenario::Images => &[PNG],
            Scenario::Documents => &[PDF],
            Scenario::StructuredOutput => &["forecast_city"],
            Scenario::Tools | Scenario::ParallelTools | Scenario::Thinking => {
                &[TOOL, TOOL_DESCRIPTION, "Name of the city"]
            }
            Scenario::Caching => match self.protocol {
                Protocol::Converse => &["cachePoint"],
                Protocol::AnthropicMessages => &["cache_control"],
                _ => &[],
            },
            _ => &[],
        };
        for needle in [SYSTEM, QUESTION].iter().chain(more) {
            assert!(holds(sent, needle), "`{needle}` is not in {sent:#}");
        }
        if self.scenario == Scenario::Thinking {
            let text = sent.to_string();
            let budget = format!("\"budget_tokens\":{THINKING_TOKENS}");
            let is_asked = text.contains(&budget) || text.contains("effort\":");
            assert!(is_asked, "nobody asks for thinking in {sent:#}");
        }
    }

    /// The provider's whole answer, as the client gets it.
    fn whole(&self, request: &dyn GenerateRequest, said: &Said) -> Vec<u8> {
        let body = provider::whole(self.protocol, said);
        let answer = ProviderAnswer { body: body.clone().into(), ..ProviderAnswer::default() };
        let response = self.codec.read(&self.model, &answer).unwrap();
        assert_eq!(response.usage, provider::told(self.protocol, said.usage), "what is metered");
        if self.is_native(request) {
            let output = renderer(request).forwarded_response(body.clone().into());
            assert_eq!(output, body, "the provider's own bytes");
            return body;
        }
        renderer(request).response(&response).to_vec()
    }

    fn frames(&self, bytes: &[u8]) -> Vec<Frame> {
        let mut reader = self.codec.stream(&self.model);
        let mut frames: Vec<_> = bytes.chunks(11).flat_map(|chunk| reader.push(chunk)).collect();
        frames.extend(reader.finish());
        frames
    }

    /// The provider's stream, as the client gets it.
    fn stream(&self, request: &dyn GenerateRequest, said: &Said) -> Vec<u8> {
        let bytes = provider::stream(self.protocol, said);
        let mut renderer = renderer(request);
        let (mut output, mut usage) = (Vec::new(), None);
        for frame in self.frames(&bytes) {
            assert_eq!(frame.error, None);
            for event in &frame.events {
                if let inference::Event::Usage(told) = event {
                    usage = Some(*told);
                }
            }
            if self.is_native(request) {
                output.extend(renderer.forwarded(&frame));
            } else {
                frame.events.iter().for_each(|event| output.extend(renderer.event(event)));
            }
        }
        assert_eq!(usage, Some(provider::told(self.protocol, said.usage)), "what is metered");
        if self.is_native(request) {
            output.extend(renderer.finish_forwarded());
            assert_eq!(output, bytes, "the provider's own bytes");
        } else {
            output.extend(renderer.finish());
        }
        output
    }

    /// A stream that breaks says so in the client's own way.
    fn check_error(&self, request: &dyn GenerateRequest, said: &Said) {
        let mut renderer = renderer(request);
        let mut output = Vec::new();
        for frame in self.frames(&provider::broken(self.protocol, said)) {
            if let Some(error) = &frame.error {
                assert!(error.may_have_run);
                let fault = Fault::from(&ProviderError {
                    kind: ProviderErrorKind::Unavailable,
                    ..error.clone()
                });
                output.extend(renderer.interrupt(&fault));
                assert!(!self.client.read_error(&output).is_empty());
                return;
            }
            if self.is_native(request) {
                output.extend(renderer.forwarded(&frame));
            } else {
                frame.events.iter().for_each(|event| output.extend(renderer.event(event)));
            }
        }
        panic!("the provider's error was not seen");
    }
}

/// What was answered comes back to the provider, in order.
fn check_next_request(sent: &Value, said: &Said) {
    if let Some(thinking) = &said.thinking {
        for needle in [thinking.as_str(), SIGNATURE] {
            assert!(holds(sent, needle), "`{needle}` is not in {sent:#}");
        }
    }
    assert!(holds(sent, &said.text), "the text is not in {sent:#}");
    let places: Vec<_> = said.calls.iter().map(|call| place(sent, &call.id)).collect();
    assert!(places.is_sorted(), "calls keep their order");
    for (_, result) in said.calls.iter().zip(RESULTS) {
        assert!(holds(sent, result), "`{result}` is not in {sent:#}");
    }
}

fn renderer(request: &dyn GenerateRequest) -> Box<dyn AnswerRenderer> {
    request.renderer(AnswerHead {
        call_id: "01890a5d".to_owned(),
        created: 1_763_856_000,
        model: MODEL.to_owned(),
        likely_input: 12,
    })
}

/// How a protocol is named in the table.
fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Converse => "Converse",
        Protocol::OpenaiChat => "Chat Completions",
        Protocol::OpenaiResponses => "Responses",
        Protocol::AnthropicMessages => "Messages",
        Protocol::InvokeModel => "InvokeModel",
        _ => "JSON template",
    }
}

fn table(client: &'static dyn Client) -> String {
    let mut reasons: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    let mut table = format!("## {}\n\n| model asked by |", client.name());
    for scenario in Scenario::ALL {
        write!(table, " {} |", scenario.name()).unwrap();
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(Scenario::ALL.len()));
    for (protocol, codec) in PROTOCOLS.into_iter().filter_map(|it| Some((it, it.codec()?))) {
        let name = protocol_name(protocol);
        write!(table, "\n| {name} |").unwrap();
        for scenario in Scenario::ALL {
            let model = provider::model(protocol);
            let cell = Cell { client, protocol, scenario, model, codec };
            match catch_unwind(AssertUnwindSafe(|| cell.run())) {
                Ok(Ok(())) => table.push_str(" pass |"),
                Err(_) => {
                    table.push_str(" FAILS |");
                    eprintln!("^ {} at {name}: {}", client.name(), scenario.name());
                }
                Ok(Err(refused)) => {
                    table.push_str(" refused |");
                    reasons.entry((name, refused.message)).or_default().push(scenario.name());
                }
            }
        }
    }
    table.push('\n');
    if !reasons.is_empty() {
        table.push_str("\nRefused:\n\n");
    }
    for ((name, reason), scenarios) in reasons {
        let is_all = scenarios.len() == Scenario::ALL.len();
        let what = if is_all { "everything".to_owned() } else { scenarios.join(", ") };
        writeln!(table, "- {name}, {what}: {reason}").unwrap();
    }
    table
}

#[test]
fn every_client_reaches_every_model() {
    let mut page = include_str!("head.md").to_owned();
    for client in CLIENTS {
        page.push('\n');
        page.push_str(&table(client));
    }
    for table in unary::tables() {
        page.push('\n');
        page.push_str(&table);
    }
    assert!(!page.contains("FAILS"), "{page}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/matrix.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        current == page,
        "docs/matrix.md is not current; run with UPDATE_DOCS=1. It would be:\n{page}"
    );
}
