//! Lines of business, tenants and who may call for them, as administrators see and change them.
//!
//! A [`TenantDocument`] is all that a tenant is, in one text: the same text gives the same tenant. What
//! is written there is read by [`read_tenant`], which names the field that is wrong. Callers are people
//! in groups of a user pool, machine clients and AWS roles. What has to happen in several places is
//! noted as an [`Unfinished`] task before it is begun, so that whoever finds the note can [`finish`] it.

mod body;
mod callers;
mod difference;
mod document;
#[cfg(feature = "fakes")]
pub mod fakes;
mod issuers;
mod model_request;
mod port;
mod task;
mod validation;

pub use body::{Format, InvalidField, MAX_BODY_BYTES, read_lob, read_tenant, strict};
pub use callers::{
    InvalidCaller, MachineClient, Member, NewSecret, PERSON_ROLES, Secret, group, membership,
    memberships, new_aws_role, new_client_name, new_email, new_user_name, scopes_of,
};
pub use difference::{Difference, differences};
pub use document::{Branding, Contact, LobDocument, TenantDocument};
pub use issuers::{RegisteredIssuer, check_issuer};
pub use model_request::ModelRequest;
pub use port::{
    AdministrationStore, LobChange, LobState, Suspension, TenantChange, TenantPage, TenantState,
    TenantsAsked, User, UserPool, UserPoolError, Version,
};
pub use task::{FinishError, Task, Unfinished, finish, set_member};
pub use validation::{check_lob, check_tenant};
