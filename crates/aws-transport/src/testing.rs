//! Doubles and fixtures: an AWS that answers what a test says, and two tenants.

#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test's own mistakes"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use inference::{Estimate, Model, Protocol, ProviderCall, ProviderConfig};
use serde_json::Value;
use tenancy::{Principal, PrincipalId, PrincipalKind, ProjectId, Role, TenantContext};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::aws::{Service, Signer};
use crate::{Aws, Connection, EndpointUrls, Settings};

/// The role behind every session.
pub const ROLE_ARN: &str = "arn:aws:iam::111122223333:role/tenant-access";
/// The Region of the tests.
pub const REGION: &str = "us-east-1";

/// 2026-01-01, where every test's clock starts.
const START_S: u64 = 1_767_225_600;

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// At 2026-01-01.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_S)))
    }

    /// Moves it forward.
    pub fn advance(&self, seconds: u64) {
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
pub struct Sent {
    /// Where it was sent.
    pub uri: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Sent {
    /// The fields of a form, as STS gets them.
    pub fn form(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8(self.body.clone()).unwrap();
        let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), percent_decode(value))).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
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
pub struct FakeService {
    answer: Arc<Answer>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl FakeService {
    /// Answers by `answer`.
    pub fn new(answer: impl Fn(&Sent) -> http::Response<SdkBody> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), sent: Arc::default() }
    }

    /// Always answers the same.
    pub fn answering(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
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

    /// What it answers.
    pub fn answer(&self, sent: &Sent) -> http::Response<SdkBody> {
        (self.answer)(sent)
    }

    /// What it was sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The way to it.
    pub fn connector(&self) -> SharedHttpConnector {
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
pub fn sts(clock: &Clock) -> FakeService {
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
pub fn refusing_sts(status: u16, code: &str) -> FakeService {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>
        <Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
    );
    FakeService::answering(status, &[], body)
}

/// Configuration with the Region, the clock and STS.
pub fn sdk_config(sts: &FakeService, clock: &Clock) -> SdkConfig {
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

/// AWS that answers like `service`, under sessions of the usual STS.
pub fn aws(service: &FakeService) -> Arc<Aws> {
    let clock = Clock::new();
    aws_with(&sts(&clock), &clock, service)
}

/// AWS that answers like `service`, under sessions of `sts`.
pub fn aws_with(sts: &FakeService, clock: &Clock, service: &FakeService) -> Arc<Aws> {
    let sdk_config = sdk_config(sts, clock);
    let connection = Connection::with_connector(&sdk_config, service.connector());
    Arc::new(Aws::new(&sdk_config, settings(EndpointUrls::default()), connection).unwrap())
}

/// AWS over real connections, to `url` whatever the service.
pub fn aws_at(url: &str, max_silence: Duration) -> Arc<Aws> {
    let clock = Clock::new();
    let sdk_config = sdk_config(&sts(&clock), &clock).into_builder().endpoint_url(url).build();
    let connection = Connection::new(&sdk_config).with_max_silence(max_silence);
    Arc::new(Aws::new(&sdk_config, settings(EndpointUrls::default()), connection).unwrap())
}

/// Settings of the tests' account.
pub fn settings(endpoint_urls: EndpointUrls) -> Settings {
    Settings {
        role_arn: ROLE_ARN.to_owned(),
        endpoint_urls,
        uploads_bucket: Some("uploads".to_owned()),
    }
}

/// The headers of a POST of `body` to Bedrock at `uri`, signed.
pub fn signed(
    uri: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    credentials: Credentials,
    clock: &Clock,
) -> BTreeMap<String, String> {
    let request = headers
        .iter()
        .fold(http::Request::post(uri), |request, (name, value)| request.header(*name, *value))
        .body(Bytes::copy_from_slice(body))
        .unwrap();
    let signer =
        Signer { service: Service::BedrockRuntime, region: REGION, credentials, now: clock.now() };
    let request = signer.signed(request).unwrap();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// A server on this machine that reads one request per connection and does to it what the next of
/// `deeds` says; the last one goes on for ever. Returns its URL.
pub async fn server(deeds: Vec<Deed>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut deeds = deeds.into_iter();
        let mut deed = deeds.next().unwrap();
        while let Ok((mut socket, _)) = listener.accept().await {
            read_request(&mut socket).await;
            match &deed {
                Deed::Cut => {}
                Deed::Answer(bytes) => drop(socket.write_all(bytes).await),
                Deed::Stall(bytes) => {
                    drop(socket.write_all(bytes).await);
                    drop(socket.read(&mut [0]).await);
                }
            }
            if let Some(next) = deeds.next() {
                deed = next;
            }
        }
    });
    url
}

/// What a [server] does to a request.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Closes the connection.
    Cut,
    /// Writes these bytes and closes the connection.
    Answer(Vec<u8>),
    /// Writes these bytes and nothing more.
    Stall(Vec<u8>),
}

impl Deed {
    /// An answer whole, with its length.
    pub fn answer(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n");
        Self::Answer(format!("{head}connection: close\r\n\r\n{body}").into_bytes())
    }
}

/// Reads head and body, so that closing the connection loses nothing that was sent.
async fn read_request(socket: &mut TcpStream) {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return;
            }
        }
        match socket.read_buf(&mut received).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// An address of this machine where nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A model of Bedrock that can do everything.
pub fn model(id: &str) -> Arc<Model> {
    let estimate = Estimate::default();
    let model = inference::fixtures::model(id, Protocol::Converse);
    Arc::new(Model { max_output_tokens: 1_000, default_max_tokens: 100, estimate, ..model })
}

/// Whose call it is and what they may call; [`call`](Self::call) makes a call of it.
pub struct Caller {
    /// Who calls.
    pub context: TenantContext,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// Whom they call.
    pub provider: ProviderConfig,
    /// What they may call.
    pub models: Vec<Arc<Model>>,
    /// The state of their entitlements.
    pub entitlement_version: u64,
}

impl Caller {
    /// Someone of the tenant who may call `models` of Bedrock.
    pub fn new(tenant_id: &str, models: &[&str]) -> Self {
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
            project_id: None,
            provider: inference::fixtures::provider("bedrock"),
            models: models.iter().map(|id| model(id)).collect(),
            entitlement_version: 1,
        }
    }

    /// A call of the model at `index`.
    pub fn call(&self, index: usize) -> ProviderCall<'_> {
        self.call_of(&self.models[index])
    }

    /// A call of `model`, which may be none of theirs.
    pub fn call_of<'a>(&'a self, model: &'a Model) -> ProviderCall<'a> {
        ProviderCall {
            provider: &self.provider,
            context: &self.context,
            project_id: self.project_id.as_ref(),
            model,
            allowed_models: &self.models,
            entitlement_version: self.entitlement_version,
            call_id: "0199c0de-0000-7000-8000-000000000001",
        }
    }
}

/// A tenant with two models.
pub fn acme() -> Caller {
    Caller::new("acme", &["us.anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0"])
}
