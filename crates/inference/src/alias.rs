//! Names that stand for models: the data of routing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenancy::{ModelId, TenantContext};

use crate::ReadCatalogError;

/// A name that stands for one model or another, by weight, by order and by what answers. The
/// organisation's aliases are in the registry (`PK=CATALOG`, `SK=ALIAS#<name>`), a tenant's own in its
/// item (`PK=TENANT#<id>`, `aliases`); the tenant's win.
///
/// An alias gives no right to a model: targets that are not on the tenant's allowlist are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The name; it hides a model of the same name.
    pub name: ModelId,
    /// What to try, in order. Within a step one target is drawn by weight; the others of the step are
    /// tried before the next step.
    pub steps: Vec<Step>,
    /// When to give up.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Whether the turns of one conversation meet the same target while it answers.
    #[serde(default)]
    pub has_affinity: bool,
}

/// Reads the aliases that tenants made for themselves.
pub trait AliasStore: Send + Sync {
    /// The own aliases of the caller's tenant as they are now, by name. Those that make no sense are
    /// left out; a tenant that was never onboarded has none.
    ///
    /// A read of its own, to be made beside that of the entitlements, and to be remembered as long
    /// as the catalog: an alias gives no right to anything.
    fn aliases(
        &self,
        context: &TenantContext,
    ) -> impl Future<Output = Result<BTreeMap<ModelId, Arc<Alias>>, ReadCatalogError>> + Send;
}

/// Targets of the same rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// At least one.
    pub targets: Vec<Target>,
}

/// A model, and its share of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// A registered model; aliases of aliases there are none.
    pub model: ModelId,
    /// Its share among the step's targets; a canary has a small one. 0: only if all others fail.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// When and how often a call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Provider calls for one call of the client at most, all targets together; at least 1.
    pub max_attempts: u32,
    /// Provider calls of one target at most.
    pub max_attempts_per_target: u32,
    /// The first wait before the same target is tried again, in milliseconds; it doubles each time, and
    /// a random part of it is waited. A `Retry-After` of the provider is honoured instead.
    pub backoff_ms: u64,
    /// The longest wait, `Retry-After` included, in milliseconds; a target that wants more is left.
    pub max_backoff_ms: u64,
    /// The time for all attempts until content comes, in milliseconds.
    pub deadline_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            max_attempts_per_target: 2,
            backoff_ms: 100,
            max_backoff_ms: 2_000,
            deadline_ms: 120_000,
        }
    }
}
