//! What one execution environment keeps between calls, and the ports that it works through.

use std::fmt;
use std::time::Duration;

use admission::{AlertStore, Calendar, EntitlementStore, MeterStore, UsageStore};
use content::ContentStore;
use inference::{AliasStore, CatalogStore, ProviderAdapter, ProviderConfig};

use crate::cache::Cache;
use crate::exhausted::Exhausted;
use crate::files::ObjectStore;
use crate::health::SharedHealth;
use crate::shadow::Shadows;

/// The adapters that a gateway works through, one type per port.
pub trait Ports: Send + Sync + 'static {
    /// Entitlements, aliases and the catalog.
    type Configuration: EntitlementStore + CatalogStore + AliasStore;
    /// Meters, usage records and alerts.
    type Ledger: MeterStore + UsageStore + AlertStore;
    /// Who runs the models.
    type Providers: ProviderAdapter;
    /// What tenants leave with the gateway for a time.
    type Content: ContentStore;
    /// Files that are too large for a request.
    type Objects: ObjectStore;
    /// What the instances know of the providers' health.
    type Health: routing::HealthStore;
    /// Who makes calls once more, of successors.
    type Shadows: Shadows;
}

/// What one execution environment keeps between calls.
pub struct State<P: Ports> {
    /// Entitlements, aliases and catalog, remembered.
    pub configuration: Cache<P::Configuration>,
    /// Meters and usage records.
    pub ledger: P::Ledger,
    /// Who runs the models.
    pub providers: P::Providers,
    /// What tenants leave with the gateway for a time.
    pub content: P::Content,
    /// Files that are too large for a request.
    pub objects: P::Objects,
    /// What is known of the providers' health.
    pub health: SharedHealth<P::Health>,
    /// Who makes calls once more, of successors; nobody in the function that does.
    pub shadows: Option<P::Shadows>,
    /// The limits that this instance has told of as exhausted, by the ids of their alerts.
    pub exhausted: Exhausted,
    /// Where the organisation's days begin.
    pub calendar: Calendar,
    /// The stack's Region, for usage records.
    pub region: String,
    /// How long a streamed answer may be silent before the gateway sends a sign of life.
    pub heartbeat: Duration,
    /// The clock, in Unix milliseconds.
    pub now_ms: fn() -> i64,
    /// A source of random numbers, for weights and jitter; nothing secret depends on it.
    pub random: fn() -> u64,
}

impl<P: Ports> State<P> {
    pub(crate) fn region_of(&self, provider: &ProviderConfig) -> String {
        provider.region.clone().unwrap_or_else(|| self.region.clone())
    }
}

impl<P: Ports> fmt::Debug for State<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("region", &self.region).finish_non_exhaustive()
    }
}
