//! Comparing the two sides: what differs, why, and by how much, to the last pico-USD.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use tenancy::TenantId;

use crate::amount::Amount;
use crate::class::{Terms, TokenClass};
use crate::ledger::{CellKey, LedgerAmount, LedgerSide};
use crate::matching::{FactKey, Matches};
use crate::policy::{Policy, Reason};
use crate::provider::{BilledAmount, ProviderSide};
use crate::report::{Evidence, Part, Row};

/// Everything that is compared.
#[derive(Debug, Clone, Default)]
pub struct Sides {
    /// What the gateway wrote down.
    pub ledger: LedgerSide,
    /// What AWS bills.
    pub provider: ProviderSide,
    /// What AWS logged, record by record.
    pub matches: Matches,
}

/// A cell on its terms, on its way to a row.
struct Item {
    key: CellKey,
    /// None: the sides agree on no terms, so all are one.
    terms: Option<Terms>,
    ledger: LedgerAmount,
    billed: BilledAmount,
    /// What the bill has more, and nothing explains yet.
    left: i128,
    parts: Vec<Part>,
    /// Whether a log of invocations says what is missing, so that nothing needs to be inferred.
    is_covered: bool,
}

impl Item {
    fn new(
        key: &CellKey,
        terms: Option<Terms>,
        ledger: LedgerAmount,
        billed: BilledAmount,
    ) -> Self {
        Self {
            key: key.clone(),
            terms,
            ledger,
            billed,
            left: billed.quantity - ledger.quantity,
            parts: Vec::new(),
            is_covered: false,
        }
    }

    /// Explains `quantity` of what is left.
    fn explain(&mut self, reason: Reason, quantity: i128, evidence: Evidence) {
        if quantity != 0 {
            self.left -= quantity;
            self.parts.push(Part::new(reason, quantity, evidence));
        }
    }
}

/// The rows that differ.
pub(crate) fn rows(sides: &Sides, policy: &Policy, now: Timestamp) -> Vec<Row> {
    let mut items = items(sides);
    for item in &mut items {
        item.is_covered = is_covered(item, &sides.matches);
    }
    apply_facts(&mut items, sides);
    for item in &mut items {
        explain_estimates(item, policy);
    }
    explain_midnight(&mut items);
    for item in &mut items {
        if item.left < 0 && !policy.is_final(item.key.day, now) {
            item.explain(Reason::Timing, item.left, Evidence::Inferred);
        }
    }
    infer(&mut items);
    let mut rows: Vec<_> = items.into_iter().filter_map(|item| row(item, policy)).collect();
    rows.extend(other_rows(&sides.provider));
    rows
}

/// Pairs both sides' cells. Terms are compared one by one, but where their sum is the same, or each side
/// has terms that the other lacks, they are the same calls billed on other terms: then only their
/// sum can be compared.
fn items(sides: &Sides) -> Vec<Item> {
    let keys: BTreeSet<_> = sides.ledger.cells.keys().chain(sides.provider.cells.keys()).collect();
    let (no_ledger, no_bill) = (BTreeMap::new(), BTreeMap::new());
    let mut items = Vec::new();
    for key in keys {
        let ledger = sides.ledger.cells.get(key).unwrap_or(&no_ledger);
        let billed = sides.provider.cells.get(key).unwrap_or(&no_bill);
        let sums = (LedgerAmount::sum(ledger.values()), BilledAmount::sum(billed.values()));
        let on_other_terms = ledger.iter().any(|(terms, amount)| {
            billed.get(terms).is_none_or(|billed| billed.quantity != amount.quantity)
        });
        let is_moved = on_other_terms && sums.0.quantity == sums.1.quantity;
        let is_swapped = ledger.keys().any(|terms| !billed.contains_key(terms))
            && billed.keys().any(|terms| !ledger.contains_key(terms));
        if is_moved || is_swapped {
            items.push(Item::new(key, None, sums.0, sums.1));
            continue;
        }
        for terms in ledger.keys().chain(billed.keys()).collect::<BTreeSet<_>>() {
            let ledger = ledger.get(terms).copied().unwrap_or_default();
            let billed = billed.get(terms).copied().unwrap_or_default();
            items.push(Item::new(key, Some(terms.clone()), ledger, billed));
        }
    }
    items
}

fn is_covered(item: &Item, matches: &Matches) -> bool {
    match &item.terms {
        Some(terms) => matches.covered.contains(&(item.key.day, terms.region.clone())),
        None => matches.covered.iter().any(|(day, _)| *day == item.key.day),
    }
}

/// Explains by what the log of invocations shows, as far as the bill bears it out: the bill decides what
/// is paid.
fn apply_facts(items: &mut [Item], sides: &Sides) {
    let mut at: BTreeMap<(&TenantId, Date, &str, TokenClass), Vec<usize>> = BTreeMap::new();
    let keys: Vec<_> = items.iter().map(|item| (item.key.clone(), item.terms.clone())).collect();
    for (index, (key, _)) in keys.iter().enumerate() {
        at.entry((&key.tenant_id, key.day, &key.model, key.class)).or_default().push(index);
    }
    let mut found: BTreeMap<usize, Vec<Part>> = BTreeMap::new();
    for (key, fact) in &sides.matches.facts {
        let FactKey { day, tenant_id: Some(tenant_id), model, terms, reason } = key else {
            continue;
        };
        for (class, quantity) in &fact.quantities {
            let candidates = at.get(&(tenant_id, *day, model.as_str(), *class));
            let on_terms = |index: &&usize| {
                keys.get(**index).is_some_and(|(_, of)| of.as_ref().is_none_or(|of| of == terms))
            };
            let index = candidates
                .and_then(|indices| indices.iter().find(on_terms).or_else(|| indices.first()));
            let Some(index) = index else { continue };
            let mut part = Part::new(*reason, *quantity, Evidence::Records);
            part.calls = fact.calls;
            part.samples.clone_from(&fact.samples);
            found.entry(*index).or_default().push(part);
        }
    }
    for (index, parts) in found {
        let Some(item) = items.get_mut(index) else { continue };
        let explained: i128 = parts.iter().map(|part| part.quantity).sum();
        if (item.left - explained).abs() <= item.left.abs() {
            item.left -= explained;
            item.parts.extend(parts);
        }
    }
}

/// What estimates of calls could have been off by. Where a log says what the calls really were, it has.
fn explain_estimates(item: &mut Item, policy: &Policy) {
    let estimated = item.ledger.estimated;
    if item.is_covered || estimated == 0 || item.left == 0 {
        return;
    }
    let overrun = estimated * i128::from(policy.estimate_overrun_percent) / 100;
    item.explain(
        Reason::EstimatedRecords,
        item.left.clamp(-estimated, overrun),
        Evidence::Inferred,
    );
}

/// What one day has too much and its neighbour too little, as far as there were calls near midnight.
fn explain_midnight(items: &mut [Item]) {
    let keys: Vec<_> = items.iter().map(|item| (item.key.clone(), item.terms.clone())).collect();
    let at: BTreeMap<_, _> =
        keys.iter().enumerate().map(|(index, key)| (key.clone(), index)).collect();
    for (today, (key, terms)) in keys.iter().enumerate() {
        let Ok(day) = key.day.tomorrow() else { continue };
        let tomorrow = (CellKey { day, ..key.clone() }, terms.clone());
        let Some(tomorrow) = at.get(&tomorrow).copied() else { continue };
        let Ok([today, tomorrow]) = items.get_disjoint_mut([today, tomorrow]) else { continue };
        let moved = if today.left < 0 && tomorrow.left > 0 {
            (-today.left).min(tomorrow.left).min(today.ledger.at_end)
        } else if today.left > 0 && tomorrow.left < 0 {
            -today.left.min(-tomorrow.left).min(tomorrow.ledger.at_start)
        } else {
            0
        };
        today.explain(Reason::Timing, -moved, Evidence::Inferred);
        tomorrow.explain(Reason::Timing, moved, Evidence::Inferred);
    }
}

/// What a bill alone, without a log, lets one conclude: a call that is missing lacks its input as well as
/// its output, so what only one class lacks was counted differently.
fn infer(items: &mut [Item]) {
    let mut groups: BTreeMap<_, Vec<&mut Item>> = BTreeMap::new();
    for item in items {
        let CellKey { day, tenant_id, model, .. } = item.key.clone();
        groups.entry((day, tenant_id, model, item.terms.clone())).or_default().push(item);
    }
    for group in groups.into_values() {
        let open: Vec<i128> =
            group.iter().map(|item| item.left).filter(|left| *left != 0).collect();
        let has_all = |sign: fn(&i128) -> bool| open.iter().all(sign);
        let is_of_a_call = open.len() > 1 || group.len() == 1;
        let is_whole = |quantity: fn(&Item) -> i128| group.iter().all(|item| quantity(item) == 0);
        let reason = if is_whole(|item| item.ledger.quantity)
            || is_of_a_call && has_all(|left| *left > 0)
        {
            Reason::MissingInLedger
        } else if is_whole(|item| item.billed.quantity) || is_of_a_call && has_all(|left| *left < 0)
        {
            Reason::MissingAtProvider
        } else if open.len() == 1 {
            Reason::TokenCountDifference
        } else {
            Reason::Unexplained
        };
        for item in group {
            let reason = if item.is_covered { Reason::Unexplained } else { reason };
            item.explain(reason, item.left, Evidence::Inferred);
        }
    }
}

/// Gives each part its money. Quantities cost what they cost in the ledger; what the whole costs beyond
/// that is due to the price. The parts' sum is the difference, exactly.
fn row(item: Item, policy: &Policy) -> Option<Row> {
    let Item { key, terms, ledger, billed, mut parts, .. } = item;
    let (cost, quantity) = if ledger.quantity > 0 {
        (ledger.cost, ledger.quantity)
    } else {
        (billed.cost, billed.quantity)
    };
    for part in &mut parts {
        part.amount =
            Amount(cost.0.saturating_mul(part.quantity).checked_div(quantity).unwrap_or_default());
    }
    let difference = billed.cost - ledger.cost;
    let rest = difference - parts.iter().map(|part| part.amount).sum();
    let lines = i128::from(billed.lines);
    let parts_rounded = i128::try_from(parts.len()).unwrap_or(i128::MAX);
    let tolerated = policy.rounding_per_line.0.saturating_mul(lines).saturating_add(parts_rounded);
    let reason = if rest.0.abs() <= tolerated {
        Reason::Rounding
    } else if ledger.quantity > 0 && billed.quantity > 0 {
        Reason::PriceDifference
    } else {
        Reason::Unexplained
    };
    if rest != Amount::ZERO {
        parts.push(Part { amount: rest, ..Part::new(reason, 0, Evidence::Bill) });
    }
    (!parts.is_empty()).then(|| Row {
        day: key.day,
        tenant_id: Some(key.tenant_id),
        principal: None,
        model: Some(key.model),
        class: Some(key.class),
        usage_type: None,
        terms,
        ledger_quantity: ledger.quantity,
        provider_quantity: billed.quantity,
        ledger_cost: ledger.cost,
        provider_cost: billed.cost,
        ledger_unit_price: unit_price(ledger.cost, ledger.quantity),
        provider_unit_price: unit_price(billed.cost, billed.quantity),
        parts,
    })
}

/// What one unit costs on average, in pico-USD, rounded.
fn unit_price(cost: Amount, quantity: i128) -> Option<Amount> {
    (cost.0 + quantity / 2).checked_div(quantity).map(Amount)
}

/// What is on the bill and nobody's, or nothing that could be compared.
fn other_rows(provider: &ProviderSide) -> impl Iterator<Item = Row> + '_ {
    provider.others.iter().filter(|(_, billed)| billed.cost != Amount::ZERO).map(|(key, billed)| {
        Row {
            day: key.day,
            tenant_id: key.tenant_id.clone(),
            principal: key.principal.clone(),
            model: None,
            class: None,
            usage_type: Some(key.usage_type.clone()),
            terms: None,
            ledger_quantity: 0,
            provider_quantity: 0,
            ledger_cost: Amount::ZERO,
            provider_cost: billed.cost,
            ledger_unit_price: None,
            provider_unit_price: None,
            parts: vec![Part { amount: billed.cost, ..Part::new(key.reason, 0, Evidence::Bill) }],
        }
    })
}
