//! Lambda entry point of `socket`: builds the state once, then serves.

use lambda_runtime::{Error, run, service_fn};
use socket::{State, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    run(service_fn(|event| Box::pin(handle(&state, event)))).await
}
