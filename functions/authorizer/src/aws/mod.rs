//! AWS roles as callers, without any secret: a bearer token is a presigned `GetCallerIdentity`, and
//! STS says whose it is.

mod answer;
mod endpoint;
mod http;
mod presigned;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

pub use endpoint::{AwsTokens, InvalidAwsTokens};
pub use http::{AskStsError, HttpSts, InsecureStsUrl};

pub(crate) use answer::{AnswerError, RoleSession};
pub(crate) use presigned::PREFIX;

use presigned::Presigned;

/// Sessions remembered at most.
const MAX_SESSIONS: usize = 1024;

/// Where STS is asked.
pub trait Sts {
    /// The answer to `request`, whatever its status. Redirects are answers like any other.
    fn caller_identity(
        &self,
        request: &IdentityRequest,
    ) -> impl Future<Output = Result<StsAnswer, AskStsError>> + Send;
}

/// A request for `GetCallerIdentity` that somebody else signed.
///
/// Whoever has it can be taken for the signer, so it has no `Debug`.
pub struct IdentityRequest {
    /// The host that it is signed for: STS of an allowed Region.
    pub host: String,
    /// The query, percent-encoded; the path is `/`.
    pub query: String,
    /// The value of the signed header `x-weir-server-id`.
    pub server_id: String,
}

/// What STS answered.
#[derive(Debug, Clone)]
pub struct StsAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, XML.
    pub body: Vec<u8>,
}

/// A verified caller, and when the token that shows it ends, in Unix seconds.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) session: RoleSession,
    pub(crate) expires_at: u64,
}

/// Asks STS about tokens, and remembers its answers while the tokens last.
#[derive(Debug)]
pub(crate) struct Roles<A> {
    sts: A,
    tokens: AwsTokens,
    /// By the token's digest. Refusals are not kept: a key of a new role may be unknown for seconds.
    sessions: Mutex<HashMap<[u8; 32], (RoleSession, u64)>>,
}

impl<A: Sts> Roles<A> {
    pub(crate) fn new(sts: A, tokens: AwsTokens) -> Self {
        Self { sts, tokens, sessions: Mutex::default() }
    }

    /// The role session that signed `token`, which starts with [`PREFIX`].
    pub(crate) async fn verify(&self, token: &str, now: u64) -> Result<Verified, Refusal> {
        let presigned = Presigned::parse(token, &self.tokens, now)?;
        let expires_at = presigned.expires_at;
        let digest = Sha256::digest(token).into();
        if let Some(session) = self.remembered(&digest) {
            return Ok(Verified { session, expires_at });
        }
        let answer = self.sts.caller_identity(&presigned.request).await?;
        let session = RoleSession::of_answer(&answer, presigned.partition)?;
        self.remember(digest, &session, expires_at, now);
        Ok(Verified { session, expires_at })
    }

    /// The session of a token that has not ended, as its own text says.
    fn remembered(&self, digest: &[u8; 32]) -> Option<RoleSession> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(digest).map(|(session, _)| session.clone())
    }

    fn remember(&self, digest: [u8; 32], session: &RoleSession, expires_at: u64, now: u64) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, (_, expires_at)| now < *expires_at);
        }
        if sessions.len() < MAX_SESSIONS {
            sessions.insert(digest, (session.clone(), expires_at));
        }
    }
}
