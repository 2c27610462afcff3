//! Signatures by an asymmetric key of AWS KMS, which no one can take out of it.

use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use offboarding::{SignError, Signer};
use sha2::{Digest as _, Sha256};

/// A key of the kind `ECC_NIST_P256` for `SIGN_VERIFY`.
#[derive(Debug, Clone)]
pub struct KmsKey {
    client: Client,
    key_id: String,
}

impl KmsKey {
    /// The key of that id or ARN.
    pub fn new(sdk: &SdkConfig, key_id: String) -> Self {
        Self { client: Client::new(sdk), key_id }
    }
}

fn failed(
    operation: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SignError {
    SignError { operation, source: source.into() }
}

impl Signer for KmsKey {
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let operation = "sign evidence";
        // KMS takes 4 KiB of a message, or the digest of any.
        let digest = Sha256::digest(message);
        let answer = self
            .client
            .sign()
            .key_id(&self.key_id)
            .message(Blob::new(digest.as_slice()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await
            .map_err(|error| failed(operation, error))?;
        let signature = answer.signature.map(Blob::into_inner);
        signature.ok_or_else(|| failed(operation, "its answer has no signature"))
    }

    async fn public_key(&self) -> Result<Vec<u8>, SignError> {
        let operation = "read the public key";
        let answer = self.client.get_public_key().key_id(&self.key_id).send().await;
        let answer = answer.map_err(|error| failed(operation, error))?;
        let key = answer.public_key.map(Blob::into_inner);
        key.ok_or_else(|| failed(operation, "its answer has no key"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use axum::Router;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;

    type Asked = Arc<Mutex<Vec<(String, Value)>>>;

    async fn answer(
        State(asked): State<Asked>,
        headers: HeaderMap,
        body: axum::body::Bytes,
    ) -> String {
        let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
        asked.lock().unwrap().push((operation.clone(), serde_json::from_slice(&body).unwrap()));
        let bytes = STANDARD.encode([7, 8, 9]);
        match operation.as_str() {
            "TrentService.Sign" => json!({ "Signature": bytes }).to_string(),
            _ => json!({ "PublicKey": bytes }).to_string(),
        }
    }

    #[tokio::test]
    async fn the_digest_is_signed_by_the_named_key() {
        let asked = Asked::default();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .build();
        let key = KmsKey::new(&sdk, "key-1".to_owned());
        let message = vec![b'x'; 100_000];
        assert_eq!(key.sign(&message).await.unwrap(), [7, 8, 9]);
        assert_eq!(key.public_key().await.unwrap(), [7, 8, 9]);
        let asked = asked.lock().unwrap();
        let expected = json!({
            "KeyId": "key-1",
            "Message": STANDARD.encode(Sha256::digest(&message)),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        assert_eq!(asked[0], ("TrentService.Sign".to_owned(), expected));
        assert_eq!(asked[1].1, json!({ "KeyId": "key-1" }));
    }
}
