//! What the function is invoked with, and what it answers.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenancy::TenantContext;

use crate::message::{RequestId, SessionId};

/// An event of a connection, from API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SocketEvent {
    pub(crate) request_context: RequestContext,
    #[serde(default)]
    pub(crate) headers: Option<HashMap<String, String>>,
    #[serde(default)]
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestContext {
    pub(crate) event_type: EventType,
    pub(crate) connection_id: String,
    /// What the authorizer said when the connection was opened.
    #[serde(default)]
    pub(crate) authorizer: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum EventType {
    Connect,
    Message,
    Disconnect,
}

impl SocketEvent {
    /// Who opened the connection, and when their token expires (Unix seconds).
    pub(crate) fn caller(&self) -> Option<(TenantContext, i64)> {
        let fields = self.request_context.authorizer.as_ref()?;
        let text = |name: &str| fields.get(name)?.as_str();
        Some((http_api::verified(text)?, text("expires_at")?.parse().ok()?))
    }

    /// Whether the client said its token as a subprotocol, which is to be agreed to.
    pub(crate) fn offers_bearer(&self) -> bool {
        self.headers.iter().flatten().any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-protocol")
                && value.split(',').next().is_some_and(|first| first.trim() == "bearer")
        })
    }
}

/// One request of a session, to be answered by an invocation of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its name in the content store, which nobody else knows.
    pub(crate) id: String,
    pub(crate) session: SessionId,
    pub(crate) request: RequestId,
    /// Where the answer goes.
    pub(crate) connection: String,
    /// What the authorizer said about the caller.
    pub(crate) caller: BTreeMap<String, String>,
}

impl Turn {
    pub(crate) fn new(
        session: SessionId,
        request: RequestId,
        connection: &str,
        context: &TenantContext,
    ) -> Self {
        Self {
            id: uuid::Uuid::now_v7().simple().to_string(),
            session,
            request,
            connection: connection.to_owned(),
            caller: context.fields(),
        }
    }

    /// Who asked.
    pub(crate) fn context(&self) -> Option<TenantContext> {
        http_api::verified(|name| self.caller.get(name).map(String::as_str))
    }
}

/// What the function is invoked with.
///
/// API Gateway makes its events itself, with a `requestContext` always; a client fills nothing but
/// their body. An event without one comes by `Invoke`, which the function's resource policy and the
/// roles of the account permit to nobody but the function itself. Even so it only names a request,
/// which must have been kept for that very tenant, and which runs once.
pub(crate) enum Event {
    Socket(SocketEvent),
    Turn(Turn),
}

impl Event {
    pub(crate) fn read(mut event: Value) -> Result<Self, serde_json::Error> {
        if event.get("requestContext").is_some() {
            return serde_json::from_value(event).map(Self::Socket);
        }
        let turn = event.get_mut("turn").map(Value::take).unwrap_or_default();
        serde_json::from_value(turn).map(Self::Turn)
    }
}

/// What API Gateway is answered; of messages, it looks at the status only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub(crate) status_code: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<&'static str, &'static str>,
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self { status_code: 200, headers: BTreeMap::new() }
    }
}
