//! Doubles and fixtures: an AWS that answers what a test says, and two tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use inference::{Estimate, Model, Protocol, ProviderCall, ProviderConfig};
use serde_json::Value;
use tenancy::{Principal, PrincipalId, PrincipalKind, Role, TenantContext};

use crate::{Bedrock, Settings};

pub(crate) const ROLE_ARN: &str = "arn:aws:iam::111122223333:role/tenant-access";
pub(crate) const REGION: &str = "us-east-1";

/// 2026-01-01, where every test's clock starts.
const START_S: u64 = 1_767_225_600;

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_S)))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A request as it stood on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) uri: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    /// The fields of a form, as STS gets them.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8(self.body.clone()).unwrap();
        let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), percent_decode(value))).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            decoded.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8(decoded).unwrap()
}

type Answer = dyn Fn(&Sent) -> http::Response<SdkBody> + Send + Sync;

/// A service that answers by a function and keeps what it was sent.
#[derive(Clone)]
pub(crate) struct FakeService {
    answer: Arc<Answer>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl FakeService {
    pub(crate) fn new(
        answer: impl Fn(&Sent) -> http::Response<SdkBody> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), sent: Arc::default() }
    }

    pub(crate) fn answering(
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = body.into();
        Self::new(move |_| {
            let response = http::Response::builder().status(status);
            let response = headers
                .iter()
                .fold(response, |response, (name, value)| response.header(name, value));
            response.body(SdkBody::from(body.clone())).unwrap()
        })
    }

    pub(crate) fn answer(&self, sent: &Sent) -> http::Response<SdkBody> {
        (self.answer)(sent)
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub(crate) fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl std::fmt::Debug for FakeService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeService")
    }
}

impl HttpConnector for FakeService {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let sent = Sent { uri: request.uri().to_owned(), headers, body };
        let response = self.answer(&sent).try_into().unwrap();
        self.sent.lock().unwrap().push(sent);
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// An STS that gives every caller a session of an hour, whose access key says which answer it was.
pub(crate) fn sts(clock: &Clock) -> FakeService {
    let clock = clock.clone();
    let count = AtomicU64::new(0);
    FakeService::new(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let seconds = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3_600;
        let expires_at = aws_smithy_types::DateTime::from_secs(i64::try_from(seconds).unwrap());
        let expires_at = expires_at.fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
        let body = format!(
            r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
            <AccessKeyId>SESSION{number}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
            <SessionToken>token{number}</SessionToken><Expiration>{expires_at}</Expiration></Credentials>
            </AssumeRoleResult></AssumeRoleResponse>"#
        );
        http::Response::builder().status(200).body(SdkBody::from(body)).unwrap()
    })
}

/// An STS that refuses.
pub(crate) fn refusing_sts(status: u16, code: &str) -> FakeService {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>
        <Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
    );
    FakeService::answering(status, &[], body)
}

pub(crate) fn sdk_config(sts: &FakeService, clock: &Clock) -> SdkConfig {
    let connector = sts.connector();
    let http_client =
        http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| connector.clone());
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "GATEWAY", "secret", None, None, "test",
        )))
        .http_client(http_client)
        .region(Region::new(REGION))
        .retry_config(RetryConfig::disabled())
        .time_source(clock.clone())
        .build()
}

/// A Bedrock that answers like `service`, under sessions of the usual STS.
pub(crate) async fn bedrock(service: &FakeService) -> Bedrock {
    let clock = Clock::new();
    bedrock_with(&sts(&clock), &clock, service).await
}

pub(crate) async fn bedrock_with(
    sts: &FakeService,
    clock: &Clock,
    service: &FakeService,
) -> Bedrock {
    let settings = Settings { role_arn: ROLE_ARN.to_owned(), endpoint_url: None };
    Bedrock::with_connector(&sdk_config(sts, clock), settings, service.connector()).await.unwrap()
}

pub(crate) fn model(id: &str) -> Arc<Model> {
    let estimate = Estimate::default();
    let model = inference::fixtures::model(id, Protocol::Converse);
    Arc::new(Model { max_output_tokens: 1_000, default_max_tokens: 100, estimate, ..model })
}

/// Whose call it is and what they may call; [`call`](Self::call) makes a call of it.
pub(crate) struct Caller {
    pub(crate) context: TenantContext,
    pub(crate) provider: ProviderConfig,
    pub(crate) models: Vec<Arc<Model>>,
    pub(crate) entitlement_version: u64,
}

impl Caller {
    pub(crate) fn new(tenant_id: &str, models: &[&str]) -> Self {
        let id = PrincipalId::try_from("someone".to_owned()).unwrap();
        let context = TenantContext {
            tenant_id: tenant_id.parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            principal: Principal { id, kind: PrincipalKind::User },
            roles: BTreeSet::from([Role::Developer]),
            scopes: BTreeSet::new(),
        };
        Self {
            context,
            provider: inference::fixtures::provider("bedrock"),
            models: models.iter().map(|id| model(id)).collect(),
            entitlement_version: 1,
        }
    }

    /// A call of the model at `index`.
    pub(crate) fn call(&self, index: usize) -> ProviderCall<'_> {
        self.call_of(&self.models[index])
    }

    pub(crate) fn call_of<'a>(&'a self, model: &'a Model) -> ProviderCall<'a> {
        ProviderCall {
            provider: &self.provider,
            context: &self.context,
            model,
            allowed_models: &self.models,
            entitlement_version: self.entitlement_version,
            call_id: "0199c0de-0000-7000-8000-000000000001",
        }
    }
}

pub(crate) fn acme() -> Caller {
    Caller::new("acme", &["us.anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0"])
}
