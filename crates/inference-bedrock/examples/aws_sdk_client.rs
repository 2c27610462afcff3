//! AWS's own SDK for Rust as a client of the gateway: the end-to-end tests run it.
//!
//! Nothing but its environment tells it of the gateway: `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`,
//! `AWS_BEARER_TOKEN_BEDROCK` and `AWS_REGION`. The model and what is said come in `WEIR_MODEL`,
//! `WEIR_QUESTION` and `WEIR_FOLLOW_UP`; `WEIR_MISSING_MODEL` is one that the caller does not have.
//!
//! Has a streamed conversation of two turns, with tools in the first, then asks once by `Converse` and
//! once by `InvokeModel`, and for a model that it may not have. Prints a report, one line of JSON.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ContentBlockStart, ConversationRole, ConverseOutput,
    ConverseStreamOutput, InferenceConfiguration, Message, Tool, ToolConfiguration,
    ToolInputSchema, ToolResultBlock, ToolResultContentBlock, ToolSpecification, ToolUseBlock,
};
use aws_smithy_types::Document;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Default)]
struct Report {
    cities: Vec<String>,
    texts: Vec<String>,
    pieces: usize,
    stops: Vec<String>,
    usage: Vec<(i32, i32)>,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its result is the line that it prints")]
async fn main() -> Result<()> {
    let client = Client::new(&aws_config::load_from_env().await);
    let model = variable("WEIR_MODEL")?;
    let mut report = Report::default();
    let mut messages = Vec::new();
    for question in [variable("WEIR_QUESTION")?, variable("WEIR_FOLLOW_UP")?] {
        messages.push(user([ContentBlock::Text(question)])?);
        loop {
            let answer = streamed(&client, &model, &messages, &mut report).await?;
            let calls = answer.iter().filter_map(|block| block.as_tool_use().ok());
            let results = calls.map(|call| result_of(call, &mut report));
            let results = results.collect::<Result<Vec<_>>>()?;
            let texts = answer.iter().filter_map(|block| block.as_text().ok());
            let text: String = texts.map(String::as_str).collect();
            messages.push(message(ConversationRole::Assistant, answer)?);
            if results.is_empty() {
                report.texts.push(text);
                break;
            }
            messages.push(user(results)?);
        }
    }
    let converse = whole(&client, &model).await?;
    let invoked = invoked(&client, &model).await?;
    let refused = refused(&client, &variable("WEIR_MISSING_MODEL")?).await?;
    println!(
        "{}",
        json!({
            "cities": report.cities, "texts": report.texts, "pieces": report.pieces,
            "stops": report.stops, "usage": report.usage,
            "converse": converse, "invoked": invoked, "refused": refused,
        })
    );
    Ok(())
}

/// Streams one answer and puts its blocks together.
async fn streamed(
    client: &Client,
    model: &str,
    messages: &[Message],
    report: &mut Report,
) -> Result<Vec<ContentBlock>> {
    let answer = client.converse_stream().model_id(model).set_messages(Some(messages.to_vec()));
    let mut stream = answer.tool_config(tools()?).send().await?.stream;
    let mut texts: BTreeMap<i32, String> = BTreeMap::new();
    let mut calls: BTreeMap<i32, (String, String)> = BTreeMap::new();
    while let Some(event) = stream.recv().await? {
        match event {
            ConverseStreamOutput::ContentBlockStart(start) => {
                if let Some(ContentBlockStart::ToolUse(call)) = start.start {
                    calls.insert(start.content_block_index, (call.tool_use_id, call.name));
                }
            }
            ConverseStreamOutput::ContentBlockDelta(delta) => {
                let text = texts.entry(delta.content_block_index).or_default();
                match delta.delta {
                    Some(ContentBlockDelta::Text(piece)) => {
                        report.pieces += 1;
                        text.push_str(&piece);
                    }
                    Some(ContentBlockDelta::ToolUse(piece)) => text.push_str(&piece.input),
                    _ => {}
                }
            }
            ConverseStreamOutput::MessageStop(stop) => {
                report.stops.push(stop.stop_reason.as_str().to_owned());
            }
            ConverseStreamOutput::Metadata(metadata) => {
                let usage = metadata.usage.ok_or("no usage")?;
                report.usage.push((usage.input_tokens, usage.output_tokens));
            }
            _ => {}
        }
    }
    let blocks = texts.into_iter().map(|(index, text)| match calls.remove(&index) {
        Some((id, name)) => {
            let input = document(serde_json::from_str(&text)?);
            let call = ToolUseBlock::builder().tool_use_id(id).name(name).input(input);
            Ok(ContentBlock::ToolUse(call.build()?))
        }
        None => Ok(ContentBlock::Text(text)),
    });
    blocks.collect()
}

/// One answer by `Converse`.
async fn whole(client: &Client, model: &str) -> Result<Value> {
    let answer = client
        .converse()
        .model_id(model)
        .messages(user([ContentBlock::Text(r#"[sim {"text": "A whole answer."}]"#.to_owned())])?)
        .inference_config(InferenceConfiguration::builder().max_tokens(100).build())
        .send()
        .await?;
    let output = answer.output.as_ref().and_then(|output| ConverseOutput::as_message(output).ok());
    let block = output.and_then(|message| message.content.first()).ok_or("an empty answer")?;
    Ok(json!(block.as_text().map_err(|_| "no text")?))
}

/// One answer by `InvokeModel`, in Anthropic's format.
async fn invoked(client: &Client, model: &str) -> Result<Value> {
    let body = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": r#"[sim {"text": "An invoked answer."}]"#}],
    });
    let call = client.invoke_model().model_id(model).content_type("application/json");
    let answer = call.body(Blob::new(body.to_string())).send().await?;
    let answer: Value = serde_json::from_slice(answer.body.as_ref())?;
    answer.pointer("/content/0/text").cloned().ok_or_else(|| "no text".into())
}

/// What the SDK makes of a refusal: whether it knows its type, its code and its message.
async fn refused(client: &Client, model: &str) -> Result<Value> {
    let asked = client.converse().model_id(model);
    let asked = asked.messages(user([ContentBlock::Text("Hello.".to_owned())])?).send().await;
    let error = asked.err().ok_or("a model that the caller must not have")?.into_service_error();
    let is_typed = error.is_resource_not_found_exception();
    Ok(json!({"is_typed": is_typed, "code": error.code(), "message": error.message()}))
}

fn result_of(call: &ToolUseBlock, report: &mut Report) -> Result<ContentBlock> {
    let city = call.input.as_object().and_then(|input| input.get("city"));
    let city = city.and_then(Document::as_string).ok_or("a call without a city")?;
    report.cities.push(city.to_owned());
    let weather = format!("{} degrees in {city}", city.len());
    let result = ToolResultBlock::builder().tool_use_id(&call.tool_use_id);
    Ok(ContentBlock::ToolResult(result.content(ToolResultContentBlock::Text(weather)).build()?))
}

fn user(content: impl IntoIterator<Item = ContentBlock>) -> Result<Message> {
    message(ConversationRole::User, content)
}

fn message(
    role: ConversationRole,
    content: impl IntoIterator<Item = ContentBlock>,
) -> Result<Message> {
    let content = content.into_iter().collect();
    Ok(Message::builder().role(role).set_content(Some(content)).build()?)
}

fn tools() -> Result<ToolConfiguration> {
    let schema = document(json!({
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}},
        "required": ["city"],
    }));
    let tool = ToolSpecification::builder()
        .name("get_weather")
        .description("The weather in a city now.")
        .input_schema(ToolInputSchema::Json(schema));
    Ok(ToolConfiguration::builder().tools(Tool::ToolSpec(tool.build()?)).build()?)
}

fn document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::Number(value) => value.to_string().parse().map_or(Document::Null, |value| {
            Document::Number(aws_smithy_types::Number::Float(value))
        }),
        Value::String(value) => Document::String(value),
        Value::Array(values) => Document::Array(values.into_iter().map(document).collect()),
        Value::Object(values) => Document::Object(
            values
                .into_iter()
                .map(|(key, value)| (key, document(value)))
                .collect::<HashMap<_, _>>(),
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "an example reads its own environment")]
fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}
