//! A gateway in memory: two tenants, two models, and a provider that does as it is told.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admission::fakes::InMemoryLedger;
use admission::{EntitlementStore, Entitlements, LimitedScope, Limits, Meter, Scope, StoreError};
use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_api::Body;
use http_body_util::BodyExt as _;
use inference::{
    ByteStream, Catalog, CatalogStore, ContentBlock, Estimate, Event, EventStream,
    ForwardedResponse, Model, ModelRequest, ModelResponse, Protocol, Provider, ProviderCall,
    ProviderError, ProviderErrorKind, ReadCatalogError, StopReason,
};
use lambda_http::Request;
use metering::{NanoUsd, PicoUsd, Price, PriceBook, TokenUsage, UsageRecord};
use serde_json::{Value, json};
use tenancy::{ModelAllowlist, Status, Tenant, TenantContext};

use crate::{Cache, State, handle};

/// 2026-11-23T12:00:00Z
pub(super) const NOON_MS: i64 = 1_795_435_200_000;

pub(super) const USAGE: TokenUsage = TokenUsage {
    input: 10,
    output: 2,
    cache_read: 5,
    cache_write_5m: 0,
    cache_write_1h: 0,
    images: 0,
    search_units: 0,
};

/// What the provider does with its next call.
pub(super) enum Script {
    Events(Vec<Result<Event, ProviderError>>),
    /// Events that come one by one, as the test sends them.
    Live(futures::channel::mpsc::UnboundedReceiver<Result<Event, ProviderError>>),
    Bytes(Vec<Result<Bytes, ProviderError>>),
    Whole(ModelResponse),
    Refuse(ProviderError),
    /// Accepts the call after so long.
    Think(Duration, Vec<Result<Event, ProviderError>>),
}

#[derive(Default)]
pub(super) struct FakeProvider {
    scripts: Mutex<VecDeque<Script>>,
    /// Tenant, model and body of each call.
    pub(super) calls: Mutex<Vec<(String, String, Vec<u8>)>>,
}

impl FakeProvider {
    fn begin(&self, call: &ProviderCall<'_>, body: Vec<u8>) -> Script {
        assert!(
            call.allowed_models.iter().any(|model| model.id == call.model.id),
            "the session covers the model"
        );
        let tenant = call.context.tenant_id.to_string();
        self.calls.lock().unwrap().push((tenant, call.model.provider_model_id.clone(), body));
        self.scripts
            .lock()
            .unwrap()
            .pop_front()
            .expect("the provider is called no more often than scripted")
    }
}

impl Provider for FakeProvider {
    async fn respond(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<ModelResponse, ProviderError> {
        match self.begin(call, serde_json::to_vec(&request).unwrap()) {
            Script::Whole(response) => Ok(response),
            Script::Refuse(error) => Err(error),
            _ => unreachable!("not scripted for a whole answer"),
        }
    }

    async fn stream(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<EventStream, ProviderError> {
        let events: EventStream = match self.begin(call, serde_json::to_vec(&request).unwrap()) {
            Script::Events(events) => Box::pin(futures::stream::iter(events)),
            Script::Live(events) => Box::pin(events),
            Script::Think(time, events) => {
                tokio::time::sleep(time).await;
                Box::pin(futures::stream::iter(events))
            }
            Script::Refuse(error) => return Err(error),
            _ => unreachable!("not scripted for a stream"),
        };
        Ok(events)
    }

    async fn forward(
        &self,
        call: &ProviderCall<'_>,
        body: Bytes,
    ) -> Result<ForwardedResponse, ProviderError> {
        match self.begin(call, body.to_vec()) {
            Script::Bytes(pieces) => {
                let body: ByteStream = Box::pin(futures::stream::iter(pieces));
                Ok(ForwardedResponse {
                    provider_request_id: Some("prov-1".into()),
                    content_type: None,
                    body,
                })
            }
            Script::Refuse(error) => Err(error),
            _ => unreachable!("not scripted for forwarding"),
        }
    }
}

/// Entitlements that a test may change.
pub(super) struct FakeConfiguration {
    pub(super) tenants: Mutex<BTreeMap<String, Entitlements>>,
    catalog: Catalog,
}

impl EntitlementStore for &'static FakeConfiguration {
    async fn entitlements(
        &self,
        context: &TenantContext,
    ) -> Result<Option<Entitlements>, StoreError> {
        Ok(self.tenants.lock().unwrap().get(context.tenant_id.as_str()).cloned())
    }
}

impl CatalogStore for &'static FakeConfiguration {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        Ok(self.catalog.clone())
    }
}

pub(super) struct Gateway {
    pub(super) state: Arc<State<&'static FakeConfiguration, InMemoryLedger, FakeProvider>>,
    pub(super) configuration: &'static FakeConfiguration,
}

fn entitlements(tenant: &str, lob: &str, models: &[&str], limits: Limits) -> Entitlements {
    let tenant = Tenant {
        tenant_id: tenant.parse().unwrap(),
        lob_id: lob.parse().unwrap(),
        status: Status::Active,
        models: ModelAllowlist(models.iter().map(|id| id.parse().unwrap()).collect()),
        default_max_tokens: None,
        settings: tenancy::TenantSettings::default(),
        entitlement_version: 1,
    };
    let scopes = Scope::of_tenant(&tenant.tenant_id, &tenant.lob_id)
        .into_iter()
        .map(|scope| LimitedScope { scope, limits, entitlement_version: 1 })
        .collect();
    Entitlements { tenant, scopes }
}

fn model(id: &str, protocol: Protocol) -> Arc<Model> {
    let model = inference::fixtures::model(id, protocol);
    Arc::new(Model {
        provider_model_id: format!("vendor.{id}-v1"),
        owned_by: "vendor".into(),
        created: 1_700_000_000,
        context_window: 100_000,
        max_output_tokens: 4_096,
        default_max_tokens: 256,
        estimate: Estimate { overhead_tokens: 0, image_tokens: 1_000 },
        ..model
    })
}

impl Gateway {
    /// `acme` (retail) may use `converse-a` and `native-b`, `globex` (markets) only `native-b`.
    pub(super) fn new(limits: Limits, scripts: Vec<Script>) -> Self {
        let price = Price {
            input: PicoUsd(1_000_000),
            output: PicoUsd(10_000_000),
            cache_read: Some(PicoUsd(100_000)),
            cache_write_5m: None,
            cache_write_1h: None,
            image: None,
            search_unit: None,
        };
        let models =
            [model("converse-a", Protocol::Converse), model("native-b", Protocol::OpenaiChat)];
        let book = PriceBook {
            version: "2026-11".into(),
            valid_from: 0,
            models: models.iter().map(|model| (model.id.clone(), price)).collect(),
        };
        let tenants = [
            entitlements("acme", "retail", &["converse-a", "native-b", "unregistered-c"], limits),
            entitlements("globex", "markets", &["native-b"], limits),
        ];
        let meters: Vec<(Scope, Meter)> = tenants
            .iter()
            .flat_map(|tenant| tenant.scopes.iter())
            .map(|scope| (scope.scope.clone(), Meter::new(Status::Active, 1)))
            .collect();
        let configuration = Box::leak(Box::new(FakeConfiguration {
            tenants: Mutex::new(tenants.map(|of| (of.tenant.tenant_id.to_string(), of)).into()),
            catalog: Catalog {
                models: models.into_iter().map(|model| (model.id.clone(), model)).collect(),
                price_books: vec![Arc::new(book)],
                ..Catalog::default()
            },
        }));
        let configuration: &'static FakeConfiguration = configuration;
        let state = State {
            configuration: Cache::new(configuration),
            ledger: InMemoryLedger::with_meters(meters),
            provider: FakeProvider { scripts: Mutex::new(scripts.into()), calls: Mutex::default() },
            region: "us-east-1".into(),
            heartbeat: Duration::from_secs(10),
            now_ms: || NOON_MS,
        };
        Self { state: Arc::new(state), configuration }
    }

    /// Sends `body` as a user of `tenant`.
    pub(super) async fn send(&self, tenant: &str, body: &Value) -> Response<Body> {
        self.send_as(tenant, "developer", &body.to_string()).await
    }

    pub(super) async fn send_as(&self, tenant: &str, role: &str, body: &str) -> Response<Body> {
        let lob = if tenant == "acme" { "retail" } else { "markets" };
        let event = include_str!("../../testdata/chat.json")
            .replace(r#""acme""#, &json!(tenant).to_string())
            .replace(r#""retail""#, &json!(lob).to_string())
            .replace(r#""developer""#, &json!(role).to_string())
            .replace(r#""BODY""#, &json!(body).to_string());
        self.handle(lambda_http::request::from_str(&event).unwrap()).await
    }

    pub(super) async fn get_models(&self, tenant: &str) -> Value {
        let event = include_str!("../../testdata/chat.json")
            .replace("/v1/chat/completions", "/v1/models")
            .replace("POST", "GET")
            .replace(r#""acme""#, &json!(tenant).to_string())
            .replace(r#""BODY""#, "null");
        body(self.handle(lambda_http::request::from_str(&event).unwrap()).await).await
    }

    pub(super) async fn handle(&self, request: Request) -> Response<Body> {
        handle(Arc::clone(&self.state), request).await.unwrap()
    }

    pub(super) fn records(&self) -> Vec<UsageRecord> {
        self.state.ledger.all_records()
    }

    /// The one record, which must be there.
    pub(super) fn record(&self) -> UsageRecord {
        let records = self.records();
        assert_eq!(records.len(), 1);
        records.into_iter().next().unwrap()
    }

    pub(super) fn committed(&self, tenant: &str) -> NanoUsd {
        self.state.ledger.meter_of(&Scope::Tenant(tenant.parse().unwrap())).committed
    }

    pub(super) fn provider_calls(&self) -> usize {
        self.state.provider.calls.lock().unwrap().len()
    }
}

pub(super) fn chat(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 100, "messages": [{ "role": "user", "content": "Hello" }] })
}

pub(super) fn streamed(model: &str) -> Value {
    let mut request = chat(model);
    request["stream"] = json!(true);
    request
}

pub(super) fn text_events(pieces: &[&str]) -> Vec<Result<Event, ProviderError>> {
    let deltas = pieces.iter().map(|text| Event::TextDelta { block: 0, text: (*text).to_owned() });
    deltas
        .chain([
            Event::BlockStop { block: 0 },
            Event::Stop { reason: StopReason::EndTurn, stop_sequence: None },
            Event::Usage(USAGE),
        ])
        .map(Ok)
        .collect()
}

pub(super) fn whole(text: &str) -> ModelResponse {
    ModelResponse {
        content: vec![ContentBlock::Text(text.to_owned())],
        stop_reason: StopReason::EndTurn,
        stop_sequence: None,
        usage: USAGE,
        provider_request_id: Some("prov-1".into()),
    }
}

pub(super) fn provider_error(kind: ProviderErrorKind, may_have_run: bool) -> ProviderError {
    ProviderError {
        kind,
        message: "as scripted".into(),
        provider_request_id: None,
        may_have_run,
        retry_after: None,
    }
}

pub(super) async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn body(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// The next frame of a streamed body.
pub(super) async fn frame(body: &mut Body) -> String {
    let mut stream = body.into_data_stream();
    String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
}
