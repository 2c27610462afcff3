//! Lambda entry point of `shadow`: builds the state once, then serves.

use std::sync::Arc;

use lambda_runtime::{Error, run, service_fn};
use shadow::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = Arc::new(gateway_aws::state_from_env().await?);
    run(service_fn(|event| Box::pin(handle(&state, event)))).await
}
