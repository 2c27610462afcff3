//! What is to be done, and how far a step came.

use std::collections::BTreeSet;

use admission::AuditEntry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::{PrincipalId, PrincipalKind, Role, TenantId};

use crate::port::Outside;

/// Who asked for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// Who.
    pub principal_id: PrincipalId,
    /// What kind of caller that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_kind: Option<PrincipalKind>,
    /// The tenant that they belong to.
    pub tenant_id: TenantId,
    /// What they are there.
    pub roles: BTreeSet<Role>,
}

impl Requester {
    /// What they do by the task.
    pub fn entry(&self, id: String, time: Timestamp, action: &str, subject: String) -> AuditEntry {
        AuditEntry {
            id,
            time,
            action: action.to_owned(),
            subject,
            principal_id: self.principal_id.clone(),
            principal_kind: self.principal_kind,
            tenant_id: self.tenant_id.clone(),
            roles: self.roles.clone(),
            is_allowed: true,
            version: None,
            before: Value::Null,
            after: Value::Null,
        }
    }
}

/// One off-boarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Names it: letters, digits, `-` and `_`.
    pub task_id: String,
    /// Who goes.
    pub tenant_id: TenantId,
    /// Who wants that.
    pub requested_by: Requester,
    /// Since when.
    pub requested_at: Timestamp,
}

/// How far a step came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// It is to be called again in so many seconds.
    Wait {
        /// What it waits for, for whoever looks at the task.
        why: String,
        /// When.
        seconds: u32,
    },
}

impl Progress {
    pub(crate) fn wait(why: impl Into<String>, seconds: u32) -> Self {
        Self::Wait { why: why.into(), seconds }
    }

    /// There is more, and no time for it now.
    pub(crate) fn more() -> Self {
        Self::wait("there is more to do", 0)
    }
}

/// A step of an off-boarding, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nobody is let in any more.
    Revoke,
    /// Every call has ended and is settled.
    Drain,
    /// What is not billed yet is drafted.
    Statement,
    /// What the tenant was is written down.
    Export,
    /// All that there is of it is listed, and each thing has a class.
    Inventory,
    /// What is to go is deleted. From here on nothing can be given back.
    Purge,
    /// What was done is written down and signed.
    Evidence,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 7] = [
        Self::Revoke,
        Self::Drain,
        Self::Statement,
        Self::Export,
        Self::Inventory,
        Self::Purge,
        Self::Evidence,
    ];

    /// Whether an off-boarding can be cancelled once this step has begun.
    pub fn is_cancellable(self) -> bool {
        self < Self::Purge
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Drain => "drain",
            Self::Statement => "statement",
            Self::Export => "export",
            Self::Inventory => "inventory",
            Self::Purge => "purge",
            Self::Evidence => "evidence",
        }
    }
}

impl Job {
    /// An audit entry of what is done to the tenant for this job.
    pub(crate) fn entry(
        &self,
        world: &impl Outside,
        action: &str,
        subject: &str,
        values: (Value, Value),
    ) -> AuditEntry {
        let below = if subject.is_empty() { String::new() } else { format!("/{subject}") };
        let subject = format!("tenants/{}{below}", self.tenant_id);
        let entry = self.requested_by.entry(world.new_id(), world.now(), action, subject);
        AuditEntry { before: values.0, after: values.1, ..entry }
    }
}
