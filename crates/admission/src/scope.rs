//! The levels of the hierarchy that carry limits, and the meters that count for them.

use std::fmt;
use std::str::FromStr;

use metering::RecordId;
use serde::{Deserialize, Serialize};
use tenancy::{LobId, PrincipalId, ProjectId, TenantId};

use crate::{Cap, ModelSelector};

/// A level of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The organisation: everybody.
    Org,
    /// A line of business.
    Lob(LobId),
    /// A tenant.
    Tenant(TenantId),
    /// A project of a tenant.
    Project(TenantId, ProjectId),
    /// A user or machine client of a tenant.
    Principal(TenantId, PrincipalId),
}

/// How the meters of a scope are laid out.
///
/// A scope that many calls meet at once has its meters in several shards: each holds an equal part
/// of every limit, so that what all of them count together never passes it, and a call writes to one
/// of them. A new layout has a new epoch, and so new meters, which begin with what the old ones had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MeterLayout {
    /// Counts the layouts of the scope, from 0.
    pub epoch: u32,
    /// How many shards there are; one if it is not sharded.
    pub shards: u16,
}

impl Default for MeterLayout {
    fn default() -> Self {
        Self { epoch: 0, shards: 1 }
    }
}

/// One shard of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Shard {
    /// The layout's epoch.
    pub epoch: u32,
    /// Which one, from 0.
    pub number: u16,
}

/// Which meter: one item of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterRef {
    /// Whose use it counts.
    pub scope: Scope,
    /// Of which models.
    pub models: ModelSelector,
    /// Which part of the count.
    pub shard: Shard,
}

/// The part of a call that one meter holds: a call that is larger than a shard's share of a limit is
/// spread over all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Which part, from 0.
    pub index: u16,
    /// Of how many.
    pub of: u16,
}

/// A meter that a call has its reservation in, and which part of it. Written into the usage record,
/// so that the settlement finds it whatever has been configured since:
/// `lob=retail family=claude shard=1.7 part=0/8`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Held {
    /// Which meter.
    pub meter: MeterRef,
    /// What it holds.
    pub part: Part,
}

/// A meter that a call must be admitted by, and what it may count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Which meter.
    pub meter: MeterRef,
    /// The hard limits, most fundamental first.
    pub caps: Vec<Cap>,
    /// The state of the tenant's entitlements that the caps belong to; in the tenant's own meter only,
    /// which knows whether there is a newer one.
    pub entitlement_version: Option<u64>,
}

/// A scope, for some models, with what a call may find in its meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedScope {
    /// The scope.
    pub scope: Scope,
    /// The models that its meters count.
    pub models: ModelSelector,
    /// How its meters are laid out.
    pub layout: MeterLayout,
    /// The hard limits that the call meets, for all shards together.
    pub caps: Vec<Cap>,
    /// As [`Gate::entitlement_version`].
    pub entitlement_version: Option<u64>,
}

impl Scope {
    /// The tenant that the scope is or belongs to; none above tenants.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Org | Self::Lob(_) => None,
            Self::Tenant(id) | Self::Project(id, _) | Self::Principal(id, _) => Some(id),
        }
    }
}

impl Part {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// This part of `amount`: the parts add up to it.
    pub fn share(self, amount: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of.max(1)));
        amount / of + u64::from(index < amount % of)
    }
}

impl MeterRef {
    /// The one meter of an unsharded scope for all models.
    pub fn of(scope: Scope) -> Self {
        Self { scope, models: ModelSelector::All, shard: Shard::default() }
    }

    /// Whether it is a tenant's own for all models: the one that knows the tenant's status, and that
    /// each of its calls is admitted by.
    pub fn is_home(&self) -> bool {
        matches!(self.scope, Scope::Tenant(_)) && self.models.is_all()
    }
}

impl LimitedScope {
    /// The gate of one shard.
    pub fn gate(&self, number: u16) -> Gate {
        let shards = self.layout.shards;
        Gate {
            meter: MeterRef {
                scope: self.scope.clone(),
                models: self.models.clone(),
                shard: Shard { epoch: self.layout.epoch, number },
            },
            caps: self.caps.iter().map(|cap| cap.of_shard(number, shards)).collect(),
            entitlement_version: self.entitlement_version,
        }
    }

    /// Where a call looks first; calls are spread evenly.
    pub fn first_shard(&self, id: &RecordId) -> u16 {
        if self.layout.shards <= 1 {
            return 0;
        }
        // FNV-1a: ids are our own, and nothing depends on this but balance.
        let hash = id.open_key().bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        u16::try_from((hash >> 16) % u64::from(self.layout.shards)).unwrap_or(0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("organisation"),
            Self::Lob(id) => write!(f, "line of business `{id}`"),
            Self::Tenant(id) => write!(f, "tenant `{id}`"),
            Self::Project(_, id) => write!(f, "project `{id}`"),
            Self::Principal(_, id) => write!(f, "principal `{id}`"),
        }
    }
}

impl fmt::Display for MeterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Org => f.write_str("org")?,
            Scope::Lob(id) => write!(f, "lob={id}")?,
            Scope::Tenant(id) => write!(f, "tenant={id}")?,
            Scope::Project(tenant, id) => write!(f, "tenant={tenant} project={id}")?,
            Scope::Principal(tenant, id) => write!(f, "tenant={tenant} principal={id}")?,
        }
        match &self.models {
            ModelSelector::All => {}
            ModelSelector::Model(id) => write!(f, " model={id}")?,
            ModelSelector::Family(id) => write!(f, " family={id}")?,
        }
        if self.shard != Shard::default() {
            write!(f, " shard={}.{}", self.shard.epoch, self.shard.number)?;
        }
        Ok(())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meter.fmt(f)?;
        if self.part != Part::WHOLE {
            write!(f, " part={}/{}", self.part.index, self.part.of)?;
        }
        Ok(())
    }
}

/// A text that names no meter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no meter")]
pub struct InvalidMeterRef {
    /// What was given.
    pub text: String,
}

impl FromStr for Held {
    type Err = InvalidMeterRef;

    fn from_str(text: &str) -> Result<Self, InvalidMeterRef> {
        let held = parse(text).ok_or_else(|| InvalidMeterRef { text: text.to_owned() })?;
        // One way to write it: a reference is compared and deduplicated as text, too.
        if held.to_string() == text {
            Ok(held)
        } else {
            Err(InvalidMeterRef { text: text.to_owned() })
        }
    }
}

fn parse(text: &str) -> Option<Held> {
    let (mut lob, mut tenant, mut project, mut principal) = (None, None, None, None);
    let (mut models, mut shard, mut part) = (ModelSelector::All, Shard::default(), Part::WHOLE);
    for word in text.split(' ') {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "org" => {}
            "lob" => lob = Some(value.parse().ok()?),
            "tenant" => tenant = Some(value.parse::<TenantId>().ok()?),
            "project" => project = Some(value.parse().ok()?),
            "principal" => principal = Some(PrincipalId::try_from(value.to_owned()).ok()?),
            "model" => models = ModelSelector::Model(value.parse().ok()?),
            "family" => models = ModelSelector::Family(value.parse().ok()?),
            "shard" => {
                let (epoch, number) = value.split_once('.')?;
                shard = Shard { epoch: epoch.parse().ok()?, number: number.parse().ok()? };
            }
            "part" => {
                let (index, of) = value.split_once('/')?;
                part = Part { index: index.parse().ok()?, of: of.parse().ok()? };
            }
            _ => return None,
        }
    }
    let scope = match (lob, tenant, project, principal) {
        (None, None, None, None) => Scope::Org,
        (Some(lob), None, None, None) => Scope::Lob(lob),
        (None, Some(tenant), None, None) => Scope::Tenant(tenant),
        (None, Some(tenant), Some(project), None) => Scope::Project(tenant, project),
        (None, Some(tenant), None, Some(principal)) => Scope::Principal(tenant, principal),
        _ => return None,
    };
    Some(Held { meter: MeterRef { scope, models, shard }, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_part_is_read_as_it_is_written() {
        for text in [
            "org",
            "org family=claude shard=2.0",
            "lob=retail",
            "tenant=acme shard=0.3 part=1/4",
            "tenant=acme project=web-shop model=anthropic.claude:0/x",
            "tenant=acme principal=a=b|c#MODEL#d part=0/2",
        ] {
            assert_eq!(text.parse::<Held>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "tenant=",
            "lob=retail tenant=acme",
            "project=web",
            "org x=1",
            "org part=1",
            "org shard=1",
            "tenant=acme model=",
            "org  shard=2.0",
            "org shard=02.0",
            "shard=2.0 org",
            "tenant=ACME",
        ] {
            assert!(text.parse::<Held>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parts_add_up() {
        for (amount, of) in [(10u64, 3u16), (0, 4), (7, 7), (1, 5), (u64::MAX, 9)] {
            let sum: u64 = (0..of).map(|index| Part { index, of }.share(amount)).sum();
            assert_eq!(sum, amount);
        }
    }
}
