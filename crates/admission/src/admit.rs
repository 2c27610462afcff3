//! One provider call against all the scopes that it counts in.

use futures::future::{join, join_all};
use metering::RecordId;
use tenancy::TenantContext;

use crate::{
    CallDetail, Denial, Held, LimitedScope, MeterStore, Part, Reservation, Scope, Standing,
    StoreError, Used,
};

/// Shards that a call looks at before it is refused. Calls are spread evenly, so that shards fill up
/// together, and a few looks find what room there is.
const SHARDS_TRIED: u16 = 4;

/// A call that may be made: every scope has set its estimate aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Each scope with what is used of it now, in the order given.
    pub standings: Vec<(LimitedScope, Standing)>,
    /// Each meter that holds a part of the reservation.
    pub held: Vec<Held>,
}

/// Why a call was not admitted.
#[derive(Debug)]
pub enum Refusal {
    /// A scope says no.
    Denied {
        /// Which one.
        scope: Scope,
        /// Why.
        denial: Denial,
    },
    /// A scope could not be asked.
    Store(StoreError),
}

/// What came of asking one scope.
struct Asked {
    answer: Result<Standing, Refusal>,
    /// What it holds now, or may hold although an answer was lost.
    held: Vec<Held>,
}

/// Reserves for one provider call in every scope, or in none.
///
/// Each attempt of a client's call has a reservation of its own, for what it can cost by itself: an
/// earlier attempt may have run although its answer was lost. Only the first counts as a request
/// ([`Reservation::requests`]).
///
/// The scopes are asked at the same time. If one refuses, the others give back what they set aside;
/// should that fail, the sweep finds the reservation without its twins and gives it back later.
///
/// # Errors
/// The first refusal, in the order of `scopes`: a denial before a store that failed.
pub async fn admit(
    store: &impl MeterStore,
    context: &TenantContext,
    scopes: Vec<LimitedScope>,
    id: &RecordId,
    reservation: &Reservation,
    detail: &CallDetail,
) -> Result<Admitted, Refusal> {
    let count = u16::try_from(scopes.len()).unwrap_or(u16::MAX);
    let detail = CallDetail { scopes: count, ..detail.clone() };
    let (answers, noted) = join(
        join_all(scopes.iter().map(|scope| ask(store, context, scope, id, reservation))),
        store.put_detail(context, id, &detail, reservation.deadline_ms),
    )
    .await;

    let (mut standings, mut held) = (Vec::new(), Vec::new());
    let (mut denied, mut failed) = (None, noted.err().map(Refusal::Store));
    for (scope, asked) in scopes.into_iter().zip(answers) {
        held.extend(asked.held);
        match asked.answer {
            Ok(standing) => standings.push((scope, standing)),
            Err(refusal @ Refusal::Denied { .. }) => _ = denied.get_or_insert(refusal),
            Err(refusal) => _ = failed.get_or_insert(refusal),
        }
    }
    let Some(refusal) = denied.or(failed) else { return Ok(Admitted { standings, held }) };
    give_back(store, context, &held, id, reservation).await;
    Err(refusal)
}

/// Gives back what `held` meters set aside. What cannot be given back now, the sweep finds later.
async fn give_back(
    store: &impl MeterStore,
    context: &TenantContext,
    held: &[Held],
    id: &RecordId,
    reservation: &Reservation,
) {
    join_all(held.iter().map(async |held| {
        let part = reservation.part(held.part);
        store.close(context, &held.meter, id, &part, Used::NOTHING).await
    }))
    .await;
}

/// Asks one scope: one shard after the other until one has room, or, for a call that is larger than
/// a shard's share, all of them for a part of it.
async fn ask(
    store: &impl MeterStore,
    context: &TenantContext,
    scope: &LimitedScope,
    id: &RecordId,
    reservation: &Reservation,
) -> Asked {
    let (shards, first) = (scope.layout.shards.max(1), scope.first_shard(id));
    let mut asked = Asked { answer: Ok(Standing::default()), held: Vec::new() };
    for step in 0..shards.min(SHARDS_TRIED) {
        let gate = scope.gate((first + step) % shards);
        let held = Held { meter: gate.meter.clone(), part: Part::WHOLE };
        match store.reserve(context, &gate, id, reservation).await {
            Ok(Ok(standing)) => {
                return Asked { answer: Ok(standing), held: vec![held] };
            }
            Ok(Err(denial)) => {
                let is_limit = matches!(denial, Denial::Exceeded { .. });
                let exceeds_share = matches!(&denial, Denial::Exceeded { cap, requested, .. }
                    if *requested > cap.allowed && *requested <= cap.whole);
                asked.answer = Err(Refusal::Denied { scope: scope.scope.clone(), denial });
                if exceeds_share {
                    return spread(store, context, scope, id, reservation).await;
                }
                if !is_limit {
                    return asked;
                }
            }
            Err(error) => {
                // The write may have happened although its answer was lost.
                return Asked { answer: Err(Refusal::Store(error)), held: vec![held] };
            }
        }
    }
    asked
}

/// Takes a part of a large call from every shard.
async fn spread(
    store: &impl MeterStore,
    context: &TenantContext,
    scope: &LimitedScope,
    id: &RecordId,
    reservation: &Reservation,
) -> Asked {
    let of = scope.layout.shards;
    let answers = join_all((0..of).map(async |index| {
        let (gate, part) = (scope.gate(index), Part { index, of });
        let answer = store.reserve(context, &gate, id, &reservation.part(part)).await;
        (Held { meter: gate.meter, part }, answer)
    }))
    .await;
    let mut asked = Asked { answer: Ok(Standing::default()), held: Vec::new() };
    for (held, answer) in answers {
        match answer {
            Ok(Ok(standing)) => {
                asked.held.push(held);
                if let Ok(first) = &mut asked.answer {
                    *first = standing;
                }
            }
            Ok(Err(denial)) => {
                asked.answer = Err(Refusal::Denied { scope: scope.scope.clone(), denial });
            }
            Err(error) => {
                asked.held.push(held);
                if asked.answer.is_ok() {
                    asked.answer = Err(Refusal::Store(error));
                }
            }
        }
    }
    asked
}
