//! Lambda entry point of `metering-aggregator`: builds the state once, then serves.

use lambda_runtime::{Error, run, service_fn};
use metering_aggregator::{Alerts, State, handle, now_ms, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let state = State::from_env().await?;
    let alerts = Alerts::from_env().await?;
    run(service_fn(|event| {
        serve(&state.ledger, &alerts, event, now_ms(), |event| handle(&state, event))
    }))
    .await
}
