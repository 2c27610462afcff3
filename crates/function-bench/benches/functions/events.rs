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
    pub(crate) title: &'static str,
    pub(crate) is_streamed: bool,
    /// What API Gateway hands to `invoke`.
    pub(crate) event: Bytes,
    /// Where the same is asked of the model directly.
    pub(crate) path: String,
    /// How.
    pub(crate) body: String,
}

impl Workload {
    /// Both protocols, streamed and not, for the models of these ids in `models`.
    pub(crate) fn all(models: &Value) -> Result<Vec<Self>> {
        Ok(vec![
            converse("Converse", provider_model_id(models, "nova-pro")?, false)?,
            converse("Converse, streamed", provider_model_id(models, "nova-pro")?, true)?,
            native("Chat Completions", provider_model_id(models, "gpt-oss-120b")?, false)?,
            native("Chat Completions, streamed", provider_model_id(models, "gpt-oss-120b")?, true)?,
        ])
    }
}

fn converse(title: &'static str, model_id: &str, is_streamed: bool) -> Result<Workload> {
    let operation = if is_streamed { "converse-stream" } else { "converse" };
    let body = json!({
        "messages": [{ "role": "user", "content": [{ "text": prompt() }] }],
        "inferenceConfig": { "maxTokens": 256 },
    });
    Ok(Workload {
        title,
        is_streamed,
        event: chat("nova-pro", is_streamed)?,
        path: format!("/model/{}/{operation}", model_id.replace(':', "%3A")),
        body: body.to_string(),
    })
}

fn native(title: &'static str, model_id: &str, is_streamed: bool) -> Result<Workload> {
    Ok(Workload {
        title,
        is_streamed,
        event: chat("gpt-oss-120b", is_streamed)?,
        path: "/openai/v1/chat/completions".to_owned(),
        body: chat_request(model_id, is_streamed).to_string(),
    })
}

fn provider_model_id<'a>(models: &'a Value, id: &str) -> Result<&'a str> {
    let model = models
        .as_array()
        .into_iter()
        .flatten()
        .find(|model| model.get("id").is_some_and(|found| found == id));
    let name = model.and_then(|model| model.get("provider_model_id")?.as_str());
    Ok(name.ok_or_else(|| format!("models.json has no {id}"))?)
}

fn chat(model: &str, is_streamed: bool) -> Result<Bytes> {
    let mut event: Value = serde_json::from_str(CHAT)?;
    let body = event.get_mut("body").ok_or("the recorded event has no body")?;
    *body = chat_request(model, is_streamed).to_string().into();
    Ok(event.to_string().into())
}

fn chat_request(model: &str, is_streamed: bool) -> Value {
    let message = json!({ "role": "user", "content": prompt() });
    json!({ "model": model, "messages": [message], "max_tokens": 256, "stream": is_streamed })
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
