//! A value together with its path, so that every complaint names its field.

use std::fmt;

use metering::ServiceTier;
use serde_json::{Map, Value};

use super::json::name_of;
use crate::BadRequest;

/// A value in a request. Its path is written only when something is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    value: &'a Value,
    step: Step<'a>,
    parent: Option<&'a Field<'a>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'a> Field<'a> {
    /// The member `key` of the body; `null` counts as absent.
    pub(crate) fn of_body(body: &'a Map<String, Value>, key: &'a str) -> Option<Self> {
        let value = body.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, step: Step::Key(key), parent: None })
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// The member `key` of this object, if this is one and has it; `null` counts as absent.
    pub(crate) fn get<'b>(&'b self, key: &'b str) -> Option<Field<'b>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Field { value, step: Step::Key(key), parent: Some(self) })
    }

    /// The member `key`, which must be there.
    pub(crate) fn require<'b>(&'b self, key: &'b str) -> Result<Field<'b>, BadRequest> {
        self.get(key).ok_or_else(|| {
            BadRequest::new(
                "missing_required_parameter",
                format!("{self}.{key}"),
                format!("Missing required field `{self}.{key}`."),
            )
        })
    }

    pub(crate) fn str(&self) -> Result<&'a str, BadRequest> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    pub(crate) fn bool(&self) -> Result<bool, BadRequest> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("a boolean"))
    }

    pub(crate) fn number(&self) -> Result<f64, BadRequest> {
        self.value.as_f64().ok_or_else(|| self.wrong_type("a number"))
    }

    pub(crate) fn object(&self) -> Result<&'a Map<String, Value>, BadRequest> {
        self.value.as_object().ok_or_else(|| self.wrong_type("an object"))
    }

    /// The elements of this array.
    pub(crate) fn array(&self) -> Result<impl ExactSizeIterator<Item = Field<'_>>, BadRequest> {
        let elements = self.value.as_array().ok_or_else(|| self.wrong_type("an array"))?;
        Ok(elements.iter().enumerate().map(move |(index, value)| Field {
            value,
            step: Step::Index(index),
            parent: Some(self),
        }))
    }

    /// An integer of at least 1.
    pub(crate) fn positive_integer(&self) -> Result<u64, BadRequest> {
        match self.value.as_u64() {
            Some(0) => Err(self.too_small()),
            Some(number) => Ok(number),
            None if self.value.is_i64() => Err(self.too_small()),
            None => Err(self.wrong_type("an integer")),
        }
    }

    fn too_small(&self) -> BadRequest {
        BadRequest::new(
            "integer_below_min_value",
            self.to_string(),
            format!("`{self}` must be at least 1, not {}.", self.value),
        )
    }

    /// A number from `min` to `max`.
    pub(crate) fn number_within(&self, min: f64, max: f64) -> Result<f64, BadRequest> {
        let number = self.number()?;
        let code = match number {
            n if n < min => "decimal_below_min_value",
            n if n > max => "decimal_above_max_value",
            _ => return Ok(number),
        };
        Err(BadRequest::new(
            code,
            self.to_string(),
            format!("`{self}` must be from {min} to {max}, not {number}."),
        ))
    }

    pub(crate) fn wrong_type(&self, expected: &str) -> BadRequest {
        BadRequest::new(
            "invalid_type",
            self.to_string(),
            format!("`{self}` must be {expected}, not {}.", name_of(self.value)),
        )
    }

    /// A complaint about this field; `message` completes a sentence that starts with its name.
    pub(crate) fn invalid(&self, message: impl fmt::Display) -> BadRequest {
        BadRequest::value(self.to_string(), format!("`{self}` {message}"))
    }

    /// The same in OpenAI's words: `auto` is what the account has, the default tier on every provider here.
    pub(crate) fn openai_service_tier(&self) -> Result<ServiceTier, BadRequest> {
        if self.str()? == "auto" { Ok(ServiceTier::Default) } else { self.service_tier() }
    }

    /// The service tier that it names: one that a price book may have a price for.
    pub(crate) fn service_tier(&self) -> Result<ServiceTier, BadRequest> {
        let tier = ServiceTier::of(self.str()?).filter(|tier| *tier != ServiceTier::Batch);
        tier.ok_or_else(|| {
            self.unsupported(
                "must be `default`, `flex` or `priority`: other tiers have no price here.",
            )
        })
    }

    /// A complaint that this field asks for something that cannot be had.
    pub(crate) fn unsupported(&self, message: impl fmt::Display) -> BadRequest {
        BadRequest::unsupported(self.to_string(), format!("`{self}` {message}"))
    }
}
