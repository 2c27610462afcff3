//! A gateway whose ledger is in memory and whose providers are the simulator, over real connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use admission::fakes::InMemoryLedger;
use admission::{EntitlementStore, Entitlements, Meter, Scope, StoreError, settle};
use aws_transport::testing::{Caller, Clock, Deed, sdk_config, server, settings, sts};
use aws_transport::{Aws, Connection, EndpointUrls, Service};
use content::fakes::InMemoryContent;
use gateway::fakes::Nothing;
use gateway::{Cache, Ports, SharedHealth, State};
use inference::{
    Alias, AliasStore, Catalog, CatalogStore, Estimate, Model, ProviderAuth, ProviderConfig,
    ProviderKind, ReadCatalogError, RetryPolicy, Step, Target, fixtures,
};
use metering::{NanoUsd, PicoUsd, Price, PriceBook, UsageRecord};
use providers::Providers;
use serde_json::Value;
use tenancy::{ModelAllowlist, ModelId, Status, Tenant, TenantContext, TenantSettings};
use tokio::net::TcpListener;

use crate::Provider;

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;

/// The name that stands for a failing model and a healthy one behind it.
pub(crate) const ALIAS: &str = "resilient";
/// The model that fails.
pub(crate) const FAILING: &str = "failing";
/// The one that answers in its place.
pub(crate) const HEALTHY: &str = "healthy";

/// The key of the OpenAI-compatible server.
const KEY: &str = "k-simulated";

/// How long a provider may be silent where that is tested.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// What a call of a model by its own name may take where it never ends.
const SHORT_CALL_MS: i64 = 8_000;

/// The simulator, and the ways to it.
pub(crate) struct World {
    url: String,
    closed_url: String,
    sound: Arc<Aws>,
    /// Nobody listens at Bedrock and SageMaker.
    closed: Arc<Aws>,
    /// A body may not be silent for long.
    impatient: Arc<Aws>,
}

/// How the providers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Sound,
    Closed,
    Impatient,
}

impl World {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options =
            model_sim::Options { api_key: Some(KEY.to_owned()), ..model_sim::Options::default() };
        tokio::spawn(model_sim::serve(listener, options));
        let secret = serde_json::json!({ "SecretString": KEY }).to_string();
        let secrets = server(vec![Deed::answer(200, "", &secret)]).await;
        let health = get(&format!("{url}/_sim/health")).await;
        let closed_url = health["closed_url"].as_str().unwrap().to_owned();
        let aws = |models: &str, silence| {
            let urls = EndpointUrls::default()
                .with(Service::BedrockRuntime, models)
                .with(Service::SagemakerRuntime, models)
                .with(Service::SecretsManager, secrets.clone());
            let clock = Clock::new();
            let sdk_config = sdk_config(&sts(&clock), &clock);
            let connection = Connection::new(&sdk_config).with_max_silence(silence);
            Arc::new(Aws::new(&sdk_config, settings(urls), connection).unwrap())
        };
        let patience = Duration::from_mins(1);
        let (sound, closed) = (aws(&url, patience), aws(&closed_url, patience));
        let impatient = aws(&url, IMPATIENCE);
        Self { url, closed_url, sound, closed, impatient }
    }

    /// What the simulator was asked, of which `marker` is a part.
    pub(crate) async fn calls(&self, marker: &str) -> Vec<Value> {
        let mut answer = get(&format!("{}/_sim/calls", self.url)).await;
        let calls: Vec<Value> = serde_json::from_value(answer["calls"].take()).unwrap();
        calls.into_iter().filter(|call| call["request_body"].to_string().contains(marker)).collect()
    }

    /// A gateway of its own, where `failing` is at `provider`, and `healthy` at one of another kind.
    pub(crate) fn gateway(&self, provider: &Provider, line: Line) -> Gateway {
        let open_url = format!("{}/v1", self.url);
        let closed_url = format!("{}/v1", self.closed_url);
        let url = if line == Line::Closed { &closed_url } else { &open_url };
        let is_aws = provider.kind != ProviderKind::OpenaiCompatible;
        let failing = Model {
            provider: if is_aws { config_id(provider.kind) } else { "vllm" }.to_owned(),
            ..model(FAILING, provider.protocol, provider.model)
        };
        let healthy = if is_aws {
            Model {
                provider: "vllm".to_owned(),
                ..model(HEALTHY, inference::Protocol::OpenaiChat, "sim-large")
            }
        } else {
            model(HEALTHY, inference::Protocol::Converse, "amazon.nova-pro-v1:0")
        };
        let aws = match line {
            Line::Closed if is_aws => &self.closed,
            Line::Impatient => &self.impatient,
            _ => &self.sound,
        };
        // The healthy server is always open.
        let vllm = vllm(if is_aws { &open_url } else { url });
        Gateway::new(Providers::with(aws, None), vllm, failing, healthy)
    }
}

async fn get(url: &str) -> Value {
    let body = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn config_id(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Sagemaker => ProviderConfig::SAGEMAKER,
        _ => ProviderConfig::BEDROCK,
    }
}

fn vllm(base_url: &str) -> ProviderConfig {
    ProviderConfig {
        id: "vllm".to_owned(),
        kind: ProviderKind::OpenaiCompatible,
        name: "vllm".to_owned(),
        base_url: Some(base_url.to_owned()),
        auth: Some(ProviderAuth {
            secret: "weir/vllm".to_owned(),
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }),
        ..fixtures::provider(ProviderConfig::BEDROCK)
    }
}

fn model(id: &str, protocol: inference::Protocol, provider_model_id: &str) -> Model {
    Model {
        provider_model_id: provider_model_id.to_owned(),
        default_max_tokens: 256,
        estimate: Estimate { overhead_tokens: 100, image_tokens: 1_000 },
        ..fixtures::model(id, protocol)
    }
}

/// A gateway of one tenant.
pub(crate) struct Gateway {
    pub(crate) state: Arc<State<SimulatedPorts>>,
    pub(crate) context: TenantContext,
    scopes: Vec<Scope>,
}

impl Gateway {
    fn new(providers: Providers, vllm: ProviderConfig, failing: Model, healthy: Model) -> Self {
        let context = Caller::new("acme", &[]).context;
        let models = [failing, healthy].map(Arc::new);
        let tenant = Tenant {
            tenant_id: context.tenant_id.clone(),
            lob_id: context.lob_id.clone(),
            status: Status::Active,
            models: ModelAllowlist(models.iter().map(|model| model.id.clone()).collect()),
            default_max_tokens: None,
            entitlement_version: 1,
            settings: TenantSettings::default(),
            projects: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        let scopes =
            vec![Scope::Tenant(tenant.tenant_id.clone()), Scope::Lob(tenant.lob_id.clone())];
        let alias = Alias {
            name: ALIAS.parse().unwrap(),
            steps: models
                .iter()
                .map(|model| Step { targets: vec![Target { model: model.id.clone(), weight: 1 }] })
                .collect(),
            retry: RetryPolicy { backoff_ms: 0, ..RetryPolicy::default() },
            has_affinity: false,
        };
        let price = Price {
            input: PicoUsd(1_000_000),
            output: PicoUsd(10_000_000),
            cache_read: Some(PicoUsd(100_000)),
            cache_write_5m: Some(PicoUsd(1_250_000)),
            cache_write_1h: Some(PicoUsd(2_000_000)),
            ..Price::default()
        };
        let book = PriceBook {
            version: "2026-11".into(),
            valid_from: 0,
            valid_until: None,
            models: models.iter().map(|model| (model.id.clone(), price.clone().into())).collect(),
        };
        let mut configs = ProviderConfig::built_in().to_vec();
        configs.push(vllm);
        let catalog = Catalog {
            models: models.into_iter().map(|model| (model.id.clone(), model)).collect(),
            aliases: BTreeMap::from([(alias.name.clone(), Arc::new(alias))]),
            price_books: vec![Arc::new(book)],
            price_overrides: Vec::new(),
            providers: configs.into_iter().map(|it| (it.id.clone(), Arc::new(it))).collect(),
        };
        let meters = scopes.iter().map(|it| (it.clone(), Meter::new(Status::Active, 1)));
        let ledger = InMemoryLedger::with_meters(meters);
        let entitlements = admission::fakes::entitlements(tenant, vec![]);
        let state = State {
            configuration: Cache::new(
                FixedConfiguration { entitlements, catalog },
                Duration::from_mins(1),
            ),
            ledger,
            providers,
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
        Self { state: Arc::new(state), context, scopes }
    }

    /// A call that begins now, and has little time only `if_short`.
    pub(crate) fn call(is_short: bool) -> gateway::Call {
        gateway::Call::begin(NOON_MS, is_short.then_some(NOON_MS + SHORT_CALL_MS))
    }

    /// The records in the order of the attempts, after each was settled as its stream does it: then
    /// nothing is open in any meter, and what was committed is what was used.
    pub(crate) async fn settled(&self) -> Vec<UsageRecord> {
        let ledger = &self.state.ledger;
        let mut records = ledger.all_records();
        records.sort_by_key(|record| record.id.attempt);
        let sum = |amount: fn(&UsageRecord) -> NanoUsd| {
            NanoUsd(records.iter().map(|record| amount(record).0).sum())
        };
        for scope in &self.scopes {
            assert_eq!(ledger.committed(scope), sum(|it| it.reserved_nanousd), "{scope}");
            let open = ledger.meter_of(scope).open;
            assert_eq!(open.len(), records.len(), "{scope}: an attempt without a record");
        }
        for record in &records {
            assert!(
                record.cost_nanousd <= record.reserved_nanousd,
                "more than reserved: {record:?}"
            );
            settle(ledger, record).await.unwrap();
        }
        for scope in &self.scopes {
            let meter = ledger.meter_of(scope);
            assert!(meter.open.is_empty(), "{scope}: {:?}", meter.open);
            assert_eq!(ledger.committed(scope), sum(|record| record.cost_nanousd), "{scope}");
        }
        records
    }
}

pub(crate) struct SimulatedPorts;

impl Ports for SimulatedPorts {
    type Configuration = FixedConfiguration;
    type Ledger = InMemoryLedger;
    type Providers = Providers;
    type Content = InMemoryContent;
    type Objects = Nothing;
    type Health = Nothing;
    type Shadows = Nothing;
}

pub(crate) struct FixedConfiguration {
    entitlements: Entitlements,
    catalog: Catalog,
}

impl EntitlementStore for FixedConfiguration {
    async fn entitlements(&self, _: &TenantContext) -> Result<Option<Entitlements>, StoreError> {
        Ok(Some(self.entitlements.clone()))
    }
}

impl AliasStore for FixedConfiguration {
    async fn aliases(
        &self,
        _: &TenantContext,
    ) -> Result<BTreeMap<ModelId, Arc<Alias>>, ReadCatalogError> {
        Ok(BTreeMap::new())
    }
}

impl CatalogStore for FixedConfiguration {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        Ok(self.catalog.clone())
    }
}
