//! SCIM 2.0 (RFC 7643 and 7644): the users and groups that an identity provider brings to a tenant.
//!
//! A resource is a JSON object in the names and types of its [`ResourceType`], whatever case and dialect
//! it was sent in ([`read`], [`Patch`]); [`Filter`] selects, [`Projection`] shortens. What is kept, and
//! what it makes of people, is behind the port [`MemberStore`]. Nothing here names a tenant.

mod discovery;
mod error;
#[cfg(feature = "fakes")]
pub mod fakes;
mod filter;
mod members;
mod patch;
mod path;
mod port;
mod projection;
mod resource;
mod schema;

pub use discovery::{ERROR, LIST_RESPONSE, list, resource_types, schemas, service_provider_config};
pub use error::{ScimError, ScimType};
pub use filter::{Filter, MAX_FILTER_BYTES};
pub use members::{PROVISIONED_ROLES, address, is_active, role_of, roles_of, uniques};
pub use patch::{MAX_OPERATIONS, Patch};
pub use path::AttributePath;
pub use port::{GroupChange, MemberStore, Roster, StoredGroup, StoredUser, Unique, UserChange};
pub use projection::Projection;
pub use resource::{MAX_MEMBERS, Resource, read};
pub use schema::{Attribute, GROUP, GROUP_EXTENSION, Kind, ResourceType, Schema, USER};
