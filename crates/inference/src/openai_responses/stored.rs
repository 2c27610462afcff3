//! Responses that clients refer to later.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ResponsesRequest;
use crate::wire::field::Field;
use crate::{BadRequest, StoredResponse};

/// The id of the response of a call.
pub(super) fn response_id(call_id: &str) -> String {
    format!("resp_{call_id}")
}

/// The id of output item `place` of a call. It says which response holds the item.
pub(super) fn item_id(prefix: &str, call_id: &str, place: usize) -> String {
    format!("{prefix}_{call_id}_{place}")
}

/// The id of the response that an item is from; `None` for ids that are not the gateway's.
fn response_of_item(item_id: &str) -> Option<String> {
    let (_, rest) = item_id.split_once('_')?;
    let (call_id, place) = rest.rsplit_once('_')?;
    let is_place = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
    (is_place && !call_id.is_empty()).then(|| response_id(call_id))
}

/// The id that an `item_reference` holds; its type may be left out.
pub(super) fn reference_of(item: &Value) -> Option<&str> {
    let is_reference = match item.get("type").and_then(Value::as_str) {
        Some(kind) => kind == "item_reference",
        None => item.get("role").is_none(),
    };
    item.get("id").and_then(Value::as_str).filter(|_| is_reference)
}

/// A text of the user, as an item.
pub(super) fn user_message(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

pub(super) fn not_found(id: &str) -> BadRequest {
    let id: String = id.chars().take(128).collect();
    BadRequest::new(
        "previous_response_not_found",
        "previous_response_id",
        format!(
            "There is no stored response `{id}`: it was never stored, was deleted or has expired. Send the whole conversation in `input`."
        ),
    )
}

pub(super) fn item_not_found(item: &Field<'_>) -> BadRequest {
    item.invalid(
        "refers to an item that is not stored here: send the item itself (SDKs do so with `store: false`).",
    )
}

/// Ids of the stored responses that a request refers to, each once.
pub(super) fn referred(request: &ResponsesRequest) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let previous = request.previous_response_id().map(str::to_owned);
    let items = request.body.get("input").and_then(Value::as_array);
    let of_items =
        items.into_iter().flatten().filter_map(reference_of).filter_map(response_of_item);
    previous.into_iter().chain(of_items).filter(|id| seen.insert(id.clone())).collect()
}

/// The whole conversation, if the request refers to stored items.
pub(super) fn resolve(
    request: &ResponsesRequest,
    chain: &[StoredResponse],
) -> Result<Option<Vec<Value>>, BadRequest> {
    let mut items = Vec::new();
    if let Some(id) = request.previous_response_id() {
        let previous = chain.iter().find(|stored| stored.id == id).ok_or_else(|| not_found(id))?;
        items.extend(items_of(previous).cloned());
    }
    let is_continued = request.previous_response_id().is_some();
    let own = request.items();
    if !is_continued && !own.iter().any(|item| reference_of(item).is_some()) {
        return Ok(None);
    }
    let input = Field::of_body(&request.body, "input");
    let mut fields = match input.as_ref().filter(|input| input.value().is_array()) {
        Some(input) => Some(input.array()?),
        None => None,
    };
    for item in own {
        let field = fields.as_mut().and_then(Iterator::next);
        let Some(id) = reference_of(&item) else {
            items.push(item);
            continue;
        };
        let found = chain
            .iter()
            .flat_map(items_of)
            .find(|stored| stored.get("id").and_then(Value::as_str) == Some(id));
        match (found, field) {
            (Some(found), _) => items.push(found.clone()),
            (None, Some(field)) => return Err(item_not_found(&field)),
            (None, None) => {}
        }
    }
    Ok(Some(items))
}

/// The conversation up to and with a response.
fn items_of(stored: &StoredResponse) -> impl Iterator<Item = &Value> {
    let output = stored.response.get("output").and_then(Value::as_array);
    stored.input.iter().chain(output.into_iter().flatten())
}

/// What to list of a response's input, as `GET /v1/responses/{id}/input_items` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputItemsQuery {
    /// Items of a page at most, 1 to 100.
    pub limit: usize,
    /// Whether the first item of the conversation comes first; by default the last one does.
    pub is_ascending: bool,
    /// The item that the page before ended with.
    pub after: Option<String>,
}

impl Default for InputItemsQuery {
    fn default() -> Self {
        Self { limit: 20, is_ascending: false, after: None }
    }
}

impl InputItemsQuery {
    /// Reads the query's names and values, decoded; unknown ones are ignored.
    pub fn parse<'q>(
        pairs: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> Result<Self, BadRequest> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name {
                "limit" => {
                    query.limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=100).contains(limit))
                        .ok_or_else(|| {
                            BadRequest::value("limit", "`limit` must be an integer from 1 to 100.")
                        })?;
                }
                "order" => {
                    query.is_ascending = match value {
                        "asc" => true,
                        "desc" => false,
                        _ => {
                            let message = "`order` must be `asc` or `desc`.";
                            return Err(BadRequest::value("order", message));
                        }
                    };
                }
                "after" => query.after = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(query)
    }
}

/// A page of the items that a stored response answered, as `GET /v1/responses/{id}/input_items` lists
/// them. Items that the client gave no id get one of their place.
pub fn input_items(stored: &StoredResponse, query: &InputItemsQuery) -> Result<Value, BadRequest> {
    let mut items: Vec<Value> =
        stored.input.iter().enumerate().map(|(place, item)| listed(stored, place, item)).collect();
    if !query.is_ascending {
        items.reverse();
    }
    let id_of = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
    let start = match &query.after {
        None => 0,
        Some(after) => {
            let place = items.iter().position(|item| id_of(item).as_ref() == Some(after));
            let place = place.ok_or_else(|| {
                let message = "`after` must be the id of one of the response's input items.";
                BadRequest::value("after", message)
            })?;
            place.saturating_add(1)
        }
    };
    let has_more = items.len().saturating_sub(start) > query.limit;
    let page: Vec<Value> = items.into_iter().skip(start).take(query.limit).collect();
    Ok(json!({
        "object": "list",
        "first_id": page.first().and_then(id_of),
        "last_id": page.last().and_then(id_of),
        "has_more": has_more,
        "data": page,
    }))
}

/// An item as it is listed: with a type, an id and, for messages, its content in parts.
fn listed(stored: &StoredResponse, place: usize, item: &Value) -> Value {
    let mut item = item.clone();
    let Some(object) = item.as_object_mut() else {
        return item;
    };
    let kind = object.get("type").and_then(Value::as_str).unwrap_or("message").to_owned();
    if kind == "message" {
        let is_output = object.get("role").and_then(Value::as_str) == Some("assistant");
        let text = object.get("content").and_then(Value::as_str).map(|text| {
            if is_output {
                json!([{"type": "output_text", "text": text, "annotations": []}])
            } else {
                json!([{"type": "input_text", "text": text}])
            }
        });
        if let Some(content) = text {
            object.insert("content".to_owned(), content);
        }
        object.entry("status").or_insert_with(|| "completed".into());
    }
    object.entry("type").or_insert_with(|| kind.clone().into());
    if !object.get("id").is_some_and(Value::is_string) {
        let call = stored.id.strip_prefix("resp_").unwrap_or(&stored.id);
        let prefix = match kind.as_str() {
            "message" => "msg",
            "reasoning" => "rs",
            "function_call" => "fc",
            "function_call_output" => "fco",
            "custom_tool_call" => "ctc",
            "custom_tool_call_output" => "ctco",
            _ => "item",
        };
        object.insert("id".to_owned(), format!("{prefix}_{call}_in{place}").into());
    }
    item
}

/// What `DELETE /v1/responses/{id}` answers.
pub fn deleted(id: &str) -> Value {
    json!({"id": id, "object": "response", "deleted": true})
}
