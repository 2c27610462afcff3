//! Why a step could not be done.

use administration::{FinishError, UserPoolError};
use admission::StoreError;
use audit::AuditError;
use billing::port::BillingStoreError;
use events::PublishError;
use lake::ObjectError;
use metering::RollupError;
use tenancy::TenantId;

use crate::class::Unclaimed;
use crate::port::{EstateError, SignError};

/// Why a step could not be done. Unless it says otherwise, trying again is safe, and may help.
#[derive(Debug, thiserror::Error)]
pub enum OffboardError {
    /// A table could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user pool could not be reached, or refused.
    #[error(transparent)]
    UserPool(#[from] UserPoolError),
    /// A caller could not be taken or given back.
    #[error(transparent)]
    Caller(#[from] FinishError),
    /// A paper could not be read or written.
    #[error(transparent)]
    Paper(#[from] ObjectError),
    /// The books could not be read.
    #[error(transparent)]
    Books(#[from] BillingStoreError),
    /// The audit trail could not be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Usage could not be read.
    #[error(transparent)]
    Usage(#[from] RollupError),
    /// Nobody could be asked for a draft.
    #[error(transparent)]
    Ask(#[from] PublishError),
    /// Something could not be listed or deleted.
    #[error(transparent)]
    Estate(#[from] EstateError),
    /// Evidence could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// There is something that nobody said the class of. Trying again does not help; a rule does.
    #[error(transparent)]
    Unclaimed(#[from] Unclaimed),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    NoTenant(TenantId),
    /// Another task has off-boarded the tenant, or is about to.
    #[error("tenant `{tenant_id}` was off-boarded by task `{task_id}`")]
    Buried {
        /// Which.
        tenant_id: TenantId,
        /// Which task.
        task_id: String,
    },
    /// What was deleted cannot be given back.
    #[error("the deletion of tenant `{0}` has begun: it can be cancelled no more")]
    Begun(TenantId),
    /// The tenant, or one of its callers, was changed by others again and again.
    #[error("tenant `{0}` keeps changing")]
    Contended(TenantId),
    /// Things of the tenant kept appearing while it was deleted.
    #[error("things of tenant `{0}` keep appearing: who writes them?")]
    Restless(TenantId),
    /// There is usage in the month that runs, and no draft of its statement was made.
    #[error("no draft of the statement of tenant `{0}` was made: does `billing` run?")]
    NoDraft(TenantId),
    /// A task's id would bend a key.
    #[error("the id of a task has letters, digits, `-` and `_`, and no more than 64 of them")]
    TaskId,
    /// A paper of this job is missing or cannot be read.
    #[error("the paper `{key}` is not what it should be")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something was deleted and is there again.
    #[error("something of tenant `{0}` was deleted and is still there")]
    StillThere(TenantId),
}
