//! A gateway in memory: two tenants, two models, and a provider that does as it is told.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admission::fakes::InMemoryLedger;
use admission::{EntitlementStore, Entitlements, LimitRule, Meter, Scope, StoreError};
use bytes::Bytes;
use content::fakes::InMemoryContent;
use futures::StreamExt as _;
use gateway::shadow::{HandOverError, ShadowOrder, Shadows};
use gateway::{Cache, ObjectStore, Ports, SharedHealth, State};
use http::Response;
use http_api::Body;
use http_body_util::BodyExt as _;
use inference::anthropic_messages::MessagesRequest;
use inference::converse::ConverseRequest;
use inference::openai_chat::ChatRequest;
use inference::{
    Alias, AliasStore, AnswerHead, AnswerRenderer, ByteStream, Catalog, CatalogStore, ContentBlock,
    Estimate, Event, GenerateRequest as _, Model, ModelResponse, Protocol, ProviderAdapter,
    ProviderCall, ProviderError, ProviderErrorKind, ProviderRequest, ProviderResponse,
    ReadCatalogError, RetryPolicy, Step, StopReason, Target,
};
use lambda_http::Request;
use metering::{NanoUsd, Outcome, PicoUsd, Price, PriceBook, TokenUsage, UsageRecord};
use routing::{HealthStore, HealthStoreError};
use serde_json::{Value, json};
use tenancy::{ModelAllowlist, ModelId, Status, Tenant, TenantContext, TenantSettings};

use crate::handle;

/// 2026-11-23T12:00:00Z
pub(super) const NOON_MS: i64 = 1_795_435_200_000;

pub(super) const USAGE: TokenUsage = TokenUsage {
    input: 10,
    output: 2,
    cache_read: 5,
    cache_write_5m: 0,
    cache_write_1h: 0,
    input_audio: 0,
    output_audio: 0,
    images: 0,
    search_units: 0,
    guardrail_units: 0,
};

/// What the provider does with its next call.
pub(super) enum Script {
    /// A stream, in the protocol that was asked in.
    Events(Vec<Result<Event, ProviderError>>),
    /// Events that come one by one, as the test sends them.
    Live(futures::channel::mpsc::UnboundedReceiver<Result<Event, ProviderError>>),
    /// A body of these pieces.
    Bytes(Vec<Result<Bytes, ProviderError>>),
    /// A whole answer, in the protocol that was asked in.
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

/// Writes canonical events as a provider of `protocol` would.
fn writer(protocol: Protocol) -> Box<dyn AnswerRenderer> {
    let head =
        AnswerHead { call_id: "prov".into(), created: 0, model: "m".into(), likely_input: 0 };
    match protocol {
        Protocol::Converse => {
            let body = br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
            ConverseRequest::parse("m", true, body).unwrap().renderer(head)
        }
        Protocol::OpenaiChat => {
            let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
            ChatRequest::parse(body).unwrap().renderer(head)
        }
        Protocol::AnthropicMessages => {
            let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;
            MessagesRequest::parse(body, &[]).unwrap().renderer(head)
        }
        other => unreachable!("no test asks in {other:?}"),
    }
}

impl ProviderAdapter for FakeProvider {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        assert!(
            call.allowed_models.iter().any(|model| model.id == call.model.id),
            "the session covers the model"
        );
        let tenant = call.context.tenant_id.to_string();
        let asked = (tenant, call.model.provider_model_id.clone(), request.body.to_vec());
        self.calls.lock().unwrap().push(asked);
        let script = self.scripts.lock().unwrap().pop_front();
        let script = script.expect("the provider is called no more often than scripted");
        let (protocol, mut writing) = (request.protocol, None);
        let mut write = move |event: Result<Event, ProviderError>| {
            event.map(|event| {
                let writer = writing.get_or_insert_with(|| writer(protocol));
                // Some dialects say what was used at the very end only.
                let is_last = matches!(event, Event::Usage(_));
                let piece = writer.event(&event);
                if is_last { [piece, writer.finish()].concat().into() } else { piece }
            })
        };
        let events = |events: Vec<_>| Box::pin(futures::stream::iter(events)) as _;
        let body: ByteStream = match script {
            Script::Events(script) => events(script.into_iter().map(write).collect()),
            Script::Live(live) => Box::pin(live.map(write)),
            Script::Think(time, script) => {
                tokio::time::sleep(time).await;
                if let Some(Err(error)) = script.first() {
                    return Err(error.clone());
                }
                events(script.into_iter().map(&mut write).collect())
            }
            Script::Bytes(pieces) => events(pieces),
            Script::Whole(response) => {
                events(vec![Ok(self::writer(request.protocol).response(&response))])
            }
            Script::Refuse(error) => return Err(error),
        };
        let provider_request_id = Some("prov-1".into());
        Ok(ProviderResponse { provider_request_id, headers: Vec::new(), body })
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

impl AliasStore for &'static FakeConfiguration {
    async fn aliases(
        &self,
        _: &TenantContext,
    ) -> Result<BTreeMap<ModelId, Arc<Alias>>, ReadCatalogError> {
        Ok(BTreeMap::new())
    }
}

/// Everything in memory.
pub(super) struct FakePorts;

impl Ports for FakePorts {
    type Configuration = &'static FakeConfiguration;
    type Ledger = InMemoryLedger;
    type Providers = FakeProvider;
    type Content = InMemoryContent;
    type Objects = FakeObjects;
    type Health = FakeHealth;
    type Shadows = FakeShadows;
}

/// Orders that were handed over.
#[derive(Default)]
pub(super) struct FakeShadows {
    pub(super) orders: Mutex<Vec<ShadowOrder>>,
    /// Whether the next order is refused.
    pub(super) is_broken: AtomicBool,
    /// How long an order takes.
    pub(super) delay: Mutex<Duration>,
}

impl Shadows for FakeShadows {
    async fn hand_over(&self, order: Bytes) -> Result<(), HandOverError> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(HandOverError("as scripted".into()));
        }
        self.orders.lock().unwrap().push(serde_json::from_slice(&order).unwrap());
        Ok(())
    }
}

/// Files, by key.
#[derive(Default)]
pub(super) struct FakeObjects(pub(super) Mutex<BTreeMap<String, Bytes>>);

impl ObjectStore for FakeObjects {
    async fn presign_put(
        &self,
        context: &TenantContext,
        file_id: &str,
        media_type: &str,
        length: u64,
        _: Duration,
    ) -> Result<(String, Vec<(String, String)>), ProviderError> {
        let headers = vec![("content-type".into(), media_type.into())];
        let url = format!("https://uploads.test/{}/{file_id}?length={length}", context.tenant_id);
        Ok((url, headers))
    }

    async fn get(
        &self,
        context: &TenantContext,
        file_id: &str,
        _: usize,
    ) -> Result<Bytes, ProviderError> {
        let key = format!("{}/{file_id}", context.tenant_id);
        let found = self.0.lock().unwrap().get(&key).cloned();
        found.ok_or_else(|| provider_error(ProviderErrorKind::InvalidRequest, false))
    }

    fn bucket(&self) -> &'static str {
        "uploads"
    }

    fn uri(&self, context: &TenantContext, file_id: &str) -> String {
        format!("s3://uploads/tenant={}/{file_id}", context.tenant_id)
    }
}

/// Nobody else knows anything.
pub(super) struct FakeHealth;

impl HealthStore for FakeHealth {
    async fn open_targets(&self) -> Result<Vec<(ModelId, i64)>, HealthStoreError> {
        Ok(Vec::new())
    }

    async fn trip(&self, _: &ModelId, _: i64) -> Result<(), HealthStoreError> {
        Ok(())
    }
}

impl CatalogStore for &'static FakeConfiguration {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        Ok(self.catalog.clone())
    }
}

pub(super) struct Gateway {
    pub(super) state: Arc<State<FakePorts>>,
    pub(super) configuration: &'static FakeConfiguration,
}

fn entitlements(tenant: &str, lob: &str, models: &[&str], limits: Vec<LimitRule>) -> Entitlements {
    let tenant = Tenant {
        tenant_id: tenant.parse().unwrap(),
        lob_id: lob.parse().unwrap(),
        status: Status::Active,
        models: ModelAllowlist(models.iter().map(|id| id.parse().unwrap()).collect()),
        default_max_tokens: None,
        entitlement_version: 1,
        settings: TenantSettings::default(),
        projects: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    admission::fakes::entitlements(tenant, limits)
}

fn model(id: &str, protocol: Protocol) -> Arc<Model> {
    let model = inference::fixtures::model(id, protocol);
    Arc::new(Model {
        provider_model_id: format!("vendor.{id}-v1"),
        owned_by: "vendor".into(),
        family: None,
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
    pub(super) fn new(limits: Vec<LimitRule>, scripts: Vec<Script>) -> Self {
        Self::with_models(limits, scripts, &[])
    }

    /// The same, and `acme` may use `further` models.
    pub(super) fn with_models(
        limits: Vec<LimitRule>,
        scripts: Vec<Script>,
        further: &[Model],
    ) -> Self {
        let price = Price {
            input: PicoUsd(1_000_000),
            output: PicoUsd(10_000_000),
            cache_read: Some(PicoUsd(100_000)),
            cache_write_5m: None,
            cache_write_1h: None,
            ..Price::default()
        };
        let mut models =
            vec![model("converse-a", Protocol::Converse), model("native-b", Protocol::OpenaiChat)];
        models.extend(further.iter().cloned().map(Arc::new));
        let book = PriceBook {
            version: "2026-11".into(),
            valid_from: 0,
            valid_until: None,
            // A model of that name is one that nobody has priced.
            models: models
                .iter()
                .filter(|model| !model.id.as_str().starts_with("unpriced"))
                .map(|model| (model.id.clone(), price.clone().into()))
                .collect(),
        };
        let resilient = Alias {
            name: "resilient".parse().unwrap(),
            steps: ["converse-a", "native-b"]
                .map(|model| Step {
                    targets: vec![Target { model: model.parse().unwrap(), weight: 1 }],
                })
                .into(),
            retry: RetryPolicy { backoff_ms: 0, ..RetryPolicy::default() },
            has_affinity: false,
        };
        let mut tenants = [
            entitlements(
                "acme",
                "retail",
                &["converse-a", "native-b", "unregistered-c"],
                limits.clone(),
            ),
            entitlements("globex", "markets", &["native-b"], limits),
        ];
        tenants[0].tenant.models.0.extend(further.iter().map(|model| model.id.clone()));
        let meters: Vec<(Scope, Meter)> = tenants
            .iter()
            .map(|of| (Scope::Tenant(of.tenant.tenant_id.clone()), Meter::new(Status::Active, 1)))
            .collect();
        let configuration = Box::leak(Box::new(FakeConfiguration {
            tenants: Mutex::new(tenants.map(|of| (of.tenant.tenant_id.to_string(), of)).into()),
            catalog: Catalog {
                models: models.into_iter().map(|model| (model.id.clone(), model)).collect(),
                aliases: BTreeMap::from([(resilient.name.clone(), Arc::new(resilient))]),
                price_books: vec![Arc::new(book)],
                ..Catalog::default()
            },
        }));
        let configuration: &'static FakeConfiguration = configuration;
        let state = State {
            configuration: Cache::new(configuration, Duration::from_mins(1)),
            ledger: InMemoryLedger::with_meters(meters),
            providers: FakeProvider {
                scripts: Mutex::new(scripts.into()),
                calls: Mutex::default(),
            },
            content: InMemoryContent::default(),
            objects: FakeObjects::default(),
            health: SharedHealth::new(FakeHealth),
            shadows: Some(FakeShadows::default()),
            exhausted: gateway::Exhausted::default(),
            calendar: admission::Calendar::utc(),
            region: "us-east-1".into(),
            heartbeat: Duration::from_secs(10),
            now_ms: || NOON_MS,
            random: || 0,
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

    /// Sends `body` to `path`, with `headers` on top.
    pub(super) async fn post(
        &self,
        tenant: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Response<Body> {
        self.request(tenant, "POST", path, headers, &json!(body.to_string())).await
    }

    pub(super) async fn request(
        &self,
        tenant: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Response<Body> {
        let lob = if tenant == "acme" { "retail" } else { "markets" };
        let event = include_str!("../../testdata/chat.json")
            .replace(r#""POST""#, &json!(method).to_string())
            .replace(r#""/v1/chat/completions""#, &json!(path).to_string())
            .replace(r#""acme""#, &json!(tenant).to_string())
            .replace(r#""retail""#, &json!(lob).to_string())
            .replace(r#""BODY""#, &body.to_string());
        let mut event: Value = serde_json::from_str(&event).unwrap();
        for (name, value) in headers {
            event["headers"][*name] = json!(value);
            event["multiValueHeaders"][*name] = json!([value]);
        }
        self.handle(lambda_http::request::from_str(&event.to_string()).unwrap()).await
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

    /// Attempt, model and outcome of each record, in order.
    pub(super) fn attempts(&self) -> Vec<(u32, String, Outcome)> {
        let mut attempts: Vec<_> = self
            .records()
            .into_iter()
            .map(|record| (record.id.attempt, record.choice.model.to_string(), record.outcome))
            .collect();
        attempts.sort_by_key(|attempt| attempt.0);
        attempts
    }

    pub(super) fn committed(&self, tenant: &str) -> NanoUsd {
        self.state.ledger.committed(&Scope::Tenant(tenant.parse().unwrap()))
    }

    pub(super) fn provider_calls(&self) -> usize {
        self.state.providers.calls.lock().unwrap().len()
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
