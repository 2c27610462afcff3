//! Lambda entry point of `audit`: builds the state once, then serves.

use audit_function::{State, handle};
use lambda_runtime::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    run(service_fn(|event| handle(&state, event))).await
}
