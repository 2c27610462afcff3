//! What API Gateway is answered: a policy, and the context that the backend reads.

use std::collections::BTreeMap;

use serde::Serialize;
use tenancy::TenantContext;

use crate::refusal::{Denial, Fault};

/// The answer to API Gateway, which keeps it for the token's next calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizerResponse {
    principal_id: String,
    policy_document: PolicyDocument,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyDocument {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    action: &'static str,
    effect: &'static str,
    resource: String,
}

/// Every method of one stage of one API, or every route of it over WebSocket.
///
/// The policy is cached for all of them: one that named only the method asked about would refuse the
/// same caller's next call to another.
#[derive(Debug)]
pub(crate) struct Stage(String);

/// A caller who may call, and until when.
#[derive(Debug)]
pub(crate) struct Authorized {
    pub(crate) context: TenantContext,
    /// When the token expires, in Unix seconds. A connection may outlive it, so whoever serves
    /// connections looks at it with every message.
    pub(crate) expires_at: u64,
}

impl Stage {
    /// The stage in `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`, or in
    /// `.../<stage>/$connect`.
    pub(crate) fn of_method(method_arn: &str) -> Result<Self, Fault> {
        let mut parts = method_arn.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(api), Some(stage), Some(_)) if api.starts_with("arn:") && !stage.is_empty() => {
                Ok(Self(format!("{api}/{stage}/*")))
            }
            _ => Err(Fault::MethodArn),
        }
    }
}

impl AuthorizerResponse {
    /// Lets the caller call the stage, as `context` says.
    pub(crate) fn allow(stage: Stage, authorized: &Authorized) -> Self {
        let context = &authorized.context;
        let mut fields = context.fields();
        fields.insert("expires_at".to_owned(), authorized.expires_at.to_string());
        Self {
            principal_id: format!("{}|{}", context.tenant_id, context.principal.id),
            policy_document: policy("Allow", stage),
            context: fields,
        }
    }

    /// Keeps the caller out; the context carries what it may read.
    pub(crate) fn deny(stage: Stage, denial: Denial) -> Self {
        Self {
            principal_id: "denied".to_owned(),
            policy_document: policy("Deny", stage),
            context: BTreeMap::from([("error".to_owned(), denial.message().to_owned())]),
        }
    }
}

fn policy(effect: &'static str, Stage(resource): Stage) -> PolicyDocument {
    PolicyDocument {
        version: "2012-10-17",
        statement: [Statement { action: "execute-api:Invoke", effect, resource }],
    }
}
