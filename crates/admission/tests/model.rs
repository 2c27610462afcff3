//! Every order of things: calls, settlements, sweeps and changes of limits, interleaved at each access
//! to the ledger, and ended at any of them.
//!
//! The futures of the real [`admit`], [`settle`] and [`sweep`] are polled one at a time, in an order
//! that proptest chooses; to drop one is to kill its function, before or after its last write.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use admission::fakes::{InMemoryLedger, hard};
use admission::{
    Calendar, CallDetail, Counter, Denial, Entitlements, Gate, LimitRule, LimitedCall, Meter,
    MeterLayout, MeterRef, MeterStore, Metric, Minute, Part, Period, Refusal, Reservation, Scope,
    ScopeLimits, SettlementStore, Standing, StoreError, SweepOutcome, TenantLimits, UsageStore,
    Used, admit, settle, sweep,
};
use metering::{
    ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use tenancy::{
    ModelAllowlist, ModelId, Principal, PrincipalKind, PriorityClass, Role, Status, Tenant,
    TenantContext, TenantId, TenantSettings,
};

/// 2026-11-23T12:00:00Z
const NOON: Minute = Minute(29_923_920);

/// How long a function lives, in minutes.
const LIFE: i64 = 15;

const TENANTS: [&str; 2] = ["acme", "globex"];

/// Accesses to the ledger over all histories: how much was interleaved.
static ACCESSES: AtomicU64 = AtomicU64::new(0);

/// A ledger whose every access may be the last of its caller, before it or after it.
struct Stepped {
    ledger: InMemoryLedger,
    /// How many turns of others come before an access, one digit each.
    delays: Mutex<u64>,
    fault: Defect,
}

/// What a careless implementation would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    None,
    /// It looks whether there is room, and then takes it.
    CheckThenAct,
    /// It gives back twice what is delivered twice.
    SettleTwice,
}

/// Lets others have a turn, once or several times.
async fn turn(turns: u64) {
    let mut left = turns;
    std::future::poll_fn(move |_| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

impl Stepped {
    fn delay(&self) -> u64 {
        ACCESSES.fetch_add(1, Ordering::Relaxed);
        let mut delays = self.delays.lock().unwrap();
        *delays =
            delays.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (*delays >> 33) % 3
    }
}

impl MeterStore for Stepped {
    async fn reserve(
        &self,
        context: &TenantContext,
        gate: &Gate,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<Result<Standing, Denial>, StoreError> {
        turn(self.delay()).await;
        if self.fault == Defect::CheckThenAct {
            let seen = self.ledger.all_meters().get(&gate.meter).cloned();
            let seen = seen.unwrap_or_else(|| Meter::new(Status::Active, 0));
            if let Err(denial) = seen.decide(&Calendar::utc(), gate, reservation) {
                return Ok(Err(denial));
            }
            turn(self.delay()).await;
            let unlimited = Gate { caps: vec![], ..gate.clone() };
            return self.ledger.reserve(context, &unlimited, id, reservation).await;
        }
        let answer = self.ledger.reserve(context, gate, id, reservation).await;
        turn(self.delay()).await;
        answer
    }

    async fn put_detail(
        &self,
        context: &TenantContext,
        id: &RecordId,
        detail: &CallDetail,
        deadline_ms: i64,
    ) -> Result<(), StoreError> {
        turn(self.delay()).await;
        self.ledger.put_detail(context, id, detail, deadline_ms).await
    }

    async fn close(
        &self,
        context: &TenantContext,
        meter: &MeterRef,
        id: &RecordId,
        reservation: &Reservation,
        used: Used,
    ) -> Result<(), StoreError> {
        turn(self.delay()).await;
        let answer = self.ledger.close(context, meter, id, reservation, used).await;
        turn(self.delay()).await;
        answer
    }
}

impl UsageStore for Stepped {
    async fn put_record(
        &self,
        context: &TenantContext,
        record: &UsageRecord,
    ) -> Result<bool, StoreError> {
        turn(self.delay()).await;
        let answer = self.ledger.put_record(context, record).await;
        turn(self.delay()).await;
        answer
    }
}

impl SettlementStore for Stepped {
    async fn meters(&self) -> Result<Vec<MeterRef>, StoreError> {
        turn(self.delay()).await;
        self.ledger.meters().await
    }

    async fn meter(&self, meter: &MeterRef) -> Result<Option<Meter>, StoreError> {
        turn(self.delay()).await;
        self.ledger.meter(meter).await
    }

    async fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, StoreError> {
        turn(self.delay()).await;
        self.ledger.record(tenant_id, id).await
    }

    async fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<CallDetail>, StoreError> {
        turn(self.delay()).await;
        self.ledger.detail(tenant_id, id).await
    }

    async fn put_missing_record(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        turn(self.delay()).await;
        let answer = self.ledger.put_missing_record(record).await;
        turn(self.delay()).await;
        answer
    }

    async fn settle(
        &self,
        meter: &MeterRef,
        id: &RecordId,
        used: Used,
    ) -> Result<bool, StoreError> {
        turn(self.delay()).await;
        if self.fault == Defect::SettleTwice
            && let Some(mut found) = self.ledger.all_meters().get(meter).cloned()
            && !found.is_open(id)
        {
            let month = Counter { metric: Metric::Cost, period: Period::Total };
            found.counters.set(month, found.counters.get(month).saturating_add(used.amount.0));
            self.ledger.set_meter(meter.clone(), found);
        }
        let answer = self.ledger.settle(meter, id, used).await;
        turn(self.delay()).await;
        answer
    }
}

fn context(tenant: &str) -> TenantContext {
    TenantContext {
        tenant_id: tenant.parse().unwrap(),
        lob_id: "retail".parse().unwrap(),
        principal: Principal {
            id: "dev-1".to_owned().try_into().unwrap(),
            kind: PrincipalKind::User,
        },
        roles: [Role::Developer].into(),
        scopes: [].into(),
    }
}

/// The limits of one version: the tenant's, the line of business' in three shards, the organisation's.
fn entitlements(tenant: &str, version: u64, sizes: [u64; 3]) -> Entitlements {
    let rules = |size: u64| -> Vec<LimitRule> {
        vec![
            hard(Metric::Requests, Period::Minute, 6),
            hard(Metric::TotalTokens, Period::Day, 20 * size),
            hard(Metric::Cost, Period::Month, 40 * size),
            hard(Metric::Cost, Period::Total, 100 * size),
        ]
    };
    let sharded = MeterLayout { epoch: 1, shards: 3 };
    Entitlements {
        tenant: Tenant {
            tenant_id: tenant.parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            status: Status::Active,
            models: ModelAllowlist::default(),
            default_max_tokens: None,
            settings: TenantSettings::default(),
            projects: BTreeMap::new(),
            tags: BTreeMap::new(),
            entitlement_version: version,
        },
        lob_status: Status::Active,
        limits: TenantLimits {
            tenant: ScopeLimits { limits: rules(sizes[0]), meter_layout: MeterLayout::default() },
            each_principal_limits: vec![hard(Metric::Cost, Period::Week, 30 * sizes[0])],
            ..TenantLimits::default()
        },
        lob: ScopeLimits { limits: rules(2 * sizes[1]), meter_layout: sharded },
        org: ScopeLimits { limits: rules(2 * sizes[2]), meter_layout: MeterLayout::default() },
    }
}

fn record(
    context: &TenantContext,
    id: &RecordId,
    open: &Reservation,
    share: u64,
    held: Vec<String>,
) -> UsageRecord {
    let part = |amount: u64| amount * share / 100;
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        id: id.clone(),
        tenant_id: context.tenant_id.clone(),
        lob_id: context.lob_id.clone(),
        principal_id: context.principal.id.clone(),
        principal_kind: PrincipalKind::User,
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: PriorityClass::Standard,
        started_ms: open.minute.start_ms(),
        dialect: "openai.chat_completions".to_owned(),
        choice: ModelChoice::of("model-a".parse().unwrap()),
        provider_model_id: "vendor.model-a".to_owned(),
        provider: "aws.bedrock".to_owned(),
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::InRegion,
        service_tier: ServiceTier::Default,
        provider_request_id: None,
        is_streamed: false,
        is_cache_hit: false,
        usage: TokenUsage {
            input: part(open.input_tokens),
            output: part(open.output_tokens),
            ..TokenUsage::default()
        },
        is_estimated: false,
        price_version: "2026-11".to_owned(),
        is_priced: true,
        cost_nanousd: NanoUsd(part(open.amount_nanousd.0)),
        uncached_cost_nanousd: NanoUsd(0),
        reserved_nanousd: open.amount_nanousd,
        outcome: Outcome::Completed,
        latency_ms: 1,
        time_to_first_token_ms: None,
        gateway_ms: 1,
        meters: held,
        shadow_of: None,
    }
}

fn detail(context: &TenantContext, minute: Minute) -> CallDetail {
    CallDetail {
        scopes: 0,
        lob_id: context.lob_id.clone(),
        principal_id: context.principal.id.clone(),
        principal_kind: PrincipalKind::User,
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: PriorityClass::Standard,
        choice: ModelChoice::of("model-a".parse().unwrap()),
        provider_model_id: "vendor.model-a".to_owned(),
        provider: "aws.bedrock".to_owned(),
        dialect: "openai.chat_completions".to_owned(),
        is_streamed: false,
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::InRegion,
        service_tier: ServiceTier::Default,
        price_version: "2026-11".to_owned(),
        is_priced: true,
        images: 0,
        search_units: 0,
        guardrail_units: 0,
        started_ms: minute.start_ms(),
        shadow_of: None,
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A client calls; `stale` callers go by the limits before the last change.
    Call {
        tenant: usize,
        amount: u64,
        tokens: u64,
        share: u64,
        skew: i64,
        stale: bool,
    },
    /// One of the running functions gets so many turns.
    Run {
        which: usize,
        turns: u8,
    },
    /// One of them is killed.
    Kill {
        which: usize,
    },
    /// The stream delivers a record, once more perhaps.
    Deliver {
        which: usize,
    },
    /// The schedule comes.
    Sweep,
    Wait {
        minutes: i64,
    },
    /// An administrator changes limits.
    Change {
        sizes: [u64; 3],
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize, 1..60u64, 2..40u64, 0..=100u64, -1..=0i64, any::<bool>()).prop_map(
            |(tenant, amount, tokens, share, skew, stale)| Step::Call { tenant, amount, tokens, share, skew, stale }),
        20 => (any::<usize>(), 1..6u8).prop_map(|(which, turns)| Step::Run { which, turns }),
        2 => any::<usize>().prop_map(|which| Step::Kill { which }),
        3 => any::<usize>().prop_map(|which| Step::Deliver { which }),
        1 => Just(Step::Sweep),
        2 => prop_oneof![3 => Just(1i64), 2 => Just(17), 1 => Just(60), 1 => Just(1_440), 1 => Just(9 * 1_440)]
            .prop_map(|minutes| Step::Wait { minutes }),
        1 => prop::array::uniform3(1..8u64).prop_map(|sizes| Step::Change { sizes }),
    ]
}

/// A function that runs: its future, and until when it may live.
struct Running<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    until: Minute,
    /// The limits that it goes by.
    sizes: [u64; 3],
}

/// What of the world is not in the ledger.
struct World {
    /// Each version of the limits, the current one last.
    versions: RefCell<Vec<[u64; 3]>>,
    /// Calls whose provider was called.
    ran: RefCell<Vec<(TenantId, RecordId)>>,
    /// Calls that were admitted.
    admitted: Cell<u64>,
}

async fn call(
    store: &Stepped,
    world: &World,
    (tenant, version, sizes): (&'static str, u64, [u64; 3]),
    id: RecordId,
    (reservation, share): (Reservation, u64),
) {
    let context = context(tenant);
    let (model, family): (ModelId, ModelId) =
        ("model-a".parse().unwrap(), "vendor".parse().unwrap());
    let facts = LimitedCall {
        model: &model,
        family: &family,
        priority_class: PriorityClass::Standard,
        now_ms: reservation.minute.start_ms(),
    };
    let scopes =
        entitlements(tenant, version, sizes).scopes_of(&context.principal.id, None, &facts);
    let detail = detail(&context, reservation.minute);
    let admitted = match admit(store, &context, scopes, &id, &reservation, &detail).await {
        Ok(admitted) => admitted,
        Err(Refusal::Denied { .. }) => return,
        Err(Refusal::Store(error)) => panic!("{error}"),
    };
    world.admitted.set(world.admitted.get() + 1);
    turn(1).await;
    world.ran.borrow_mut().push((context.tenant_id.clone(), id.clone()));
    turn(2).await;
    let held = admitted.held.iter().map(ToString::to_string).collect();
    let record = record(&context, &id, &reservation, share, held);
    assert!(
        store.put_record(&context, &record).await.unwrap(),
        "nobody else writes a living call's record"
    );
}

/// What a meter may count at most, going by limits of these sizes.
fn shares(meter: &MeterRef, sizes: [u64; 3]) -> Vec<(Counter, u64)> {
    let of = entitlements("acme", 0, sizes);
    let (rules, shards) = match meter.scope {
        Scope::Org => (of.org.limits, 1),
        Scope::Lob(_) => (of.lob.limits, 3),
        Scope::Tenant(_) => (of.limits.tenant.limits, 1),
        _ => (of.limits.each_principal_limits, 1),
    };
    let number = u64::from(meter.shard.number);
    let share = |size: u64| size / shards + u64::from(number < size % shards);
    rules.iter().map(|rule| (rule.counter().unwrap(), share(rule.amount))).collect()
}

/// No meter counts more than its share of any limit that somebody goes by, unless it did before.
fn check(
    before: &BTreeMap<MeterRef, Meter>,
    after: &BTreeMap<MeterRef, Meter>,
    sizes: &[[u64; 3]],
) -> Result<(), TestCaseError> {
    for (meter_ref, meter) in after {
        let earlier = before.get(meter_ref);
        if earlier == Some(meter) {
            continue;
        }
        let mut most: BTreeMap<Counter, u64> = BTreeMap::new();
        for (counter, share) in sizes.iter().flat_map(|sizes| shares(meter_ref, *sizes)) {
            let most = most.entry(counter).or_default();
            *most = share.max(*most);
        }
        for (counter, share) in most {
            let count = meter.counters.get(counter);
            let was = earlier.map_or(0, |earlier| earlier.counters.get(counter));
            prop_assert!(
                count <= share || count <= was,
                "{meter_ref} counts {count} of {share} in {}",
                counter.attribute()
            );
            let open = meter.reserved(&Calendar::utc(), counter);
            prop_assert!(open <= count, "{meter_ref}: {open} open of {count}");
        }
    }
    Ok(())
}

fn poll(running: &mut Running<'_>) -> bool {
    running.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn finish(future: impl Future<Output = ()>) {
    let mut future = Box::pin(future);
    while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

/// Runs one history to its end; what was admitted.
fn history(steps: Vec<Step>, seed: u64, fault: Defect) -> Result<u64, TestCaseError> {
    let meters = TENANTS
        .map(|tenant| (Scope::Tenant(tenant.parse().unwrap()), Meter::new(Status::Active, 1)));
    let ledger = InMemoryLedger::with_meters(meters);
    let store = Stepped { ledger, delays: Mutex::new(seed), fault };
    let world = World {
        versions: RefCell::new(vec![[4, 4, 4]]),
        ran: RefCell::default(),
        admitted: Cell::new(0),
    };
    let (store, world) = (&store, &world);
    let (mut running, mut now): (Vec<Running<'_>>, Minute) = (Vec::new(), NOON);
    let calls = Rc::new(Cell::new(0u32));

    for step in steps {
        let before = store.ledger.all_meters();
        match step {
            Step::Call { tenant, amount, tokens, share, skew, stale } => {
                let versions = world.versions.borrow();
                let back = usize::from(stale && versions.len() > 1);
                let version = versions.len() - back;
                let sizes = versions[version - 1];
                calls.set(calls.get() + 1);
                let id = RecordId {
                    call_id: format!("{:x}", calls.get() / 2),
                    attempt: 1 + calls.get() % 2,
                };
                let reservation = Reservation {
                    tenant_id: TENANTS[tenant].parse().unwrap(),
                    amount_nanousd: NanoUsd(amount),
                    input_tokens: tokens / 2,
                    output_tokens: tokens - tokens / 2,
                    requests: u32::from(id.attempt == 1),
                    minute: Minute(now.0 + skew),
                    deadline_ms: Minute(now.0 + LIFE).start_ms(),
                    part: Part::WHOLE,
                };
                let version = (TENANTS[tenant], u64::try_from(version).unwrap(), sizes);
                let future = Box::pin(call(store, world, version, id, (reservation, share)));
                running.push(Running { future, until: Minute(now.0 + LIFE), sizes });
            }
            Step::Run { which, turns } => {
                if running.is_empty() {
                    continue;
                }
                let which = which % running.len();
                for _ in 0..turns {
                    if poll(&mut running[which]) {
                        drop(running.swap_remove(which));
                        break;
                    }
                }
            }
            Step::Kill { which } => {
                if !running.is_empty() {
                    drop(running.swap_remove(which % running.len()));
                }
            }
            Step::Deliver { which } => {
                let records = store.ledger.all_records();
                if let Some(record) = records.get(which % records.len().max(1)).cloned() {
                    let future = Box::pin(async move { settle(store, &record).await.unwrap() });
                    let sizes = *world.versions.borrow().last().unwrap();
                    running.push(Running { future, until: Minute(now.0 + LIFE), sizes });
                }
            }
            Step::Sweep => {
                let now_ms = now.start_ms();
                let future = Box::pin(async move { _ = sweep(store, now_ms).await.unwrap() });
                let sizes = *world.versions.borrow().last().unwrap();
                running.push(Running { future, until: Minute(now.0 + LIFE), sizes });
            }
            Step::Wait { minutes } => {
                now = Minute(now.0 + minutes);
                // No function lives longer; a minute of grace is for clocks that differ.
                running.retain(|it| it.until >= now);
            }
            Step::Change { sizes } => {
                world.versions.borrow_mut().push(sizes);
                let version = u64::try_from(world.versions.borrow().len()).unwrap();
                for tenant in TENANTS {
                    let scope = Scope::Tenant(tenant.parse().unwrap());
                    store.ledger.update_meter(&scope, |meter| meter.entitlement_version = version);
                }
            }
        }
        let mut sizes: Vec<_> = running.iter().map(|it| it.sizes).collect();
        sizes.push(*world.versions.borrow().last().unwrap());
        // Who was admitted before a change, or is being admitted, goes by what held before it.
        sizes.extend(world.versions.borrow().iter().rev().nth(1));
        sizes.sort_unstable();
        sizes.dedup();
        check(&before, &store.ledger.all_meters(), &sizes)?;
    }

    running.clear();
    come_to_rest(store, world, now)?;
    Ok(world.admitted.get())
}

/// Lets the sweep do what is left to do, and adds everything up.
fn come_to_rest(store: &Stepped, world: &World, now: Minute) -> Result<(), TestCaseError> {
    let end = Minute(now.0 + LIFE + 2).start_ms();
    let mut rounds = 0;
    loop {
        let outcome = Cell::new(SweepOutcome::default());
        finish(async { outcome.set(sweep(store, end).await.unwrap()) });
        if outcome.get() == SweepOutcome::default() {
            break;
        }
        rounds += 1;
        prop_assert!(rounds < 5, "the sweep does not come to an end");
    }
    let records = store.ledger.all_records();
    for record in &records {
        finish(async { settle(store, record).await.unwrap() });
    }
    for (tenant, id) in world.ran.borrow().iter() {
        let count = records.iter().filter(|it| it.tenant_id == *tenant && it.id == *id).count();
        prop_assert_eq!(count, 1, "the provider was called for {} of {}", id, tenant);
    }
    let total = Counter { metric: Metric::Cost, period: Period::Total };
    let mut counted: BTreeMap<Scope, u64> = BTreeMap::new();
    for (meter_ref, meter) in store.ledger.all_meters() {
        prop_assert!(meter.open.is_empty(), "{} has open calls", meter_ref);
        *counted.entry(meter_ref.scope).or_default() += meter.counters.get(total);
    }
    for (scope, counted) in counted {
        let is_of =
            |record: &&UsageRecord| scope.tenant_id().is_none_or(|id| *id == record.tenant_id);
        let spent: u64 = records.iter().filter(is_of).map(|it| it.cost_nanousd.0).sum();
        prop_assert_eq!(counted, spent, "what {} counts is what its records say", scope);
    }
    Ok(())
}

fn histories() -> impl Strategy<Value = (Vec<Step>, u64)> {
    (prop::collection::vec(step(), 1..160), any::<u64>())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// How many histories; a longer run asks for more by `WEIR_HISTORIES`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn cases() -> u32 {
    std::env::var("WEIR_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

#[test]
fn no_order_of_things_overruns_a_limit_loses_a_call_or_counts_one_twice() {
    let admitted = AtomicU64::new(0);
    let ran = runner(cases()).run(&histories(), |(steps, seed)| {
        admitted.fetch_add(history(steps, seed, Defect::None)?, Ordering::Relaxed);
        Ok(())
    });
    ran.expect("every history ends well");
    let (admitted, accesses) = (admitted.into_inner(), ACCESSES.load(Ordering::Relaxed));
    eprintln!("{} histories, {admitted} admitted calls, {accesses} interleaved accesses", cases());
    assert!(admitted > u64::from(cases()), "the histories admit calls at all");
}

#[test]
fn what_a_careless_implementation_would_do_is_found() {
    for fault in [Defect::CheckThenAct, Defect::SettleTwice] {
        let ran = runner(2_000)
            .run(&histories(), |(steps, seed)| history(steps, seed, fault).map(|_| ()));
        assert!(matches!(ran, Err(TestError::Fail(..))), "{fault:?} goes unnoticed");
    }
}
