//! What each dialect costs, with models that speak it and with models that do not: in processor time, so
//! that other work on the machine matters little. Figures are in `docs/benchmarks.md`.
//!
//! One conversation in three sizes is written by the codecs for every dialect, and answers by its
//! renderers: a codec's request is a client's, and a renderer's stream is a provider's.

#![expect(clippy::unwrap_used, reason = "what is measured must work")]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion};
use inference::anthropic_messages::MessagesRequest;
use inference::converse::ConverseRequest;
use inference::openai_chat::ChatRequest;
use inference::openai_responses::ResponsesRequest;
use inference::{
    AnswerHead, AnswerRenderer, Codec, ContentBlock, Event, Frame, GenerateRequest, ImageFormat,
    InferenceParameters, Message, Model, ModelRequest, ModelResponse, Protocol, ProviderAnswer,
    Role, Source, StopReason, SystemBlock, Tool, ToolResultContent,
};
use metering::TokenUsage;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const MODEL: &str = "vendor.model";
const MAX_TOKENS: u32 = 1_024;

/// Pieces of a streamed answer.
const CHUNKS: usize = 1_000;

/// An API of clients, and the protocol by which models speak the same.
#[derive(Clone, Copy)]
struct Api {
    name: &'static str,
    protocol: Protocol,
    parse: fn(&[u8]) -> Box<dyn GenerateRequest>,
}

const APIS: [Api; 4] = [
    Api {
        name: "chat",
        protocol: Protocol::OpenaiChat,
        parse: |body| Box::new(ChatRequest::parse(body).unwrap()),
    },
    Api {
        name: "responses",
        protocol: Protocol::OpenaiResponses,
        parse: |body| Box::new(ResponsesRequest::parse(body).unwrap()),
    },
    Api {
        name: "messages",
        protocol: Protocol::AnthropicMessages,
        parse: |body| Box::new(MessagesRequest::parse(body, &[]).unwrap()),
    },
    Api {
        name: "converse",
        protocol: Protocol::Converse,
        parse: |body| Box::new(ConverseRequest::parse(MODEL, true, body).unwrap()),
    },
];

impl Api {
    fn codec(self) -> &'static dyn Codec {
        self.protocol.codec().unwrap()
    }

    /// A client's body with this conversation.
    fn body(self, conversation: &ModelRequest) -> Bytes {
        self.codec().write(conversation, &model(self.protocol), true).unwrap().body
    }

    fn renderer(self) -> Box<dyn AnswerRenderer> {
        let request = (self.parse)(&self.body(&chat()));
        request.renderer(AnswerHead {
            call_id: "0193".to_owned(),
            created: 1_795_435_200,
            model: MODEL.to_owned(),
            likely_input: 10,
        })
    }

    /// A provider's whole answer.
    fn answer(self) -> ProviderAnswer {
        let content = vec![ContentBlock::Text("river ".repeat(CHUNKS))];
        let response = ModelResponse {
            content,
            stop_reason: StopReason::EndTurn,
            stop_sequence: None,
            usage: usage(),
            provider_request_id: None,
        };
        ProviderAnswer { body: self.renderer().response(&response), ..ProviderAnswer::default() }
    }

    /// A provider's streamed answer, as it comes: an event at a time.
    fn stream(self) -> Vec<Bytes> {
        let mut renderer = self.renderer();
        let text = |_| Event::TextDelta { block: 0, text: "river ".to_owned() };
        let mut events: Vec<Event> = (0..CHUNKS).map(text).collect();
        events.push(Event::BlockStop { block: 0 });
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        events.push(Event::Usage(usage()));
        let mut pieces: Vec<Bytes> = events.iter().map(|event| renderer.event(event)).collect();
        pieces.push(renderer.finish());
        pieces
    }
}

fn usage() -> TokenUsage {
    TokenUsage { input: 10, output: 1_000, ..TokenUsage::default() }
}

/// A model that can do everything, asked in `protocol`.
fn model(protocol: Protocol) -> Model {
    serde_json::from_value(json!({
        "id": MODEL, "provider_model_id": MODEL, "protocols": [protocol], "owned_by": "vendor",
        "created": 0, "context_window": 10_000_000, "max_output_tokens": 8_192, "default_max_tokens": 1_024,
        "capabilities": {
            "images": true, "tools": true, "forced_tool_choice": true, "sampling_parameters": true,
        },
    }))
    .unwrap()
}

fn said(role: Role, content: Vec<ContentBlock>) -> Message {
    Message { role, content }
}

fn text(bytes: usize) -> ContentBlock {
    ContentBlock::Text("The river \"Main\" runs north.\n".repeat(bytes.div_ceil(28)))
}

/// A question of 1 KB.
fn chat() -> ModelRequest {
    ModelRequest {
        system: vec![SystemBlock::Text("Be brief.".to_owned())],
        messages: vec![said(Role::User, vec![text(700)])],
        inference: InferenceParameters {
            max_tokens: Some(MAX_TOKENS),
            ..InferenceParameters::default()
        },
        ..ModelRequest::default()
    }
}

/// A coding agent's conversation of 100 KB: 20 tools, 30 calls of them and their results.
fn agent() -> ModelRequest {
    let mut request = chat();
    let schema = json!({
        "type": "object", "required": ["path"],
        "properties": { "path": { "type": "string" }, "limit": { "type": "integer" } },
    });
    request.tools = (0..20)
        .map(|number| Tool {
            name: format!("tool_{number}"),
            description: Some("Reads a file of the project. ".repeat(20)),
            input_schema: schema.clone(),
            strict: None,
            cache: None,
        })
        .collect();
    for number in 0..30 {
        let id = format!("call_{number}");
        let input = json!({ "path": "src/main.rs", "limit": number });
        let call = ContentBlock::ToolUse { id: id.clone(), name: "tool_1".to_owned(), input };
        request.messages.push(said(Role::Assistant, vec![text(100), call]));
        let ContentBlock::Text(file) = text(2_400) else { continue };
        let content = vec![ToolResultContent::Text(file)];
        let result = ContentBlock::ToolResult { id, content, is_error: false };
        request.messages.push(said(Role::User, vec![result]));
    }
    request
}

/// A question about a picture of 3 MB, which is 4 MB in base64.
fn picture() -> ModelRequest {
    let mut request = chat();
    let source = Source::Bytes(vec![0x5a; 3 * 1024 * 1024]);
    let image = ContentBlock::Image { format: ImageFormat::Png, source };
    request.messages = vec![said(Role::User, vec![text(700), image])];
    request
}

fn requests(criterion: &mut Criterion<CpuTime>) {
    for (size, conversation) in [("1 KB", chat()), ("100 KB", agent()), ("4 MB", picture())] {
        for client in APIS {
            let (body, native) = (client.body(&conversation), model(client.protocol));
            let request = (client.parse)(&body);
            let mut group = criterion.benchmark_group(format!("request {size}"));
            group.bench_function(format!("{} parse", client.name), |bencher| {
                bencher.iter(|| (client.parse)(black_box(&body)));
            });
            group.bench_function(format!("{} bound", client.name), |bencher| {
                bencher.iter(|| request.bound(black_box(&native), None).unwrap());
            });
            group.bench_function(format!("{} forward", client.name), |bencher| {
                bencher.iter(|| request.forward(black_box(&native), MAX_TOKENS).unwrap());
            });
            for provider in others(client) {
                let (model, codec) = (model(provider.protocol), provider.codec());
                group.bench_function(format!("{} to {}", client.name, provider.name), |bencher| {
                    bencher.iter(|| {
                        let canonical = request.to_canonical(black_box(&model), MAX_TOKENS);
                        codec.write(&canonical.unwrap(), &model, true).unwrap()
                    });
                });
            }
            group.finish();
        }
    }
}

fn answers(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("answer");
    for client in APIS {
        for provider in APIS {
            let is_forwarded = client.protocol == provider.protocol;
            let (model, codec, answer) =
                (model(provider.protocol), provider.codec(), provider.answer());
            group.bench_function(pair(client, provider), |bencher| {
                let render = |mut renderer: Box<dyn AnswerRenderer>| {
                    // What is forwarded is read all the same, for its usage.
                    let response = codec.read(&model, black_box(&answer)).unwrap();
                    if is_forwarded {
                        renderer.forwarded_response(answer.body.clone())
                    } else {
                        renderer.response(&response)
                    }
                };
                bencher.iter_batched(|| client.renderer(), render, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

fn streams(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("stream of 1,000 chunks");
    for client in APIS {
        for provider in APIS {
            let is_forwarded = client.protocol == provider.protocol;
            let (model, codec, pieces) =
                (model(provider.protocol), provider.codec(), provider.stream());
            let passed = pass(client.renderer(), codec, &model, &pieces, is_forwarded);
            // Some events repeat what was said.
            assert!(passed.windows(5).filter(|part| part == b"river").count() >= CHUNKS);
            group.bench_function(pair(client, provider), |bencher| {
                bencher.iter_batched(
                    || client.renderer(),
                    |renderer| pass(renderer, codec, &model, black_box(&pieces), is_forwarded),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

/// Passes a stream on, as the gateway does.
fn pass(
    mut renderer: Box<dyn AnswerRenderer>,
    codec: &dyn Codec,
    model: &Model,
    pieces: &[Bytes],
    is_forwarded: bool,
) -> BytesMut {
    let (mut reader, mut passed) = (codec.stream(model), BytesMut::new());
    let mut send = |renderer: &mut Box<dyn AnswerRenderer>, frames: Vec<Frame>| {
        for frame in frames {
            assert_eq!(frame.error, None);
            if is_forwarded {
                passed.extend_from_slice(&renderer.forwarded(&frame));
            } else {
                for event in &frame.events {
                    passed.extend_from_slice(&renderer.event(event));
                }
            }
        }
    };
    for piece in pieces {
        let frames = reader.push(piece);
        send(&mut renderer, frames);
    }
    send(&mut renderer, reader.finish());
    let end = if is_forwarded { renderer.finish_forwarded() } else { renderer.finish() };
    passed.extend_from_slice(&end);
    passed
}

fn others(client: Api) -> impl Iterator<Item = Api> {
    APIS.into_iter().filter(move |provider| provider.protocol != client.protocol)
}

fn pair(client: Api, provider: Api) -> String {
    if client.protocol == provider.protocol {
        format!("{} forwarded", client.name)
    } else {
        format!("{} from {}", client.name, provider.name)
    }
}

/// Processor time of this thread.
struct CpuTime;

impl CpuTime {
    fn now() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        const { &WallTime }.formatter()
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    requests(&mut criterion);
    answers(&mut criterion);
    streams(&mut criterion);
    criterion.final_summary();
}
