//! Callers, and how they ask.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fake::{Fake, two_tenants};
use crate::{State, handle};
use admission::Calendar;

/// 2026-11-23T12:00:00Z
pub(super) const NOON_MS: i64 = 1_795_435_200_000;

/// Roles with the tenant that they have them in: everybody who may ask for anything.
pub(super) const EVERYBODY: [&str; 7] = [
    "org_admin@globex",
    "lob_admin@zenith",
    "tenant_admin@acme",
    "developer@acme",
    "viewer@acme",
    "machine@acme",
    "tenant_admin@globex",
];

pub(super) fn state() -> State<Fake> {
    State { store: two_tenants(), calendar: Calendar::utc(), now, new_id }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(NOON_MS).unwrap()
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// What one request was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
    pub(super) bytes: Bytes,
}

impl Answer {
    pub(super) fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }

    /// The field at fault.
    pub(super) fn param(&self) -> &str {
        self.body["error"]["param"].as_str().unwrap_or_default()
    }

    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// A request of somebody: `developer@acme`, or `developer.read@acme` for a token narrowed to a scope.
pub(super) struct Asked<'a> {
    pub(super) state: &'a State<Fake>,
    pub(super) who: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
}

pub(super) fn asked<'a>(state: &'a State<Fake>, who: &'a str) -> Asked<'a> {
    Asked { state, who, headers: Vec::new(), body: None }
}

impl Asked<'_> {
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    pub(super) fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(super) async fn get(self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    pub(super) async fn send(self, method: &str, path: &str) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let template = include_str!("../../testdata/request.json");
        let template =
            template.replace("/PATH", path).replace("METHOD", method).replace("/live//", "/live/");
        let mut event: Value = serde_json::from_str(&template).unwrap();
        let (roles, tenant) = self.who.split_once('@').unwrap();
        let (role, scope) =
            roles.split_once('.').map_or((roles, ""), |(role, scope)| (role, scope));
        let lob = if tenant == "globex" { "markets" } else { "retail" };
        let scopes = if scope.is_empty() { String::new() } else { format!("weir/{scope}") };
        event["requestContext"]["authorizer"] = json!({
            "tenant_id": tenant, "lob_id": lob, "principal_id": format!("{role}-1"),
            "principal_kind": if role == "machine" { "machine" } else { "user" },
            "roles": role, "scopes": scopes,
        });
        for (name, value) in self.headers {
            event["headers"][name] = json!(value);
            event["multiValueHeaders"][name] = json!([value]);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            let values = &mut event["multiValueQueryStringParameters"][name];
            if values.is_null() {
                *values = json!([]);
            }
            values.as_array_mut().unwrap().push(json!(value));
        }
        event["body"] = self.body.map_or(Value::Null, Value::String);
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        let response = handle(self.state, request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body, text, bytes }
    }
}

/// A list of one limit of money per month.
pub(super) fn budget(amount: u64) -> Value {
    json!({"limits": [{"id": "budget", "metric": "cost", "period": "month", "amount": amount}]})
}

/// Sets limits over whatever is there.
pub(super) async fn put(state: &State<Fake>, who: &str, scope: &str, body: &Value) -> Answer {
    let asked = asked(state, who).header("If-Match", "*").body(body);
    asked.send("PUT", &format!("/v1/limits/{scope}")).await
}
