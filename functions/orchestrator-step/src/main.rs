//! Lambda entry point of `orchestrator-step`: builds the state once, then serves.

use lambda_runtime::{Error, run, service_fn};
use orchestrator_step::{State, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    run(service_fn(|event| handle(&state, event))).await
}
