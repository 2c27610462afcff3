//! Lambda entry point of `socket`.

use lambda_runtime::{Error, run, service_fn};
use socket::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    run(service_fn(handle)).await
}
