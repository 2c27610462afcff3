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

    /// Posts a body as JSON, and whatever headers an API wants.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.url));
        request
            .header("anthropic-version", "2023-06-01")
            .body(body.to_string())
            .send()
            .await
            .unwrap()
    }

    /// Posts a body and reads the JSON of the answer.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    /// Posts a body and reads a named event stream: pairs of a name and its data.
    pub(crate) async fn events(&self, path: &str, body: &Value) -> Vec<(String, Value)> {
        let response = self.post(path, body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = String::from_utf8(response.bytes().await.unwrap().into()).unwrap();
        let split = |event: &str| {
            let (name, data) =
                event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            (name.to_owned(), serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
        };
        text.trim_end().split("\n\n").map(split).collect()
    }

    /// Replaces something of the control API.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> u16 {
        let request = self.http.put(format!("{}{path}", self.url)).body(body.to_string());
        request.send().await.unwrap().status().as_u16()
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
