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

use inference::{
    ContentBlock, InferenceParameters, Message, Model, ModelRequest, Protocol, Provider as _,
    ProviderCall, Role,
};
use inference_bedrock::{Bedrock, Settings};
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
    let allowed =
        allowed.split(',').map(|id| registered(id).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let sdk = aws_config::load_from_env().await;
    let endpoint_url = std::env::var("AWS_ENDPOINT_URL_BEDROCK_RUNTIME").ok();
    let bedrock = Bedrock::new(&sdk, Settings { role_arn: role_arn.clone(), endpoint_url }).await?;
    let provider = inference::fixtures::provider("bedrock");
    let call = ProviderCall {
        provider: &provider,
        context: &context,
        model: &registered(model)?,
        allowed_models: &allowed,
        entitlement_version: 1,
        call_id: "call-without-admission",
    };
    let request = ModelRequest {
        messages: vec![Message {
            role: Role::User,
            content: vec![ContentBlock::Text("Hello".to_owned())],
        }],
        inference: InferenceParameters { max_tokens: Some(16), ..InferenceParameters::default() },
        ..ModelRequest::default()
    };
    match bedrock.respond(&call, request).await {
        Ok(_) => println!("answered"),
        Err(error) => println!("refused {:?}", error.kind),
    }
    Ok(())
}

fn registered(provider_model_id: &str) -> Result<Model, Box<dyn Error>> {
    let model = inference::fixtures::model(provider_model_id, Protocol::Converse);
    Ok(Model { default_max_tokens: 16, ..model })
}
