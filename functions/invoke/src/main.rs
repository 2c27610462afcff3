//! Lambda entry point of `invoke`: builds the state once, then serves.

use std::sync::Arc;

use invoke::handle;
use lambda_http::{Error, run_with_streaming_response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = Arc::new(gateway_aws::state_from_env().await?);
    run_with_streaming_response(service_fn(|request| handle(Arc::clone(&state), request))).await
}
