//! Parsing: what the gateway itself relies on, whatever the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{bound, canonical, forward, render, stored, tools};
use crate::wire::affinity::PromptStart;
use crate::wire::body::{members_of, model_of, refuse_lookalikes, utf8};
use crate::wire::field::Field;
use crate::wire::json::parse_object;
use crate::wire::members::{Edit, Members};
use crate::{
    AnswerHead, AnswerRenderer, BadRequest, Dialect, GenerateRequest, Model, ModelRequest,
    Protocol, ProviderRequest, StoredResponse, TokenBound, Upload,
};

/// Fields by which the gateway judges a call. A key that differs from one only by case is refused:
/// a provider that ignores case would read another value than the one that was checked.
const JUDGED: [&str; 14] = [
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "previous_response_id",
    "prompt",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "tools",
];

/// A request to `POST /v1/responses`, with its original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponsesRequest {
    pub(super) text: String,
    pub(super) members: Members,
    pub(super) body: Map<String, Value>,
    model: String,
    is_streaming: bool,
    pub(super) max_output_tokens: Option<u64>,
    stores: bool,
    /// Whether `input` holds the conversation that `previous_response_id` stands for.
    pub(super) has_history: bool,
    pub(super) uploads: BTreeMap<String, Upload>,
}

impl ResponsesRequest {
    /// Reads a request from any bytes; never panics.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let text = utf8(body)?;
        let object = parse_object(text)?;
        let members = members_of(text)?;
        refuse_lookalikes(&object, &JUDGED)?;
        refuse_stateful(&object)?;
        let model = model_of(&object)?;
        check_input(&object)?;
        let flag =
            |name, default| Field::of_body(&object, name).map_or(Ok(default), |field| field.bool());
        let is_streaming = flag("stream", false)?;
        let stores = flag("store", true)?;
        if let Some(id) = Field::of_body(&object, "previous_response_id") {
            id.str()?;
        }
        let max_output_tokens = Field::of_body(&object, "max_output_tokens")
            .map(|field| field.positive_integer())
            .transpose()?;
        Ok(Self {
            text: text.to_owned(),
            members,
            body: object,
            model,
            is_streaming,
            max_output_tokens,
            stores,
            has_history: false,
            uploads: BTreeMap::new(),
        })
    }

    /// The stored response that the conversation goes on from.
    pub fn previous_response_id(&self) -> Option<&str> {
        self.body.get("previous_response_id").and_then(Value::as_str)
    }

    /// Whether the client may want to refer to the answer later (`store`, which is on by default).
    pub fn wants_store(&self) -> bool {
        self.stores
    }

    /// The request, for a gateway that stores nothing for this tenant: the answer says so.
    #[must_use]
    pub fn without_store(self) -> Self {
        Self { stores: false, ..self }
    }

    /// Ids of the stored responses that the request refers to, by `previous_response_id` or by an
    /// `item_reference`: what [`with_history`](Self::with_history) wants to be given.
    pub fn stored_ids(&self) -> Vec<String> {
        stored::referred(self)
    }

    /// The request with its conversation in full: the items of the stored response that it goes on
    /// from come first, and every `item_reference` is replaced by its item. `chain` holds the
    /// responses of [`stored_ids`](Self::stored_ids), in any order; those that are not found are missing.
    ///
    /// The body's other members keep their bytes.
    pub fn with_history(mut self, chain: &[StoredResponse]) -> Result<Self, BadRequest> {
        if let Some(items) = stored::resolve(&self, chain)? {
            self.set_input(items);
        }
        self.has_history = true;
        Ok(self)
    }

    /// Ids of the files that the request names (`file_id`), in order of first use.
    pub fn upload_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        if let Some(input) = self.body.get("input") {
            collect_file_ids(input, &mut ids);
        }
        ids
    }

    /// The request, with the files that it names. An id that is not among `uploads` is refused.
    pub fn with_uploads(mut self, uploads: &[(String, Upload)]) -> Result<Self, BadRequest> {
        self.uploads.extend(uploads.iter().cloned());
        if let Some(id) = self.upload_ids().iter().find(|id| !self.uploads.contains_key(*id)) {
            let id: String = id.chars().take(128).collect();
            let message = format!(
                "There is no file `{id}`: it was never uploaded to this gateway, or is gone. Upload it, and name it by the id that the upload returns."
            );
            return Err(BadRequest::new("file_not_found", "input", message));
        }
        Ok(self)
    }

    /// The items of the conversation; a plain text is a message of the user.
    pub(super) fn items(&self) -> Vec<Value> {
        match self.body.get("input") {
            Some(Value::String(text)) => vec![stored::user_message(text)],
            Some(Value::Array(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn set_input(&mut self, items: Vec<Value>) {
        let items = Value::Array(items);
        let json = items.to_string();
        let is_there = self.members.iter().any(|member| member.key == "input");
        let additions = if is_there { Vec::new() } else { vec![("input", json.clone())] };
        let edit = |member: &crate::wire::members::Member| match member.key.as_str() {
            "input" => Edit::Replace(json.clone()),
            _ => Edit::Keep,
        };
        let text = self.members.rewrite(&self.text, edit, &additions);
        // The text was JSON, and one value of it was replaced by another.
        if let Ok(members) = Members::of(&text) {
            self.members = members;
            self.text = text;
            self.body.insert("input".to_owned(), items);
        }
    }

    /// Refuses what stands for something that is not there.
    pub(super) fn refuse_unresolved(&self) -> Result<(), BadRequest> {
        if let Some(id) = self.previous_response_id()
            && !self.has_history
        {
            return Err(stored::not_found(id));
        }
        match Field::of_body(&self.body, "input") {
            Some(input) if input.value().is_array() => {
                input.array()?.try_for_each(|item| match stored::reference_of(item.value()) {
                    Some(_) => Err(stored::item_not_found(&item)),
                    None => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }
}

impl GenerateRequest for ResponsesRequest {
    fn dialect(&self) -> Dialect {
        Dialect::OpenaiResponses
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    fn native_protocol(&self) -> Protocol {
        Protocol::OpenaiResponses
    }

    /// Agents offer tools of OpenAI's own servers unasked; other servers refuse a request for them.
    fn is_forwarded_to(&self, model: &Model) -> bool {
        model.speaks(self.native_protocol())
            && (model.capabilities.hosted_tools || !tools::are_hosted(&self.body))
    }

    fn bound(
        &self,
        model: &Model,
        default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest> {
        bound::bound(self, model, default_max_tokens)
    }

    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest> {
        canonical::to_canonical(self, model, max_tokens)
    }

    fn forward(&self, model: &Model, max_tokens: u32) -> Result<ProviderRequest, BadRequest> {
        forward::forward(self, model, max_tokens)
    }

    /// The client's cache key, else the instructions and the first item, in their first few hundred
    /// characters: the same for all turns of a conversation.
    fn affinity_key(&self) -> Option<String> {
        let text = |key: &str| self.body.get(key).and_then(Value::as_str);
        if let Some(key) = text("prompt_cache_key").filter(|key| !key.is_empty()) {
            return Some(key.to_owned());
        }
        let first = match self.body.get("input")? {
            Value::Array(items) => items.first().map(|item| item.get("content").unwrap_or(item))?,
            text => text,
        };
        let mut start = PromptStart::default();
        for part in [self.body.get("instructions"), Some(first)].into_iter().flatten() {
            match part {
                // The same text is sent as it is in one turn, and in parts in the next.
                Value::Array(parts) => {
                    parts
                        .iter()
                        .map(|part| part.get("text").unwrap_or(part))
                        .for_each(|text| start.add(text));
                }
                text => start.add(text),
            }
        }
        Some(start.key())
    }

    fn renderer(&self, head: AnswerHead) -> Box<dyn AnswerRenderer> {
        Box::new(render::Renderer::new(self, head))
    }
}

/// Refuses what would have the provider keep a state that the gateway could not keep apart by tenant.
fn refuse_stateful(body: &Map<String, Value>) -> Result<(), BadRequest> {
    if let Some(background) = Field::of_body(body, "background")
        && background.bool()?
    {
        return Err(
            background.unsupported("is not available: send `stream: true` for long answers.")
        );
    }
    if let Some(conversation) = Field::of_body(body, "conversation") {
        return Err(conversation.unsupported(
            "is not available: send `previous_response_id`, or the whole conversation in `input`.",
        ));
    }
    match Field::of_body(body, "prompt") {
        Some(prompt) => Err(prompt.unsupported(
            "is not available: send the prompt's text in `instructions` and `input`.",
        )),
        None => Ok(()),
    }
}

fn check_input(body: &Map<String, Value>) -> Result<(), BadRequest> {
    let continues = Field::of_body(body, "previous_response_id").is_some();
    let Some(input) = Field::of_body(body, "input") else {
        if continues {
            return Ok(());
        }
        let message = "Missing required field `input`: send a text or at least one item.";
        return Err(BadRequest::new("missing_required_parameter", "input", message));
    };
    if input.value().is_string() {
        return Ok(());
    }
    if !input.value().is_array() {
        return Err(input.wrong_type("a string or an array of items"));
    }
    let items = input.array()?;
    if items.len() == 0 && !continues {
        let message = "`input` is empty: send a text or at least one item.";
        return Err(BadRequest::new("empty_array", "input", message));
    }
    for item in items {
        item.object()?;
        let kind = item.get("type").map(|kind| kind.str()).transpose()?;
        if kind.is_none() && item.get("role").is_none() && item.get("id").is_none() {
            return Err(item.invalid("has neither `type` nor `role`: it must be an item."));
        }
    }
    Ok(())
}

fn collect_file_ids(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|it| collect_file_ids(it, ids)),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str);
            let id = object.get("file_id").and_then(Value::as_str);
            if let (Some("input_image" | "input_file"), Some(id)) = (kind, id)
                && !ids.iter().any(|other| other == id)
            {
                ids.push(id.to_owned());
            }
            for key in ["content", "output"] {
                if let Some(inner) = object.get(key) {
                    collect_file_ids(inner, ids);
                }
            }
        }
        _ => {}
    }
}
