//! Connections and workers on AWS.

use aws_transport::{Connection, EndpointUrls, OwnRole, Service, path_segment};
use bytes::Bytes;
use gateway_aws::AwsPorts;
use http::{Method, Request};
use std::sync::Arc;

use crate::event::Turn;
use crate::{Outside, PostError, StartError, State};

/// API Gateway's connections, and this function itself.
#[derive(Debug)]
pub struct Aws {
    own: OwnRole,
    /// The WebSocket API's address, with its stage.
    endpoint: String,
    /// This function's name.
    function: String,
}

impl State<AwsPorts, Aws> {
    /// Connects to what the environment names: all that the gateway needs, and `WEBSOCKET_ENDPOINT`.
    ///
    /// # Errors
    /// A variable that is missing.
    pub async fn from_env() -> Result<Self, lambda_runtime::Error> {
        let gateway = gateway_aws::state_from_env().await?;
        let endpoint = required("WEBSOCKET_ENDPOINT")?;
        let function = required("AWS_LAMBDA_FUNCTION_NAME")?;
        let sdk = aws_config::load_from_env().await;
        let urls = EndpointUrls::from_variables(variable);
        let own = OwnRole::new(&sdk, urls, Connection::new(&sdk))?;
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { gateway: Arc::new(gateway), outside: Aws { own, endpoint, function } })
    }
}

fn required(name: &'static str) -> Result<String, lambda_runtime::Error> {
    variable(name).ok_or_else(|| format!("the variable {name} is not set").into())
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Option<String> {
    std::env::var(name).ok()
}

impl Aws {
    async fn manage(&self, method: Method, connection: &str, body: Bytes) -> Result<(), PostError> {
        let path = format!("/@connections/{}", path_segment(connection));
        let request = Request::builder().method(method).uri(path).body(body);
        let request = request.map_err(|error| PostError::Failed(error.to_string()))?;
        match self.own.send(Service::Connections, &self.endpoint, request).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.status == Some(410) => Err(PostError::Gone),
            Err(refusal) => Err(PostError::Failed(refusal.error.to_string())),
        }
    }
}

impl Outside for Aws {
    async fn post(&self, connection: &str, message: Bytes) -> Result<(), PostError> {
        self.manage(Method::POST, connection, message).await
    }

    async fn close(&self, connection: &str) -> Result<(), PostError> {
        self.manage(Method::DELETE, connection, Bytes::new()).await
    }

    async fn start(&self, turn: &Turn) -> Result<(), StartError> {
        let event = serde_json::json!({ "turn": turn }).to_string();
        let started = self.own.start(&self.function, event.into()).await;
        started.map_err(|refusal| StartError(refusal.error.to_string()))
    }
}
