//! A `ConverseStream` answer, mangled in its frames or in what they carry: no panic, no event out
//! of nothing, and at most one error, which is the end.

#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use futures::StreamExt as _;
use inference::{Model, ModelRequest, Provider as _, ProviderCall};
use inference_bedrock::{Bedrock, Settings};
use libfuzzer_sys::fuzz_target;
use tenancy::{Principal, PrincipalId, PrincipalKind, TenantContext};
use tokio::runtime::Runtime;

/// A session that outlives the run.
const SESSION: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>\
    <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";

const HEADERS: [(&str, &str); 9] = [
    (":event-type", "messageStart"),
    (":event-type", "contentBlockStart"),
    (":event-type", "contentBlockDelta"),
    (":event-type", "contentBlockStop"),
    (":event-type", "messageStop"),
    (":event-type", "metadata"),
    (":event-type", "somethingNew"),
    (":exception-type", "throttlingException"),
    (":exception-type", "somethingElse"),
];

/// Answers every request with the same body.
#[derive(Debug, Clone, Default)]
struct Service(Arc<Mutex<Vec<u8>>>);

impl Service {
    fn answer(&self, body: Vec<u8>) {
        *self.0.lock().unwrap() = body;
    }
}

impl HttpConnector for Service {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let body = SdkBody::from(self.0.lock().unwrap().clone());
        HttpConnectorFuture::ready(Ok(http::Response::new(body).try_into().unwrap()))
    }
}

struct Harness {
    runtime: Runtime,
    service: Service,
    bedrock: Bedrock,
    context: TenantContext,
    models: Vec<Arc<Model>>,
}

static HARNESS: LazyLock<Harness> = LazyLock::new(|| {
    let sts = Service::default();
    sts.answer(SESSION.into());
    let sts = SharedHttpConnector::new(sts);
    let credentials = Credentials::new("A", "s", None, None, "fuzz");
    let sdk_config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| {
            sts.clone()
        }))
        .region(Region::new("us-east-1"))
        .build();
    let settings = Settings {
        role_arn: "arn:aws:iam::111122223333:role/tenant-access".into(),
        endpoint_url: None,
    };
    let service = Service::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connector = SharedHttpConnector::new(service.clone());
    let bedrock =
        runtime.block_on(Bedrock::with_connector(&sdk_config, settings, connector)).unwrap();
    let principal = Principal {
        id: PrincipalId::try_from("someone".to_owned()).unwrap(),
        kind: PrincipalKind::User,
    };
    let context = TenantContext {
        tenant_id: "acme".parse().unwrap(),
        lob_id: "retail".parse().unwrap(),
        principal,
        roles: Default::default(),
        scopes: Default::default(),
    };
    let model = serde_json::json!({
        "id": "m", "provider_model_id": "m", "protocol": "converse", "owned_by": "o", "created": 0,
        "context_window": 1, "max_output_tokens": 1, "default_max_tokens": 1, "capabilities": {},
    });
    let models = vec![Arc::new(serde_json::from_value(model).unwrap())];
    Harness { runtime, service, bedrock, context, models }
});

fn write_frame(body: &mut Vec<u8>, kind: u8, payload: &str) {
    let (name, value) = HEADERS[usize::from(kind) % HEADERS.len()];
    let message_type = if name == ":event-type" { "event" } else { "exception" };
    let headers =
        [(":message-type", message_type), (name, value), (":content-type", "application/json")];
    let message = headers.into_iter().fold(
        Message::new(payload.as_bytes().to_vec()),
        |message, (name, value)| {
            message.add_header(Header::new(name, HeaderValue::String(value.to_owned().into())))
        },
    );
    aws_smithy_eventstream::frame::write_message_to(&message, body).unwrap();
}

fuzz_target!(|input: (Vec<(u8, &str)>, &[u8])| {
    let (frames, garbage) = input;
    let mut body = Vec::new();
    for (kind, payload) in &frames {
        write_frame(&mut body, *kind, payload);
    }
    body.extend_from_slice(garbage);

    let harness = &*HARNESS;
    harness.service.answer(body);
    let call = ProviderCall {
        context: &harness.context,
        model: &harness.models[0],
        allowed_models: &harness.models,
        entitlement_version: 1,
        call_id: "c",
    };
    let outcome = harness.runtime.block_on(async {
        let events = harness.bedrock.stream(&call, ModelRequest::default()).await?;
        Ok::<_, inference::ProviderError>(events.collect::<Vec<_>>().await)
    });
    let events = outcome.unwrap_or_else(|error| vec![Err(error)]);
    assert!(
        events.iter().filter(|event| event.is_ok()).count() <= frames.len() + garbage.len() / 16
    );
    assert!(events.iter().rev().skip(1).all(Result::is_ok));
});
