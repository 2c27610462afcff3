//! Two lines of business, three tenants, and everybody who may ask for anything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use administration::fakes::{FakePool, FakeTable};
use administration::{LobDocument, LobState, TenantDocument, TenantState};
use http::{HeaderMap, StatusCode};
use http_api::fakes::Sent;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tenancy::Status;

use crate::{State, handle};

pub(super) type World = State<FakeTable, FakePool>;

/// 2026-11-23T12:00:00Z
pub(super) const NOON_MS: i64 = 1_795_435_200_000;

/// Roles with the tenant that they have them in.
pub(super) const EVERYBODY: [&str; 10] = [
    "org_admin@globex",
    "org_auditor@globex",
    "lob_admin@zenith",
    "tenant_admin@acme",
    "auditor@acme",
    "developer@acme",
    "viewer@acme",
    "machine@acme",
    "tenant_admin@globex",
    "lob_admin@globex",
];

pub(super) fn world() -> World {
    let (store, pool) = (FakeTable::default(), FakePool::default());
    {
        let mut data = store.data();
        data.models = ["nova-pro", "nova-lite", "opus"].map(|id| id.parse().unwrap()).into();
        for (lob, tenants) in [("retail", &["acme", "zenith"][..]), ("markets", &["globex"])] {
            let document: LobDocument = serde_json::from_value(json!({"name": lob})).unwrap();
            let state = LobState { version: 5, document, is_changing: false };
            data.lobs.insert(lob.parse().unwrap(), state);
            for tenant in tenants {
                let mut document = TenantDocument::new(*tenant, lob.parse().unwrap());
                document.models = BTreeSet::from(["nova-pro".parse().unwrap()]);
                let state = TenantState {
                    version: 7,
                    status: Status::Active,
                    suspension: None,
                    document,
                    is_changing: false,
                };
                data.tenants.insert(tenant.parse().unwrap(), state);
                data.known.insert(tenant.parse().unwrap(), 7);
            }
        }
    }
    for (id, group) in [
        ("lob_admin-1", "zenith:lob_admin"),
        ("tenant_admin-1", "acme:tenant_admin"),
        ("developer-1", "acme:developer"),
        ("other-1", "globex:developer"),
    ] {
        pool.add(id, &format!("{}@mail.example", id.replace('_', "-")), &[group]);
    }
    State { store, pool, allow_local_issuers: false, now, new_id }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(NOON_MS).unwrap()
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// What one request was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
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

    pub(super) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

/// A request of somebody: `developer@acme`, or `developer.read@acme` for a token narrowed to a scope, or
/// `developer+org_auditor@acme`.
pub(super) struct Asked<'a> {
    state: &'a World,
    who: &'a str,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

pub(super) fn asked<'a>(state: &'a World, who: &'a str) -> Asked<'a> {
    Asked { state, who, headers: Vec::new(), body: None }
}

impl Asked<'_> {
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    pub(super) fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(super) async fn get(self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    pub(super) async fn send(self, method: &str, path: &str) -> Answer {
        let (roles, tenant) = self.who.split_once('@').unwrap();
        let (roles, scope) = roles.split_once('.').unwrap_or((roles, ""));
        let lob = if tenant == "globex" { "markets" } else { "retail" };
        let scopes = if scope.is_empty() { String::new() } else { format!("weir/{scope}") };
        let first = roles.split('+').next().unwrap();
        let authorizer = json!({
            "tenant_id": tenant, "lob_id": lob, "principal_id": format!("{first}-1"),
            "principal_kind": if first == "machine" { "machine" } else { "user" },
            "roles": roles.replace('+', " "), "scopes": scopes,
        });
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = self.body.as_deref();
        let sent = Sent { authorizer, method, path, headers: &headers, body };
        let response = handle(self.state, sent.request().unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body, text }
    }
}

/// A tenant of `lob` with a name.
pub(super) fn document(name: &str, lob: &str) -> Value {
    json!({"name": name, "lob_id": lob, "models": ["nova-pro"]})
}

/// Changes a tenant, whatever it is.
pub(super) async fn put(state: &World, who: &str, id: &str, body: &Value) -> Answer {
    let asked = asked(state, who).header("If-Match", "*").body(body);
    asked.send("PUT", &format!("/v1/tenants/{id}")).await
}

/// Creates a tenant.
pub(super) async fn create(state: &World, who: &str, id: &str, body: &Value) -> Answer {
    let asked = asked(state, who).header("If-None-Match", "*").body(body);
    asked.send("PUT", &format!("/v1/tenants/{id}")).await
}

/// The schedule, as it comes by.
pub(super) async fn schedule(state: &World) -> StatusCode {
    let event = include_str!("../../testdata/schedule.json");
    let request = lambda_http::request::from_str(event).unwrap();
    handle(state, request).await.unwrap().status()
}

/// The schedule, two minutes later.
pub(super) async fn schedule_later(state: &World) -> StatusCode {
    let later = now() + jiff::SignedDuration::from_secs(120);
    crate::schedule::finish_tasks_at(state, later).await.status()
}
