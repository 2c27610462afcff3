//! The body of a request: a JSON object from a stranger, with its original text.

use serde_json::{Map, Value};

use super::field::Field;
use super::json::parse_object;
use super::members::{Edit, Member, Members};
use crate::{BadRequest, Model};

/// A JSON object, its text, and where its members stand in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Body {
    pub(crate) text: String,
    pub(crate) members: Members,
    pub(crate) object: Map<String, Value>,
}

impl Body {
    /// Reads a body from any bytes; never panics. A key that differs from one of `judged` only by case is
    /// refused: a provider that ignores case would read another value than the one that was checked.
    pub(crate) fn parse(body: &[u8], judged: &[&str]) -> Result<Self, BadRequest> {
        let text = utf8(body)?;
        let object = parse_object(text)?;
        let members = members_of(text)?;
        refuse_lookalikes(&object, judged)?;
        Ok(Self { text: text.to_owned(), members, object })
    }

    /// The text with the model named as its provider does and without the fields that the registry
    /// drops; `kept` are those that it cannot drop.
    pub(crate) fn for_model(&self, model: &Model, kept: &[&str]) -> String {
        let edit = |member: &Member| match member.key.as_str() {
            "model" => Edit::Replace(Value::from(model.provider_model_id.as_str()).to_string()),
            key if kept.contains(&key) => Edit::Keep,
            key if model.drop_fields.iter().any(|field| field == key) => Edit::Drop,
            _ => Edit::Keep,
        };
        self.members.rewrite(&self.text, edit, &[])
    }
}

/// The text of a body.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, BadRequest> {
    str::from_utf8(body).map_err(|error| {
        let place = error.valid_up_to();
        BadRequest::body("invalid_utf8", format!("The body is not valid UTF-8 (byte {place})."))
    })
}

/// Where the members of the object that is the whole of `text` stand.
pub(crate) fn members_of(text: &str) -> Result<Members, BadRequest> {
    Members::of(text).map_err(|error| {
        BadRequest::body("invalid_json", format!("The body is not valid JSON: {error}."))
    })
}

/// Refuses keys that differ from one of `judged` only by case.
pub(crate) fn refuse_lookalikes(
    object: &Map<String, Value>,
    judged: &[&str],
) -> Result<(), BadRequest> {
    for key in object.keys() {
        let known = judged.iter().find(|name| key.eq_ignore_ascii_case(name) && key != *name);
        if let Some(name) = known {
            let message = format!("Unknown field `{key}`: write `{name}`.");
            return Err(BadRequest::new("unknown_parameter", key.as_str(), message));
        }
    }
    Ok(())
}

/// The model that the client wants, as it named it; not empty.
pub(crate) fn model_of(object: &Map<String, Value>) -> Result<String, BadRequest> {
    let Some(field) = Field::of_body(object, "model") else {
        let message =
            "Missing required field `model`: name one of the models that `GET /v1/models` lists.";
        return Err(BadRequest::new("missing_required_parameter", "model", message));
    };
    let model = field.str()?;
    if model.trim().is_empty() {
        return Err(field.invalid("is empty: name one of the models that `GET /v1/models` lists."));
    }
    Ok(model.to_owned())
}
