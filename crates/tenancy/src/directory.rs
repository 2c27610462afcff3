//! Who is registered: the issuers, clients and tenants that a token is checked against.
//!
//! These are the only reads without a [`TenantContext`](crate::TenantContext): they are what one is made from.

use std::error::Error;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{LobId, Role, Status, TenantId};

/// Reads registrations by the exact name that a token gives.
pub trait Directory {
    /// The OIDC issuer registered under exactly this `iss`, if any.
    fn issuer(
        &self,
        issuer: &str,
    ) -> impl Future<Output = Result<Option<Issuer>, ReadDirectoryError>> + Send;

    /// The machine client registered under this id, if any.
    fn client(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<Option<Client>, ReadDirectoryError>> + Send;

    /// The AWS role registered under this account and name, if any.
    fn aws_role(
        &self,
        account_id: &str,
        role_name: &str,
    ) -> impl Future<Output = Result<Option<AwsRole>, ReadDirectoryError>> + Send;

    /// What decides whether the tenant's callers are let in; `None` if there is no such tenant.
    fn tenant(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Option<TenantRecord>, ReadDirectoryError>> + Send;
}

/// The directory could not be read, or holds something that is not a registration.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the {registration} from the directory")]
pub struct ReadDirectoryError {
    /// What was wanted: `issuer`, `client`, `AWS role` or `tenant`. Not its name, which may come from an unverified token.
    pub registration: &'static str,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// An OIDC issuer beside the default one. All its callers belong to one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The `iss` claim of its tokens, compared exactly.
    pub issuer: String,
    /// Where its keys are; never taken from a token.
    pub jwks_url: String,
    /// The `aud` values that are meant for this gateway; a token needs one of them.
    pub audiences: Vec<String>,
    /// The one tenant that its tokens can speak for, whatever they claim.
    pub tenant_id: TenantId,
    /// What its callers are in that tenant.
    pub role: Role,
    /// How its tokens are signed.
    #[serde(default)]
    pub algorithm: SigningAlgorithm,
}

/// A signature algorithm that an issuer may be registered with: asymmetric ones only, so that a
/// public key can never serve as a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[default]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl SigningAlgorithm {
    /// The name as it stands in the `alg` header of a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A program's app client, and the tenant that it works for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The `client_id` claim of its tokens.
    pub client_id: String,
    /// The tenant that it works for.
    pub tenant_id: TenantId,
    /// Who issues its tokens; the same id from another issuer is another client.
    pub issuer: String,
}

/// An IAM role whose sessions work for a tenant, without any secret of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsRole {
    /// The account that the role is in.
    pub account_id: String,
    /// The role's name, without its path: sessions do not know the path, and names are unique in an account.
    pub role_name: String,
    /// The role's unique id (`AROA..`). If it is given, a role that was deleted and made again under the
    /// same name, by whomever, is not the registered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// The tenant that it works for.
    pub tenant_id: TenantId,
    /// What it is in that tenant.
    #[serde(default = "machine")]
    pub role: Role,
    /// Whether it is let in.
    #[serde(default = "active")]
    pub status: Status,
}

fn machine() -> Role {
    Role::Machine
}

fn active() -> Status {
    Status::Active
}

/// The part of a tenant that decides whether its callers are let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// The line of business that it belongs to.
    pub lob_id: LobId,
    /// Whether it is served.
    pub status: Status,
}
