//! The provider's side: lines of its bill, summed by tenant.

use std::collections::BTreeMap;

use jiff::civil::Date;
use tenancy::TenantId;

use crate::amount::Amount;
use crate::caller::{Caller, Gateway};
use crate::class::Terms;
use crate::cur::{LineItem, LineKind};
use crate::ledger::CellKey;
use crate::policy::{Reason, day_of};
use crate::usage_type::UsageTypes;

/// What the bill has of a cell on some terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BilledAmount {
    /// Units.
    pub quantity: i128,
    /// What they cost.
    pub cost: Amount,
    /// Lines of the bill.
    pub lines: u64,
}

impl BilledAmount {
    fn plus(&mut self, other: &Self) {
        self.quantity += other.quantity;
        self.cost += other.cost;
        self.lines += other.lines;
    }

    pub(crate) fn sum<'a>(amounts: impl Iterator<Item = &'a Self>) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum.plus(amount);
            sum
        })
    }
}

/// What is on the bill and has nothing to be compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OtherKey {
    pub(crate) day: Date,
    pub(crate) reason: Reason,
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) principal: Option<String>,
    pub(crate) usage_type: String,
}

/// The bill's sums. As large as there are callers, models and days, whatever the number of lines.
#[derive(Debug, Clone, Default)]
pub struct ProviderSide {
    pub(crate) cells: BTreeMap<CellKey, BTreeMap<Terms, BilledAmount>>,
    pub(crate) others: BTreeMap<OtherKey, BilledAmount>,
    /// Lines about Bedrock.
    pub lines: u64,
    /// Lines about anything else, which are not looked at.
    pub ignored_lines: u64,
}

impl ProviderSide {
    /// Adds a line. None about Bedrock is dropped: what cannot be compared is reported as it stands.
    pub fn add(&mut self, item: &LineItem, usage_types: &UsageTypes, gateway: &Gateway) {
        if !usage_types.is_about_bedrock(item) {
            self.ignored_lines += 1;
            return;
        }
        self.lines += 1;
        let day = day_of(item.usage_start);
        let caller = gateway.caller(item.principal.as_deref(), &item.tags);
        let reason = match (item.kind, &caller) {
            (LineKind::Credit, _) => Reason::CreditOrRefund,
            (LineKind::Fee, _) => Reason::FeeOrTax,
            (LineKind::Other, _) => Reason::UnmappedUsageType,
            (LineKind::Usage, Caller::Unknown(_)) => Reason::UnknownCaller,
            (LineKind::Usage, Caller::Unattributed) => Reason::Untagged,
            (LineKind::Usage, Caller::Tenant(tenant_id)) => {
                if let Some(usage) = usage_types.usage(item) {
                    let key = CellKey {
                        day,
                        tenant_id: tenant_id.clone(),
                        model: usage.model,
                        class: usage.class,
                    };
                    let billed = BilledAmount {
                        quantity: item.amount.times(usage.per_unit),
                        cost: item.cost,
                        lines: 1,
                    };
                    self.cells
                        .entry(key)
                        .or_default()
                        .entry(usage.terms)
                        .or_default()
                        .plus(&billed);
                    return;
                }
                Reason::UnmappedUsageType
            }
        };
        let (tenant_id, principal) = match caller {
            Caller::Tenant(tenant_id) => (Some(tenant_id), None),
            Caller::Unknown(principal) => (None, Some(principal)),
            Caller::Unattributed => (None, None),
        };
        let usage_type = item.usage_type.clone();
        let key = OtherKey { day, reason, tenant_id, principal, usage_type };
        // Its amount is in units that nothing is known of.
        let billed = BilledAmount { quantity: 0, cost: item.cost, lines: 1 };
        self.others.entry(key).or_default().plus(&billed);
    }
}
