//! A tenant's wish to call a model that is not on its list yet.

use admission::RequestStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{ModelId, PrincipalId, TenantContext, TenantId};

/// Somebody asks for a model for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRequest {
    /// Names it; later ones are greater.
    pub id: String,
    /// The model.
    pub model: ModelId,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub requested_by: PrincipalId,
    /// The tenant that they belong to.
    pub requested_by_tenant: TenantId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What became of it.
    pub status: RequestStatus,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<PrincipalId>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ModelRequest {
    /// Whether it is the caller's own.
    pub fn is_of(&self, context: &TenantContext) -> bool {
        (&self.requested_by, &self.requested_by_tenant)
            == (&context.principal.id, &context.tenant_id)
    }
}
