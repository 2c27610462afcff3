//! AWS services, asked by the function for itself, under its own role.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use bytes::Bytes;
use http::{Request, header};
use inference::ProviderResponse;

use crate::aws::{Service, Signer, absolute, dns_suffix, path_segment};
use crate::connection::Connection;
use crate::error::{Refusal, unbuildable};
use crate::{ConfigError, EndpointUrls};

/// AWS under the function's own role: for what belongs to no tenant.
#[derive(Debug)]
pub struct OwnRole {
    connection: Connection,
    credentials: SharedCredentialsProvider,
    region: String,
    endpoint_urls: EndpointUrls,
    any_endpoint_url: Option<String>,
}

impl OwnRole {
    /// Uses the Region, the credentials and the clock of `sdk_config`.
    ///
    /// Fails without a Region or credentials.
    pub fn new(
        sdk_config: &SdkConfig,
        endpoint_urls: EndpointUrls,
        connection: Connection,
    ) -> Result<Self, ConfigError> {
        let missing = |what: &str| ConfigError { source: what.into() };
        Ok(Self {
            connection,
            credentials: sdk_config
                .credentials_provider()
                .ok_or_else(|| missing("there are no credentials"))?,
            region: sdk_config.region().ok_or_else(|| missing("there is no Region"))?.to_string(),
            endpoint_urls,
            any_endpoint_url: sdk_config.endpoint_url().map(ToOwned::to_owned),
        })
    }

    /// The service's address, without a slash at its end.
    pub fn endpoint(&self, service: Service) -> String {
        let url = self.endpoint_urls.get(service).or(self.any_endpoint_url.as_deref());
        if let Some(url) = url {
            return url.trim_end_matches('/').to_owned();
        }
        let suffix = dns_suffix(partition(&self.region), false);
        format!("https://{}.{}.{suffix}", service.plain_host(), self.region)
    }

    /// Sends `request`, whose URI is a path at `endpoint`, signed by the function's role.
    ///
    /// # Errors
    /// Whatever is no success, once: nothing is retried.
    pub async fn send(
        &self,
        service: Service,
        endpoint: &str,
        request: Request<Bytes>,
    ) -> Result<ProviderResponse, Refusal> {
        let request = absolute(endpoint, request).map_err(unbuildable)?;
        let credentials = self.credentials.provide_credentials().await.map_err(unbuildable)?;
        let now = self.connection.now();
        let signer = Signer { service, region: &self.region, credentials, now };
        let request = signer.signed(request).map_err(unbuildable)?;
        self.connection.send(request).await
    }

    /// Starts an invocation of `function` with `event` (JSON), which nobody waits for.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn start(&self, function: &str, event: Bytes) -> Result<(), Refusal> {
        let path = format!("/2015-03-31/functions/{}/invocations", path_segment(function));
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-amz-invocation-type", "Event")
            .body(event)
            .map_err(unbuildable)?;
        let endpoint = self.endpoint(Service::Lambda);
        self.send(Service::Lambda, &endpoint, request).await.map(|_| ())
    }
}

/// The partition of a Region.
fn partition(region: &str) -> &'static str {
    let known = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eusc-", "aws-eusc"),
    ];
    known
        .into_iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path_segment;
    use crate::testing::{Clock, FakeService, sdk_config};

    fn own_role(service: &FakeService, endpoint_urls: EndpointUrls) -> OwnRole {
        let sdk_config = sdk_config(service, &Clock::new());
        let connection = Connection::with_connector(&sdk_config, service.connector());
        OwnRole::new(&sdk_config, endpoint_urls, connection).unwrap()
    }

    #[tokio::test]
    async fn a_function_signs_with_its_own_credentials_and_asks_no_session() {
        let service = FakeService::answering(202, &[], "");
        let own = own_role(&service, EndpointUrls::default());
        own.start("weir-socket", Bytes::from_static(b"{}")).await.unwrap();
        let sent = service.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(
            sent[0].uri,
            "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/weir-socket/invocations"
        );
        assert_eq!(sent[0].headers["x-amz-invocation-type"], "Event");
        let authorization = &sent[0].headers["authorization"];
        assert!(
            authorization.contains("Credential=GATEWAY/20260101/us-east-1/lambda/aws4_request"),
            "{authorization}"
        );
    }

    #[tokio::test]
    async fn a_connection_is_answered_at_the_address_of_its_api() {
        let service = FakeService::answering(410, &[("x-amzn-errortype", "GoneException")], "{}");
        let urls = EndpointUrls::default().with(Service::Lambda, "http://127.0.0.1:1/");
        let own = own_role(&service, urls);
        assert_eq!(own.endpoint(Service::Lambda), "http://127.0.0.1:1");
        let path = format!("/@connections/{}", path_segment("L0SM9cOFvHcCIhw="));
        let request = Request::post(path).body(Bytes::from_static(b"{}")).unwrap();
        let endpoint = "https://abc123.execute-api.us-east-1.amazonaws.com/live";
        let refusal = own.send(Service::Connections, endpoint, request).await.err().unwrap();
        assert_eq!(refusal.status, Some(410));
        let sent = &service.sent()[0];
        assert_eq!(sent.uri, format!("{endpoint}/@connections/L0SM9cOFvHcCIhw%3D"));
        assert!(sent.headers["authorization"].contains("/us-east-1/execute-api/aws4_request"));
    }

    #[test]
    fn regions_are_of_partitions() {
        for (region, expected) in
            [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
        {
            assert_eq!(partition(region), expected);
        }
    }
}
