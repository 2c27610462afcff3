//! A gateway in memory: two tenants, a model that says what the test says, connections that may go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admission::fakes::InMemoryLedger;
use admission::{EntitlementStore, Entitlements, Meter, Scope, StoreError};
use bytes::Bytes;
use content::fakes::InMemoryContent;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use gateway::fakes::Nothing;
use gateway::{Cache, Ports, SharedHealth};
use inference::openai_chat::ChatRequest;
use inference::{
    Alias, AliasStore, AnswerHead, Catalog, CatalogStore, Event, GenerateRequest as _, Protocol,
    ProviderAdapter, ProviderCall, ProviderError, ProviderRequest, ProviderResponse,
    ReadCatalogError, StopReason,
};
use lambda_runtime::{Context, LambdaEvent};
use metering::{PicoUsd, Price, PriceBook, TokenUsage, UsageRecord};
use serde_json::{Value, json};
use tenancy::{ModelAllowlist, ModelId, Status, Tenant, TenantContext, TenantSettings};

use crate::{Answer, Outside, PostError, StartError, State, Turn, handle};

/// 2026-11-23T12:00:00Z
pub(super) const NOON_MS: i64 = 1_795_435_200_000;

/// What the model says next; closing it ends the answer.
pub(super) type Model = UnboundedSender<Event>;

#[derive(Default)]
pub(super) struct FakeProvider {
    answers: Mutex<VecDeque<UnboundedReceiver<Event>>>,
    /// Tenant and body of each call.
    pub(super) calls: Mutex<Vec<(String, Vec<u8>)>>,
}

impl ProviderAdapter for FakeProvider {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        let asked = (call.context.tenant_id.to_string(), request.body.to_vec());
        self.calls.lock().unwrap().push(asked);
        let events = self.answers.lock().unwrap().pop_front().expect("no more calls than answers");
        let head =
            AnswerHead { call_id: "prov".into(), created: 0, model: "m".into(), likely_input: 0 };
        let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
        let mut writer = ChatRequest::parse(body).unwrap().renderer(head);
        let body = events.map(move |event| {
            let is_last = matches!(event, Event::Usage(_));
            let piece = writer.event(&event);
            Ok(if is_last { [piece, writer.finish()].concat().into() } else { piece })
        });
        let provider_request_id = Some("prov-1".into());
        Ok(ProviderResponse { provider_request_id, headers: Vec::new(), body: body.boxed() })
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

impl CatalogStore for &'static FakeConfiguration {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        Ok(self.catalog.clone())
    }
}

pub(super) struct FakePorts;

impl Ports for FakePorts {
    type Configuration = &'static FakeConfiguration;
    type Ledger = InMemoryLedger;
    type Providers = FakeProvider;
    type Content = InMemoryContent;
    type Objects = Nothing;
    type Health = Nothing;
    type Shadows = Nothing;
}

/// Connections and workers, as the test wants them.
#[derive(Default)]
pub(super) struct FakeOutside {
    /// Connection and message, in order.
    posts: Mutex<Vec<(String, Value)>>,
    gone: Mutex<BTreeSet<String>>,
    pub(super) closed: Mutex<Vec<String>>,
    started: Mutex<VecDeque<Turn>>,
    pub(super) is_full: Mutex<bool>,
    posted: tokio::sync::Notify,
}

impl Outside for FakeOutside {
    async fn post(&self, connection: &str, message: Bytes) -> Result<(), PostError> {
        assert!(message.len() <= 32 * 1024, "{} bytes in one frame", message.len());
        if self.gone.lock().unwrap().contains(connection) {
            self.posted.notify_waiters();
            return Err(PostError::Gone);
        }
        let message = serde_json::from_slice(&message).unwrap();
        self.posts.lock().unwrap().push((connection.to_owned(), message));
        self.posted.notify_waiters();
        Ok(())
    }

    async fn close(&self, connection: &str) -> Result<(), PostError> {
        self.closed.lock().unwrap().push(connection.to_owned());
        Ok(())
    }

    async fn start(&self, turn: &Turn) -> Result<(), StartError> {
        if *self.is_full.lock().unwrap() {
            return Err(StartError("too many".into()));
        }
        self.started.lock().unwrap().push_back(turn.clone());
        Ok(())
    }
}

/// The function, with everything around it.
pub(super) struct Socket {
    pub(super) state: Arc<State<FakePorts, FakeOutside>>,
    pub(super) configuration: &'static FakeConfiguration,
}

fn entitlements(tenant: &str, lob: &str) -> Entitlements {
    let tenant = Tenant {
        tenant_id: tenant.parse().unwrap(),
        lob_id: lob.parse().unwrap(),
        status: Status::Active,
        models: ModelAllowlist(["m".parse().unwrap()].into()),
        default_max_tokens: None,
        entitlement_version: 1,
        settings: TenantSettings::default(),
        projects: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    admission::fakes::entitlements(tenant, vec![])
}

impl Socket {
    /// `acme` (retail) and `globex` (markets) may use the model `m`.
    pub(super) fn new() -> Self {
        let price = Price {
            input: PicoUsd(1_000_000),
            output: PicoUsd(10_000_000),
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
            ..Price::default()
        };
        let model = inference::Model {
            context_window: 1_000_000,
            max_output_tokens: 4_096,
            default_max_tokens: 256,
            ..inference::fixtures::model("m", Protocol::OpenaiChat)
        };
        let book = PriceBook {
            version: "2026-11".into(),
            valid_from: 0,
            valid_until: None,
            models: BTreeMap::from([(model.id.clone(), price.into())]),
        };
        let tenants = [entitlements("acme", "retail"), entitlements("globex", "markets")];
        let meters: Vec<(Scope, Meter)> = tenants
            .iter()
            .map(|of| (Scope::Tenant(of.tenant.tenant_id.clone()), Meter::new(Status::Active, 1)))
            .collect();
        let provider = inference::fixtures::provider("bedrock");
        let configuration: &'static FakeConfiguration = Box::leak(Box::new(FakeConfiguration {
            tenants: Mutex::new(tenants.map(|of| (of.tenant.tenant_id.to_string(), of)).into()),
            catalog: Catalog {
                providers: BTreeMap::from([(model.provider.clone(), Arc::new(provider))]),
                models: BTreeMap::from([(model.id.clone(), Arc::new(model))]),
                price_books: vec![Arc::new(book)],
                ..Catalog::default()
            },
        }));
        let gateway = gateway::State {
            configuration: Cache::new(configuration, Duration::from_mins(1)),
            ledger: InMemoryLedger::with_meters(meters),
            providers: FakeProvider::default(),
            content: InMemoryContent::default(),
            objects: Nothing,
            health: SharedHealth::new(Nothing),
            shadows: None,
            exhausted: gateway::Exhausted::default(),
            calendar: admission::Calendar::utc(),
            region: "us-east-1".into(),
            heartbeat: Duration::from_secs(10),
            now_ms: || NOON_MS,
            random: || 0,
        };
        let state = State { gateway: Arc::new(gateway), outside: FakeOutside::default() };
        Self { state: Arc::new(state), configuration }
    }

    /// What the model says to the next call is for the test to say.
    pub(super) fn model(&self) -> Model {
        let (model, answer) = unbounded();
        self.state.gateway.providers.answers.lock().unwrap().push_back(answer);
        model
    }

    pub(super) async fn event(&self, event: Value) -> Result<Answer, lambda_runtime::Error> {
        handle(&self.state, LambdaEvent::new(event, Context::default())).await
    }

    /// Says `message` on `connection`, as someone of `tenant`.
    pub(super) async fn say_as(&self, tenant: &str, connection: &str, message: &str) {
        let lob = if tenant == "acme" { "retail" } else { "markets" };
        let event = include_str!("../../testdata/message.json")
            .replace("L0SM9cOFvHcCIhw=", connection)
            .replace(r#""acme""#, &json!(tenant).to_string())
            .replace(r#""retail""#, &json!(lob).to_string());
        let mut event: Value = serde_json::from_str(&event).unwrap();
        event["body"] = json!(message);
        assert_eq!(self.event(event).await.unwrap(), Answer::ok());
    }

    pub(super) async fn say(&self, connection: &str, message: Value) {
        self.say_as("acme", connection, &message.to_string()).await;
    }

    /// Begins a session on `connection`.
    pub(super) async fn hello(&self, connection: &str) -> Value {
        self.say(connection, json!({"type": "hello"})).await;
        let welcome = self.told(connection).pop().unwrap();
        assert_eq!(welcome["type"], "welcome");
        welcome["session"].clone()
    }

    /// Runs the turn that was started last, beside the test.
    pub(super) fn work(&self) -> tokio::task::JoinHandle<()> {
        let turn = self.turn().expect("a turn was started");
        self.run(&turn)
    }

    pub(super) fn turn(&self) -> Option<Turn> {
        self.state.outside.started.lock().unwrap().pop_front()
    }

    pub(super) fn run(&self, turn: &Turn) -> tokio::task::JoinHandle<()> {
        let event = LambdaEvent::new(json!({ "turn": turn }), Context::default());
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            handle(&state, event).await.unwrap();
        })
    }

    /// All that was posted to `connection`.
    pub(super) fn told(&self, connection: &str) -> Vec<Value> {
        let posts = self.state.outside.posts.lock().unwrap();
        let of = posts.iter().filter(|(it, _)| it == connection);
        of.map(|(_, message)| message.clone()).collect()
    }

    /// What was posted last to `connection`.
    pub(super) fn last(&self, connection: &str) -> Value {
        self.told(connection).pop().unwrap_or_default()
    }

    /// Waits until something that was posted to `connection` is as wanted.
    pub(super) async fn until(&self, connection: &str, wanted: impl Fn(&Value) -> bool) {
        loop {
            let posted = self.state.outside.posted.notified();
            if self.told(connection).iter().any(&wanted) {
                return;
            }
            posted.await;
        }
    }

    /// Closes `connection`, without a word.
    pub(super) fn leave(&self, connection: &str) {
        self.state.outside.gone.lock().unwrap().insert(connection.to_owned());
    }

    pub(super) fn records(&self) -> Vec<UsageRecord> {
        self.state.gateway.ledger.all_records()
    }

    pub(super) fn change(&self, tenant: &str, change: impl Fn(&mut Tenant)) {
        let mut tenants = self.configuration.tenants.lock().unwrap();
        change(&mut tenants.get_mut(tenant).unwrap().tenant);
    }
}

pub(super) fn say(model: &Model, text: &str) {
    model.unbounded_send(Event::TextDelta { block: 0, text: text.to_owned() }).unwrap();
}

/// The model ends its answer as it should.
pub(super) fn stop(model: Model) {
    let usage = TokenUsage { input: 10, output: 2, ..TokenUsage::default() };
    for event in [
        Event::BlockStop { block: 0 },
        Event::Stop { reason: StopReason::EndTurn, stop_sequence: None },
        Event::Usage(usage),
    ] {
        model.unbounded_send(event).unwrap();
    }
    drop(model);
}

pub(super) fn request(id: &str) -> Value {
    json!({
        "type": "request", "id": id, "path": "/v1/chat/completions",
        "body": {
            "model": "m", "max_tokens": 100, "stream": true,
            "messages": [{"role": "user", "content": "Hello"}],
        },
    })
}

/// The text of the pieces of a streamed chat completion.
pub(super) fn answer_text(told: &[Value]) -> String {
    let data: String = told
        .iter()
        .filter(|message| message["type"] == "piece")
        .map(|piece| piece["data"].as_str().unwrap())
        .collect();
    data.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}
