//! Lambda entry point of `models`: builds the state once, then serves.

use lambda_http::{Error, run_with_streaming_response, service_fn};
use models::{State, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    run_with_streaming_response(service_fn(|request| handle(&state, request))).await
}
