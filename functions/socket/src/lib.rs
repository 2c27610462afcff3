//! Conversations over WebSocket: many turns on one connection.
//!
//! So far a connection can be opened, by a caller whom the authorizer knows, and nothing be said on it.

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde_json::Value;

/// What API Gateway is answered: to `$connect`, whether the connection may be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
}

/// Answers one event of a connection.
///
/// # Errors
/// None.
#[expect(clippy::unused_async, reason = "the shape that the runtime wants")]
pub async fn handle(_event: LambdaEvent<Value>) -> Result<Answer, Infallible> {
    Ok(Answer { status_code: 200 })
}

#[cfg(test)]
mod tests {
    use lambda_runtime::Context;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_connection_may_be_opened() {
        let event = LambdaEvent::new(json!({}), Context::default());
        let answer = handle(event).await.unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap(), json!({"statusCode": 200}));
    }
}
