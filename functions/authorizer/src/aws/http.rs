//! Asking STS over HTTPS.

use reqwest::Client;
use reqwest::header::HOST;

use super::presigned::SERVER_ID_HEADER;
use super::{IdentityRequest, Sts, StsAnswer};
use crate::fetch::{body_of_at_most, is_secure};

/// Real answers are below 1 KB.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// STS could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskStsError {
    /// No answer, or not a whole one.
    #[error("failed to ask STS")]
    Http(#[source] reqwest::Error),
    /// More bytes than it answers.
    #[error("the answer of STS is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// STS over HTTP.
#[derive(Debug)]
pub struct HttpSts {
    client: Client,
    connect_to: Option<String>,
}

/// The address that would take the place of STS's own could be anybody's.
#[derive(Debug, thiserror::Error)]
#[error("the address where STS is to be asked is neither https nor local")]
pub struct InsecureStsUrl;

impl HttpSts {
    /// Asks the STS that a request is signed for, by a client of [`https_client`](crate::https_client).
    /// With `connect_to`, the connection goes there instead; what is asked stays the same.
    ///
    /// # Errors
    /// If `connect_to` is neither https nor on this machine.
    pub fn new(client: Client, connect_to: Option<String>) -> Result<Self, InsecureStsUrl> {
        match connect_to {
            Some(url) if !is_secure(&url) => Err(InsecureStsUrl),
            connect_to => Ok(Self { client, connect_to }),
        }
    }
}

impl Sts for HttpSts {
    async fn caller_identity(&self, request: &IdentityRequest) -> Result<StsAnswer, AskStsError> {
        let (host, query) = (&request.host, &request.query);
        let base = self.connect_to.as_deref().map_or(format!("https://{host}"), ToOwned::to_owned);
        let url = format!("{}/?{query}", base.trim_end_matches('/'));
        // Whoever reads the URL in a log could be taken for the caller.
        let hidden = |error: reqwest::Error| AskStsError::Http(error.without_url());
        let sent = self
            .client
            .get(url)
            .header(HOST, host)
            .header(SERVER_ID_HEADER, &request.server_id)
            .send()
            .await;
        let response = sent.map_err(hidden)?;
        let status = response.status().as_u16();
        let body = body_of_at_most(MAX_ANSWER_BYTES, response).await.map_err(hidden)?;
        Ok(StsAnswer { status, body: body.ok_or(AskStsError::TooLarge)? })
    }
}
