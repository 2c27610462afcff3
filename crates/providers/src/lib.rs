//! Every kind of provider behind one [`inference::ProviderAdapter`].

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_transport::{Aws, Connection, Uploads};
use inference::{
    ProviderAdapter, ProviderCall, ProviderError, ProviderKind, ProviderRequest, ProviderResponse,
};
use inference_bedrock::Bedrock;
use inference_openai::OpenaiCompatible;
use inference_sagemaker::Sagemaker;

pub use aws_transport::{ConfigError, EndpointUrls, Presigned, Service, Settings, UploadedFile};

/// All providers; each call goes to the one whose kind the registry says.
#[derive(Debug)]
pub struct Providers {
    bedrock: Bedrock,
    sagemaker: Sagemaker,
    openai: OpenaiCompatible,
    uploads: Option<Uploads>,
}

impl Providers {
    /// Connects with the Region, the credentials (for STS) and the clock of `sdk_config`.
    ///
    /// Fails without a Region or with a role that is no role's ARN.
    pub fn new(
        sdk_config: &SdkConfig,
        settings: Settings,
        connection: Connection,
    ) -> Result<Self, ConfigError> {
        let bucket = settings.uploads_bucket.clone();
        let aws = Arc::new(Aws::new(sdk_config, settings, connection)?);
        Ok(Self::with(&aws, bucket))
    }

    /// Calls them through `aws`.
    pub fn with(aws: &Arc<Aws>, uploads_bucket: Option<String>) -> Self {
        Self {
            bedrock: Bedrock::new(Arc::clone(aws)),
            sagemaker: Sagemaker::new(Arc::clone(aws)),
            openai: OpenaiCompatible::new(Arc::clone(aws)),
            uploads: uploads_bucket.map(|bucket| Uploads::new(Arc::clone(aws), bucket)),
        }
    }

    /// Tenants' uploads, if the stack has a place for them.
    pub fn uploads(&self) -> Option<&Uploads> {
        self.uploads.as_ref()
    }
}

impl ProviderAdapter for Providers {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        // Each adapter's future is a type of its own; boxed, the largest does not count for all.
        match call.provider.kind {
            ProviderKind::Bedrock => Box::pin(self.bedrock.send(call, request)).await,
            ProviderKind::Sagemaker => Box::pin(self.sagemaker.send(call, request)).await,
            ProviderKind::OpenaiCompatible => Box::pin(self.openai.send(call, request)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_transport::testing::{Caller, FakeService, aws};
    use bytes::Bytes;
    use inference::{Operation, Protocol, ProviderConfig, fixtures};

    use super::*;

    #[tokio::test]
    async fn a_call_goes_to_the_kind_that_the_registry_says() {
        let service = FakeService::answering(200, &[], r#"{"SecretString":"k"}"#);
        let providers = Providers::with(&aws(&service), None);
        for (kind, expected) in [
            (ProviderKind::Bedrock, "https://bedrock-runtime."),
            (ProviderKind::Sagemaker, "https://runtime.sagemaker."),
            (ProviderKind::OpenaiCompatible, "https://api.example.com/v1/"),
        ] {
            let mut caller = Caller::new("acme", &["m"]);
            caller.provider = ProviderConfig {
                kind,
                base_url: Some("https://api.example.com/v1".to_owned()),
                ..fixtures::provider("bedrock")
            };
            let request = ProviderRequest {
                protocol: Protocol::OpenaiChat,
                operation: Operation::Invoke,
                is_streaming: false,
                headers: Vec::new(),
                body: Bytes::from_static(b"{}"),
            };
            providers.send(&caller.call(0), request).await.unwrap();
            let uri = service.sent().last().unwrap().uri.clone();
            assert!(uri.starts_with(expected), "{uri}");
        }
    }
}
