//! Requests as API Gateway hands them over, and what comes back: for tests of functions.

use std::error::Error;

use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use lambda_http::Request;
use serde_json::{Value, json};

use crate::Body;

/// A request of a caller that the authorizer let in.
#[derive(Debug, Clone)]
pub struct Sent<'a> {
    /// What the authorizer said of the caller.
    pub authorizer: Value,
    /// Its method.
    pub method: &'a str,
    /// Its path, with its query if it has one.
    pub path: &'a str,
    /// Its headers, beside those that every request has.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: Option<&'a str>,
}

impl Sent<'_> {
    /// The recorded event with this in it, as the runtime hands it to a function.
    ///
    /// # Errors
    /// It is no such event any more.
    pub fn request(self) -> Result<Request, Box<dyn Error + Send + Sync>> {
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let template = include_str!("../testdata/request.json");
        let template = template.replace("/PATH", path).replace("METHOD", self.method);
        let mut event: Value = serde_json::from_str(&template.replace("/live//", "/live/"))?;
        let mut set = |pointer: &str, name: &str, value: Value| {
            let fields = event.pointer_mut(pointer).and_then(Value::as_object_mut);
            if let Some(fields) = fields {
                fields.insert(name.to_owned(), value);
            }
        };
        set("/requestContext", "authorizer", self.authorizer);
        for (name, value) in self.headers {
            set("/headers", name, json!(value));
            set("/multiValueHeaders", name, json!([value]));
        }
        let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        for (name, _) in &pairs {
            let values = pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
            let values: Vec<_> = values.collect();
            set("/multiValueQueryStringParameters", name, json!(values));
        }
        set("", "body", json!(self.body));
        Ok(lambda_http::request::from_str(&event.to_string())?)
    }
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if that is no JSON.
    pub body: Value,
    /// Its body as it is.
    pub text: String,
}

impl Answer {
    /// What a response says.
    ///
    /// # Errors
    /// Its body breaks off, or is no text.
    pub async fn of(response: Response<Body>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let text = String::from_utf8(bytes.to_vec())?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status: parts.status, headers: parts.headers, body, text })
    }

    /// Status, code and field of an error in OpenAI's shape.
    pub fn error(&self) -> (u16, &str, &str) {
        (self.status.as_u16(), self.said("code"), self.said("param"))
    }

    /// A text of an error in OpenAI's shape; nothing if there is none.
    pub fn said(&self, name: &str) -> &str {
        let said = self.body.pointer("/error").and_then(|error| error.get(name));
        said.and_then(Value::as_str).unwrap_or_default()
    }
}
