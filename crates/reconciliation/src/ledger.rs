//! The gateway's side: usage records, summed as bills are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{PicoUsd, UsageRecord};
use tenancy::TenantId;

use crate::amount::Amount;
use crate::class::{Terms, TokenClass, base_model, quantities};
use crate::policy::{Policy, day_of};

/// OpenTelemetry's name of the provider whose bills these are.
pub(crate) const PROVIDER: &str = "aws.bedrock";

/// What the price list that a record names says of a class of usage.
pub trait UnitPrices {
    /// The price of one unit; none if the list is not known any more or has none.
    fn unit_price(&self, record: &UsageRecord, class: TokenClass) -> Option<PicoUsd>;
}

impl<F: Fn(&UsageRecord, TokenClass) -> Option<PicoUsd>> UnitPrices for F {
    fn unit_price(&self, record: &UsageRecord, class: TokenClass) -> Option<PicoUsd> {
        self(record, class)
    }
}

/// What is compared: a tenant's usage of a model on a day (UTC), of one class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The day.
    pub day: Date,
    /// Whose usage.
    pub tenant_id: TenantId,
    /// The foundation model's id.
    pub model: String,
    /// Of what.
    pub class: TokenClass,
}

/// What the ledger has of a cell on some terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerAmount {
    /// Units.
    pub quantity: i128,
    /// What they cost.
    pub cost: Amount,
    /// Of the units, those that are estimates.
    pub estimated: i128,
    /// Of the units, those of the first minutes of the day.
    pub at_start: i128,
    /// Of the units, those of the last minutes of the day.
    pub at_end: i128,
}

impl LedgerAmount {
    fn plus(&mut self, other: &Self) {
        self.quantity += other.quantity;
        self.cost += other.cost;
        self.estimated += other.estimated;
        self.at_start += other.at_start;
        self.at_end += other.at_end;
    }

    pub(crate) fn sum<'a>(amounts: impl Iterator<Item = &'a Self>) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum.plus(amount);
            sum
        })
    }
}

/// The ledger's sums. As large as there are tenants, models and days, whatever the number of calls.
#[derive(Debug, Clone, Default)]
pub struct LedgerSide {
    pub(crate) cells: BTreeMap<CellKey, BTreeMap<Terms, LedgerAmount>>,
    /// What records cost beyond what their units do, since each is rounded up to a nano-USD.
    pub(crate) rounding: BTreeMap<(Date, TenantId), Amount>,
    /// Records that were summed.
    pub records: u64,
    /// Of these, those whose cost is not that of their price list: it was split in proportion.
    pub unpriced: u64,
}

/// When the gateway made a call: the moment in its id, by which the ledger sorts it.
pub(crate) fn called_at(record: &UsageRecord) -> Timestamp {
    let in_id = record.id.call_id.get(..12).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    let is_uuid_v7 = record.id.call_id.len() == 32 && record.id.call_id.get(12..13) == Some("7");
    let ms = in_id.filter(|_| is_uuid_v7).unwrap_or(record.started_ms);
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

impl LedgerSide {
    /// Adds a record. What other providers or the response cache served is on no bill of AWS's.
    pub fn add(&mut self, record: &UsageRecord, prices: &impl UnitPrices, policy: &Policy) {
        if record.provider != PROVIDER || record.is_cache_hit {
            return;
        }
        self.records += 1;
        let at = called_at(record);
        let (is_at_start, is_at_end) = policy.is_near_midnight(at);
        let terms = Terms::new(&record.region, record.service_tier, record.profile_scope);
        let model = base_model(&record.provider_model_id);
        for (class, quantity, cost) in self.costs(record, prices, day_of(at)) {
            let key = CellKey {
                day: day_of(at),
                tenant_id: record.tenant_id.clone(),
                model: model.to_owned(),
                class,
            };
            let quantity = i128::from(quantity);
            let if_so = |is_so: bool| if is_so { quantity } else { 0 };
            self.cells.entry(key).or_default().entry(terms.clone()).or_default().plus(
                &LedgerAmount {
                    quantity,
                    cost,
                    estimated: if_so(record.is_estimated),
                    at_start: if_so(is_at_start),
                    at_end: if_so(is_at_end),
                },
            );
        }
    }

    /// The record's cost by class. Their sum and the rounding are what the record says it cost, whatever the
    /// price list says.
    fn costs(
        &mut self,
        record: &UsageRecord,
        prices: &impl UnitPrices,
        day: Date,
    ) -> Vec<(TokenClass, u64, Amount)> {
        let recorded = Amount::from_nano(record.cost_nanousd.0.into());
        let mut costs: Vec<_> = quantities(&record.usage)
            .map(|(class, quantity)| {
                let price = prices.unit_price(record, class).unwrap_or_default();
                (class, quantity, Amount(i128::from(quantity) * i128::from(price.0)))
            })
            .collect();
        let listed: Amount = costs.iter().map(|(.., cost)| *cost).sum();
        let rounding = recorded - listed;
        let is_as_listed = (0..1_000).contains(&rounding.0);
        let rest = if is_as_listed {
            rounding
        } else {
            self.unpriced += 1;
            split(recorded, listed, &mut costs)
        };
        if rest != Amount::ZERO {
            *self.rounding.entry((day, record.tenant_id.clone())).or_default() += rest;
        }
        costs
    }
}

/// Splits what a record cost in proportion to what it should have cost, or if that is nothing, to its
/// quantities. Gives back what no class can take.
fn split(recorded: Amount, listed: Amount, costs: &mut [(TokenClass, u64, Amount)]) -> Amount {
    let by_quantity = listed == Amount::ZERO;
    let weight = |quantity: u64, cost: Amount| if by_quantity { quantity.into() } else { cost.0 };
    let total: i128 = costs.iter().map(|(_, quantity, cost)| weight(*quantity, *cost)).sum();
    let mut rest = recorded;
    for (_, quantity, cost) in costs {
        let share = recorded.0.saturating_mul(weight(*quantity, *cost)).checked_div(total);
        *cost = Amount(share.unwrap_or_default());
        rest = rest - *cost;
    }
    rest
}
