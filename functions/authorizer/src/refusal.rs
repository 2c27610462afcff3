//! The three ways in which a caller is not let in, and what each says to whom.

use std::error::Error;

use lambda_runtime::Diagnostic;
use tenancy::{ReadDirectoryError, TenantId};

use crate::aws::{AnswerError, AskStsError};
use crate::jwks::KeysUnavailable;

/// Why no policy that allows the call is made.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody is known to be calling: 401.
    InvalidToken(InvalidToken),
    /// The caller is known and may not call: 403.
    Denied {
        /// Why.
        denial: Denial,
        /// The caller's tenant, once it is known.
        tenant_id: Option<TenantId>,
    },
    /// Nothing can be said about the caller: 500.
    Fault(Fault),
}

/// What is wrong with a token. For the log only: a caller learns no more than that it is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidToken {
    Missing,
    Repeated,
    NotBearer,
    TooLarge,
    Malformed,
    UnsupportedHeader,
    WrongAlgorithm,
    UnknownIssuer,
    UnknownKey,
    WrongSignature,
    Expired,
    NotYetValid,
    NotAnAccessToken,
    WrongAudience,
    WrongClaim,
    WrongEndpoint,
    WrongAction,
    UnknownParameter,
    RepeatedParameter,
    WrongSignedHeaders,
    WrongScope,
    WrongLifetime,
    RefusedBySts,
}

impl InvalidToken {
    /// The code that logs carry.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::NotBearer => "not_bearer",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnsupportedHeader => "unsupported_header",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "wrong_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NotAnAccessToken => "not_an_access_token",
            Self::WrongAudience => "wrong_audience",
            Self::WrongClaim => "wrong_claim",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::WrongAction => "wrong_action",
            Self::UnknownParameter => "unknown_parameter",
            Self::RepeatedParameter => "repeated_parameter",
            Self::WrongSignedHeaders => "wrong_signed_headers",
            Self::WrongScope => "wrong_scope",
            Self::WrongLifetime => "wrong_lifetime",
            Self::RefusedBySts => "refused_by_sts",
        }
    }
}

/// Why a caller with a valid token may not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    NoTenant,
    SeveralTenants,
    NoRole,
    UnknownClient,
    NotARole,
    UnknownAwsRole,
    SuspendedAwsRole,
    NoScope,
    UnusableSubject,
    UnknownTenant,
    SuspendedTenant,
}

impl Denial {
    /// The code that logs carry.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoTenant => "no_tenant",
            Self::SeveralTenants => "several_tenants",
            Self::NoRole => "no_role",
            Self::UnknownClient => "unknown_client",
            Self::NotARole => "not_a_role",
            Self::UnknownAwsRole => "unknown_aws_role",
            Self::SuspendedAwsRole => "suspended_aws_role",
            Self::NoScope => "no_scope",
            Self::UnusableSubject => "unusable_subject",
            Self::UnknownTenant => "unknown_tenant",
            Self::SuspendedTenant => "suspended_tenant",
        }
    }

    /// What the caller reads, in a JSON string of API Gateway's: no quotes, no backslashes.
    ///
    /// A tenant that is unknown and one that is suspended read the same, so that no answer tells
    /// which tenants exist.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::NoTenant => {
                "This account is not assigned to a tenant. Ask your administrator to assign it."
            }
            Self::SeveralTenants => {
                "This account is assigned to more than one tenant. Ask your administrator to leave it in one."
            }
            Self::NoRole => "This account has no role here. Ask your administrator to give it one.",
            Self::UnknownClient => {
                "This client is not registered. Ask your administrator to register it."
            }
            Self::NotARole => {
                "This AWS identity is not a role. Make the token with the credentials of an IAM role."
            }
            Self::UnknownAwsRole => {
                "This AWS role is not registered. Ask your administrator to register its account and name."
            }
            Self::SuspendedAwsRole => "This AWS role is suspended. Ask your administrator.",
            Self::NoScope => {
                "This token carries no scope of this API. Request weir/invoke or weir/read."
            }
            Self::UnusableSubject => "The subject of this token cannot be used here.",
            Self::UnknownTenant | Self::SuspendedTenant => {
                "The tenant of this account is not active. Ask your administrator."
            }
        }
    }
}

/// Something that the caller can do nothing about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Directory(#[from] ReadDirectoryError),
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    #[error(transparent)]
    Sts(#[from] AskStsError),
    #[error(transparent)]
    StsAnswer(#[from] AnswerError),
    #[error("issuer `{issuer}` is registered with a JWKS URL that is neither https nor local")]
    InsecureJwksUrl {
        /// Its registered name.
        issuer: String,
    },
    #[error("the event's method ARN has no API and stage")]
    MethodArn,
}

/// What the function answers when it answers no policy.
///
/// API Gateway makes 401 of the message `Unauthorized`, exactly, and 500 of every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizerError {
    /// There is no valid token.
    #[error("Unauthorized")]
    Unauthorized,
    /// The token could not be judged; the reason is in the log.
    #[error("the caller could not be authorized")]
    Fault,
}

impl From<AuthorizerError> for Diagnostic {
    fn from(error: AuthorizerError) -> Self {
        let error_type = match error {
            AuthorizerError::Unauthorized => "Unauthorized",
            AuthorizerError::Fault => "AuthorizerFault",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl From<InvalidToken> for Refusal {
    fn from(invalid: InvalidToken) -> Self {
        Self::InvalidToken(invalid)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied { denial, tenant_id: None }
    }
}

impl<E: Into<Fault>> From<E> for Refusal {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
