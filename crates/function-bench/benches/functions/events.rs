//! The events that functions are invoked with: the recorded ones, filled in.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::Result;
use crate::aws::REGION;

const CHAT: &str = include_str!("../../../../functions/invoke/testdata/chat.json");
const AUTHORIZER: &str = include_str!("../../../../functions/authorizer/testdata/api_gateway.json");
const SCHEDULE: &str =
    include_str!("../../../../functions/metering-aggregator/testdata/schedule.json");

/// Pieces of an answer.
const PIECES: usize = 20;

/// One kind of call, through the gateway and without it.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) title: String,
    pub(crate) is_streamed: bool,
    /// What API Gateway hands to `invoke`.
    pub(crate) event: Bytes,
    /// Where the same is asked of the model directly.
    pub(crate) path: String,
    /// How.
    pub(crate) body: String,
    /// What a whole answer holds.
    pub(crate) end: &'static str,
}

/// An API, by which a client asks the gateway or somebody asks a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Chat,
    Responses,
    Messages,
    Converse,
}

impl Workload {
    /// Each dialect, with a model that speaks it and with one that does not, streamed and not. The
    /// models are those in `models` (`infra/seed/models.json`).
    pub(crate) fn all(models: &Value) -> Result<Vec<Self>> {
        use Api::{Chat, Converse, Messages, Responses};

        let mut workloads = Vec::new();
        for (client, model, provider) in [
            (Chat, "gpt-oss-120b", Chat),
            (Chat, "nova-pro", Converse),
            (Responses, "gpt-oss-120b", Responses),
            (Responses, "nova-pro", Converse),
            (Messages, "claude-sonnet-4-5", Messages),
            (Messages, "nova-pro", Converse),
            (Converse, "nova-pro", Converse),
            (Converse, "sagemaker-chat", Chat),
        ] {
            for is_streamed in [false, true] {
                let suffix = if is_streamed { ", streamed" } else { "" };
                let title = if client == provider {
                    format!("{client:?}, passed on{suffix}")
                } else {
                    format!("{client:?}, translated to {provider:?}{suffix}")
                };
                let found = find(models, model)?;
                let name = field(found, "provider_model_id").ok_or("a model has no id")?;
                workloads.push(Self {
                    title,
                    is_streamed,
                    event: event(client, model, is_streamed)?,
                    path: match field(found, "provider") {
                        Some("sagemaker") => endpoint(name, is_streamed),
                        _ => provider.bedrock_path(name, is_streamed),
                    },
                    body: provider.body(name, is_streamed).to_string(),
                    end: client.end(is_streamed),
                });
            }
        }
        Ok(workloads)
    }
}

fn find<'a>(models: &'a Value, id: &str) -> Result<&'a Value> {
    let mut models = models.as_array().into_iter().flatten();
    let found = models.find(|model| field(model, "id") == Some(id));
    Ok(found.ok_or_else(|| format!("models.json has no {id}"))?)
}

fn field<'a>(model: &'a Value, name: &str) -> Option<&'a str> {
    model.get(name)?.as_str()
}

impl Api {
    /// A request with [`prompt`].
    fn body(self, model: &str, is_streamed: bool) -> Value {
        let messages = json!([{ "role": "user", "content": prompt() }]);
        match self {
            Self::Chat | Self::Messages => {
                json!({ "model": model, "messages": messages, "max_tokens": 256, "stream": is_streamed })
            }
            // A response that is stored is one more write.
            Self::Responses => json!({
                "model": model, "input": messages, "max_output_tokens": 256, "stream": is_streamed, "store": false,
            }),
            Self::Converse => json!({
                "messages": [{ "role": "user", "content": [{ "text": prompt() }] }],
                "inferenceConfig": { "maxTokens": 256 },
            }),
        }
    }

    /// Where the gateway has it: the route, and the path.
    fn route(self, model: &str, is_streamed: bool) -> (String, String) {
        let route = match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Converse if is_streamed => "/bedrock/model/{modelId}/converse-stream",
            Self::Converse => "/bedrock/model/{modelId}/converse",
        };
        (route.to_owned(), route.replace("{modelId}", model))
    }

    /// Where Bedrock has it.
    fn bedrock_path(self, model: &str, is_streamed: bool) -> String {
        match self {
            Self::Chat => "/openai/v1/chat/completions".to_owned(),
            Self::Responses => "/openai/v1/responses".to_owned(),
            Self::Messages => "/anthropic/v1/messages".to_owned(),
            Self::Converse => {
                let operation = if is_streamed { "converse-stream" } else { "converse" };
                format!("/model/{}/{operation}", model.replace(':', "%3A"))
            }
        }
    }

    /// What the end of an answer holds.
    fn end(self, is_streamed: bool) -> &'static str {
        match (self, is_streamed) {
            (Self::Chat, false) => "\"finish_reason\":\"stop\"",
            (Self::Chat, true) => "data: [DONE]",
            (Self::Responses, false) => "\"status\":\"completed\"",
            (Self::Responses, true) => "response.completed",
            (Self::Messages, false) => "\"stop_reason\":\"end_turn\"",
            (Self::Messages, true) => "message_stop",
            (Self::Converse, false) => "\"stopReason\":\"end_turn\"",
            (Self::Converse, true) => "\"usage\"",
        }
    }
}

/// An endpoint of `SageMaker`.
fn endpoint(name: &str, is_streamed: bool) -> String {
    let operation = if is_streamed { "invocations-response-stream" } else { "invocations" };
    format!("/endpoints/{name}/{operation}")
}

fn event(client: Api, model: &str, is_streamed: bool) -> Result<Bytes> {
    let mut event: Value = serde_json::from_str(CHAT)?;
    let (route, path) = client.route(model, is_streamed);
    let mut set = |pointer: &str, text: String| match event.pointer_mut(pointer) {
        Some(value) => {
            *value = text.into();
            Ok(())
        }
        None => Err(format!("the recorded event has no {pointer}")),
    };
    set("/resource", route.clone())?;
    set("/requestContext/resourcePath", route)?;
    set("/requestContext/path", format!("/live{path}"))?;
    set("/path", path)?;
    set("/body", client.body(model, is_streamed).to_string())?;
    Ok(event.to_string().into())
}

/// Asks the simulated model for an answer in [`PIECES`] words, without a wait.
fn prompt() -> String {
    let script = json!({ "chunks": vec!["river "; PIECES] });
    format!("Where does the water go? [sim {script}]")
}

/// What API Gateway asks the authorizer about a call with this token.
pub(crate) fn authorization(token: &str) -> Bytes {
    AUTHORIZER.replace("{authorization}", &format!("Bearer {token}")).into()
}

/// The schedule's event.
pub(crate) fn schedule() -> Bytes {
    Bytes::from_static(SCHEDULE.as_bytes())
}

/// What the ledger's stream says of new records, given in DynamoDB's JSON.
pub(crate) fn stream(records: &[Value]) -> Bytes {
    let arn = format!(
        "arn:aws:dynamodb:{REGION}:111122223333:table/ledger/stream/2026-11-01T00:00:00.000"
    );
    let records = records.iter().enumerate().map(|(number, item)| {
        json!({
            "eventID": number.to_string(), "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": REGION, "eventSourceARN": arn,
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_435_201,
                "Keys": { "PK": item.get("PK"), "SK": item.get("SK") },
                "NewImage": item,
                "SequenceNumber": number.to_string(), "SizeBytes": 500, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() }).to_string().into()
}
