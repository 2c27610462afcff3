//! Who is calling, for which tenant, with which rights.
//!
//! Every other crate takes a [`TenantContext`] first, so that no query can forget its tenant.

mod directory;
mod id;
mod principal;
mod role;
mod tenant;

pub use directory::{
    AwsRole, ClaimPath, Client, Directory, InvalidClaimPath, InvalidIssuer, Issuer,
    ReadDirectoryError, SigningAlgorithm, TenantRecord,
};
pub use id::{InvalidId, LobId, ModelId, ProjectId, TenantId};
pub use principal::{InvalidPrincipal, Principal, PrincipalId, PrincipalKind};
pub use role::{Permission, PermissionDenied, Reach, Role, Scope};
pub use tenant::{
    Guardrail, ModelAllowlist, PayloadCapture, Place, PriorityClass, Project, ResponseCache,
    Shadow, Status, Tenant, TenantContext, TenantSettings,
};
