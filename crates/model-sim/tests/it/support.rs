//! A simulator of its own for each test, and clients for it.

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Region};
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, Message};
use model_sim::{Options, serve};
use serde_json::Value;
use tokio::net::TcpListener;

/// A running simulator; it ends with the test's runtime.
pub(crate) struct Sim {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Sim {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, options));
        Self { url, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// The AWS SDK's client, without retries.
    pub(crate) fn bedrock(&self) -> Client {
        let config = aws_sdk_bedrockruntime::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIDSIM", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.url)
            .build();
        Client::from_conf(config)
    }

    pub(crate) async fn chat(&self, body: &Value) -> reqwest::Response {
        let metadata = r#"{"tenant_id":"acme","call_id":"c1"}"#;
        let request = self.http.post(format!("{}/openai/v1/chat/completions", self.url));
        request
            .header("X-Amzn-Bedrock-Request-Metadata", metadata)
            .body(body.to_string())
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let body = self
            .http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The only call so far.
    pub(crate) async fn call(&self) -> Value {
        let calls = self.get("/_sim/calls").await;
        assert_eq!(calls["calls"].as_array().unwrap().len(), 1);
        calls["calls"][0].clone()
    }

    /// The only call so far, once the simulator is done with it.
    pub(crate) async fn ended_call(&self) -> Value {
        loop {
            let call = self.call().await;
            if call["outcome"] != "in_progress" {
                return call;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// One message of the user.
pub(crate) fn user(text: &str) -> Message {
    let text = ContentBlock::Text(text.to_owned());
    Message::builder().role(ConversationRole::User).content(text).build().unwrap()
}
