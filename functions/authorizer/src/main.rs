//! Lambda entry point of `authorizer`: builds the state once, then serves.

use authorizer::{State, handle, unix_now};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    run(service_fn(|event: LambdaEvent<_>| handle(&state, event.payload, unix_now()))).await
}
