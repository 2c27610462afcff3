//! Errors in the form of RFC 7644, 3.12.

use serde_json::{Map, Value};

/// What kind of bad request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimType {
    /// The filter does not parse, or compares what cannot be compared.
    InvalidFilter,
    /// The body is not what it has to be.
    InvalidSyntax,
    /// The path of a patch does not parse, or leads nowhere.
    InvalidPath,
    /// The path of a patch selects nothing.
    NoTarget,
    /// A value is missing, or of the wrong kind.
    InvalidValue,
    /// The attribute is not the client's to change.
    Mutability,
    /// Another resource has it.
    Uniqueness,
    /// There is more than can be shown or changed at once.
    TooMany,
}

impl ScimType {
    /// As it stands in an answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::Mutability => "mutability",
            Self::Uniqueness => "uniqueness",
            Self::TooMany => "tooMany",
        }
    }
}

/// What a client of SCIM is told when a request cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// What kind of bad request it is, if it is one.
    pub scim_type: Option<ScimType>,
    /// What is wrong, and what to do about it.
    pub detail: String,
}

impl ScimError {
    /// A bad request.
    pub fn bad(scim_type: ScimType, detail: impl Into<String>) -> Self {
        let status = if scim_type == ScimType::Uniqueness { 409 } else { 400 };
        Self { status, scim_type: Some(scim_type), detail: detail.into() }
    }

    /// Any other one.
    pub fn of(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into() }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("schemas".into(), Value::from(vec![crate::ERROR]));
        body.insert("status".into(), self.status.to_string().into());
        if let Some(scim_type) = self.scim_type {
            body.insert("scimType".into(), scim_type.as_str().into());
        }
        body.insert("detail".into(), self.detail.as_str().into());
        Value::Object(body)
    }
}
