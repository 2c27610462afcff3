//! Calls a model as a tenant, with the gateway's own code but without admission's check: what is
//! left between a tenant and a model that it may not use is its IAM session.
//!
//! ```sh
//! cargo run -p inference-bedrock --example call_without_admission -- \
//!     <tenant access role ARN> <tenant> <line of business> <allowed model ids, comma-separated> <model id to call>
//! ```
//!
//! Model ids are Bedrock's. Region, credentials and endpoints come from the environment. Prints one
//! line, `answered` or `refused <kind>`.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use aws_transport::{Aws, Connection, EndpointUrls, Settings};
use inference::{Model, Operation, Protocol, ProviderAdapter as _, ProviderCall, ProviderRequest};
use inference_bedrock::Bedrock;
use tenancy::{Principal, PrincipalKind, TenantContext};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its result is the line that it prints")]
#[expect(clippy::disallowed_methods, reason = "an example reads its own environment")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role_arn, tenant, lob, allowed, model] = arguments.as_slice() else {
        return Err(
            "expected: role ARN, tenant, line of business, allowed model ids, model id".into()
        );
    };
    let context = TenantContext {
        tenant_id: tenant.parse()?,
        lob_id: lob.parse()?,
        principal: Principal { id: "example".to_owned().try_into()?, kind: PrincipalKind::Machine },
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
    };
    let allowed = allowed.split(',').map(|id| Arc::new(registered(id))).collect::<Vec<_>>();
    let sdk = aws_config::load_from_env().await;
    let settings = Settings {
        role_arn: role_arn.clone(),
        endpoint_urls: EndpointUrls::from_variables(|name| std::env::var(name).ok()),
        uploads_bucket: None,
    };
    let bedrock = Bedrock::new(Arc::new(Aws::new(&sdk, settings, Connection::new(&sdk))?));
    let provider = inference::fixtures::provider("bedrock");
    let call = ProviderCall {
        provider: &provider,
        context: &context,
        project_id: None,
        model: &registered(model),
        allowed_models: &allowed,
        entitlement_version: 1,
        call_id: "call-without-admission",
    };
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":16}}"#;
    let request = ProviderRequest {
        protocol: Protocol::Converse,
        operation: Operation::Invoke,
        is_streaming: false,
        headers: Vec::new(),
        body: body.into(),
    };
    match bedrock.send(&call, request).await {
        Ok(_) => println!("answered"),
        Err(error) => println!("refused {:?}", error.kind),
    }
    Ok(())
}

fn registered(provider_model_id: &str) -> Model {
    let model = inference::fixtures::model(provider_model_id, Protocol::Converse);
    Model { default_max_tokens: 16, ..model }
}
