//! Record by record: which logged invocation is which usage record.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use metering::UsageRecord;
use tenancy::TenantId;

use crate::caller::{Caller, Gateway};
use crate::class::{Terms, TokenClass, base_model, quantities};
use crate::invocation::{Invocation, LoggedTokens};
use crate::ledger::{PROVIDER, called_at};
use crate::policy::{Policy, Reason, day_of};

/// What was found, by whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey {
    /// The day of the ledger or, for what it does not have, of the log.
    pub day: Date,
    /// The tenant; none for callers that are no tenants.
    pub tenant_id: Option<TenantId>,
    /// The foundation model's id.
    pub model: String,
    /// On what terms.
    pub terms: Terms,
    /// What is the matter.
    pub reason: Reason,
}

/// Findings of one kind, together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fact {
    /// What the provider has more than the ledger, by class.
    pub quantities: BTreeMap<TokenClass, i128>,
    /// Calls.
    pub calls: u64,
    /// Some of them: ids of requests or, for records without one, of records.
    pub samples: Vec<String>,
}

/// What matching found.
#[derive(Debug, Clone, Default)]
pub struct Matches {
    /// The findings.
    pub facts: BTreeMap<FactKey, Fact>,
    /// Records and invocations that agree in everything, by the record's day.
    pub matched: BTreeMap<Date, u64>,
    /// Lines that were logged more than once, which is the log's matter and nobody's money.
    pub logged_again: u64,
    /// Days and Regions that there is a log of: only there is what was not found missing.
    pub covered: BTreeSet<(Date, String)>,
}

/// A record, as far as matching needs it.
struct Recorded {
    tenant_id: TenantId,
    model: String,
    terms: Terms,
    at: Timestamp,
    quantities: BTreeMap<TokenClass, i128>,
    is_estimated: bool,
    name: String,
}

impl Recorded {
    fn new(record: &UsageRecord) -> Self {
        Self {
            tenant_id: record.tenant_id.clone(),
            model: base_model(&record.provider_model_id).to_owned(),
            terms: Terms::new(&record.region, record.service_tier, record.profile_scope),
            at: called_at(record),
            quantities: quantities(&record.usage)
                .map(|(class, quantity)| (class, quantity.into()))
                .collect(),
            is_estimated: record.is_estimated,
            name: record.id.to_string(),
        }
    }

    fn key(&self, reason: Reason) -> FactKey {
        FactKey {
            day: day_of(self.at),
            tenant_id: Some(self.tenant_id.clone()),
            model: self.model.clone(),
            terms: self.terms.clone(),
            reason,
        }
    }

    /// What `logged` has more, by class. A log knows fewer classes: what it adds up is compared as a sum, and
    /// the difference is that of the class which the record has.
    fn surplus(&self, logged: &LoggedTokens) -> BTreeMap<TokenClass, i128> {
        use TokenClass::{
            CacheRead, CacheWrite1h, CacheWrite5m, Input, InputAudio, Output, OutputAudio,
        };
        let has = |class| self.quantities.get(&class).copied().unwrap_or_default();
        [
            (logged.input, Input, InputAudio),
            (logged.output, Output, OutputAudio),
            (logged.cache_read, CacheRead, CacheRead),
            (logged.cache_write, CacheWrite5m, CacheWrite1h),
        ]
        .into_iter()
        .filter_map(|(logged, first, second)| {
            let recorded = if first == second { has(first) } else { has(first) + has(second) };
            let class = if has(first) == 0 && has(second) > 0 { second } else { first };
            let surplus = i128::from(logged) - recorded;
            (surplus != 0).then_some((class, surplus))
        })
        .collect()
    }
}

/// Matches records with invocations, in any order within a few hours.
pub struct Matcher {
    gateway: Gateway,
    policy: Policy,
    records: HashMap<String, Recorded>,
    /// Records that never learned their request's id.
    nameless: Vec<Recorded>,
    invocations: HashMap<String, Invocation>,
    /// Requests that were matched, so that their repetitions are known.
    done: HashMap<String, Timestamp>,
    found: Matches,
}

impl Matcher {
    /// For calls through `gateway`.
    pub fn new(gateway: Gateway, policy: Policy) -> Self {
        Self {
            gateway,
            policy,
            records: HashMap::new(),
            nameless: Vec::new(),
            invocations: HashMap::new(),
            done: HashMap::new(),
            found: Matches::default(),
        }
    }

    /// Adds a record. Calls that consumed nothing, which the provider may have refused unlogged, have
    /// nothing to be compared.
    pub fn add_record(&mut self, record: &UsageRecord) {
        if record.provider != PROVIDER || record.is_cache_hit {
            return;
        }
        let recorded = Recorded::new(record);
        let Some(request_id) = &record.provider_request_id else {
            if !recorded.quantities.is_empty() {
                self.nameless.push(recorded);
            }
            return;
        };
        if self.done.contains_key(request_id) || self.records.contains_key(request_id) {
            self.duplicate(&recorded);
        } else if let Some(invocation) = self.invocations.remove(request_id) {
            self.pair(&recorded, &invocation);
        } else {
            self.records.insert(request_id.clone(), recorded);
        }
    }

    /// Adds an invocation.
    pub fn add_invocation(&mut self, invocation: Invocation) {
        let covered = (day_of(invocation.at), invocation.terms.region.clone());
        self.found.covered.insert(covered);
        let id = &invocation.request_id;
        if self.done.contains_key(id) || self.invocations.contains_key(id) {
            self.found.logged_again += 1;
        } else if let Some(recorded) = self.records.remove(id) {
            self.pair(&recorded, &invocation);
        } else {
            self.invocations.insert(id.clone(), invocation);
        }
    }

    /// Says that nothing older than `before` follows on either side, so that memory holds only what is
    /// younger by less than a call may run.
    pub fn advance(&mut self, before: Timestamp) {
        let margin = i64::from(self.policy.longest_call_s).seconds();
        let Ok(limit) = before.checked_sub(margin) else { return };
        self.settle(limit);
    }

    /// Nothing follows.
    pub fn finish(mut self) -> Matches {
        self.settle(Timestamp::MAX);
        self.found
    }

    /// Decides about everything older than `limit`.
    fn settle(&mut self, limit: Timestamp) {
        let mut invocations: Vec<_> = self
            .invocations
            .extract_if(|_, invocation| invocation.at < limit)
            .map(|(_, it)| it)
            .collect();
        invocations.sort_by(|a, b| (a.at, &a.request_id).cmp(&(b.at, &b.request_id)));
        self.nameless.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        for invocation in invocations {
            self.unmatched(&invocation);
        }
        let (old, young) =
            std::mem::take(&mut self.nameless).into_iter().partition(|it| it.at < limit);
        self.nameless = young;
        let old: Vec<Recorded> = old;
        let named = self.records.extract_if(|_, recorded| recorded.at < limit);
        let named: Vec<_> = named.map(|(id, recorded)| (recorded, id)).collect();
        let nameless = old.into_iter().map(|recorded| {
            let name = recorded.name.clone();
            (recorded, name)
        });
        for (recorded, id) in nameless.chain(named) {
            if self.found.covered.contains(&(day_of(recorded.at), recorded.terms.region.clone())) {
                let reason = if recorded.is_estimated {
                    Reason::EstimatedRecords
                } else {
                    Reason::MissingAtProvider
                };
                let missing =
                    recorded.quantities.iter().map(|(class, had)| (*class, -had)).collect();
                self.note(recorded.key(reason), missing, &id);
            }
        }
        self.done.retain(|_, at| *at >= limit);
    }

    /// An invocation whose request id no record has: one of the estimated records that know none, of the
    /// same tenant and model at about that time, or missing.
    fn unmatched(&mut self, invocation: &Invocation) {
        let caller = self.gateway.caller(Some(&invocation.principal), &BTreeMap::new());
        let Caller::Tenant(tenant_id) = caller else {
            self.missing(invocation, None, Reason::UnknownCaller);
            return;
        };
        let longest = i64::from(self.policy.longest_call_s);
        let position = self.nameless.iter().position(|recorded| {
            (recorded.is_estimated || recorded.surplus(&invocation.tokens).is_empty())
                && recorded.tenant_id == tenant_id
                && recorded.model == invocation.model
                && recorded.terms.region == invocation.terms.region
                && invocation.at.duration_since(recorded.at).as_secs().abs() <= longest
        });
        match position {
            Some(position) => {
                let recorded = self.nameless.remove(position);
                self.pair(&recorded, invocation);
            }
            None => self.missing(invocation, Some(tenant_id), Reason::MissingInLedger),
        }
    }

    fn missing(&mut self, invocation: &Invocation, tenant_id: Option<TenantId>, reason: Reason) {
        let LoggedTokens { input, output, cache_read, cache_write } = invocation.tokens;
        let quantities = [
            (TokenClass::Input, input),
            (TokenClass::Output, output),
            (TokenClass::CacheRead, cache_read),
            (TokenClass::CacheWrite5m, cache_write),
        ];
        let quantities: BTreeMap<_, _> = quantities
            .into_iter()
            .filter(|(_, quantity)| *quantity > 0)
            .map(|(class, quantity)| (class, i128::from(quantity)))
            .collect();
        if quantities.is_empty() {
            return; // Refused: nothing ran, nothing is billed.
        }
        let key = FactKey {
            day: day_of(invocation.at),
            tenant_id,
            model: invocation.model.clone(),
            terms: invocation.terms.clone(),
            reason,
        };
        self.note(key, quantities, &invocation.request_id);
    }

    fn pair(&mut self, recorded: &Recorded, invocation: &Invocation) {
        self.done.insert(invocation.request_id.clone(), invocation.at);
        let surplus = recorded.surplus(&invocation.tokens);
        if surplus.is_empty() {
            *self.found.matched.entry(day_of(recorded.at)).or_default() += 1;
        } else {
            let reason = if recorded.is_estimated {
                Reason::EstimatedRecords
            } else {
                Reason::TokenCountDifference
            };
            self.note(recorded.key(reason), surplus, &invocation.request_id);
        }
    }

    fn duplicate(&mut self, recorded: &Recorded) {
        let twice = recorded.quantities.iter().map(|(class, had)| (*class, -had)).collect();
        self.note(recorded.key(Reason::Duplicate), twice, &recorded.name);
    }

    fn note(&mut self, key: FactKey, quantities: BTreeMap<TokenClass, i128>, sample: &str) {
        if quantities.is_empty() {
            return;
        }
        let fact = self.found.facts.entry(key).or_default();
        for (class, quantity) in quantities {
            *fact.quantities.entry(class).or_default() += quantity;
        }
        fact.calls += 1;
        if fact.samples.len() < self.policy.samples {
            fact.samples.push(sample.to_owned());
        }
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
