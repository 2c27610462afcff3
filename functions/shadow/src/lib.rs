//! Calls of clients, made once more of the successor of their model (`docs/models.md`).
//!
//! The function has no route: an order comes by `Invoke`, which IAM permits to the functions of the hot path
//! and nobody else, so that no client can write one.

use std::sync::Arc;

use gateway::shadow::{ShadowOrder, run};
use gateway::{Ports, State};
use lambda_runtime::{Error, LambdaEvent};

/// Runs one order. One that is refused is no failure of the function: nobody waits for it, and nothing
/// would come of trying again.
///
/// # Errors
/// None: an event that is no order fails before.
pub async fn handle<P: Ports>(
    state: &Arc<State<P>>,
    event: LambdaEvent<ShadowOrder>,
) -> Result<(), Error> {
    let deadline_ms = i64::try_from(event.context.deadline).ok();
    let order = event.payload;
    let (shadow_of, model) = (order.shadow_of().to_owned(), order.model().clone());
    if let Err(error) = run(state, order, deadline_ms).await {
        let code = error.fault().code;
        tracing::info!(shadow_of, %model, code, "shadow refused");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
