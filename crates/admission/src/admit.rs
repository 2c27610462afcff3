//! One provider call against all the scopes that it counts in.

use futures::future::join_all;
use metering::RecordId;
use tenancy::TenantContext;

use crate::{Denial, LimitedScope, MeterStore, Reservation, Scope, Standing, StoreError};

/// A call that may be made: every scope has set its estimate aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Each scope with what is used of it now, in the order given.
    pub standings: Vec<(LimitedScope, Standing)>,
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

/// Reserves for one provider call in every scope, or in none.
///
/// Each attempt of a client's call has a reservation of its own, for what it can cost by itself: an
/// earlier attempt may have run although its answer was lost. Only the first counts as a request
/// ([`Reservation::requests`]).
///
/// The scopes are asked at the same time. If one refuses, the others give back what they set aside;
/// should that fail, the sweep finds the reservation without its twin and gives it back later.
///
/// # Errors
/// The first refusal, in the order of `scopes`: a denial before a store that failed.
pub async fn admit(
    store: &impl MeterStore,
    context: &TenantContext,
    scopes: Vec<LimitedScope>,
    id: &RecordId,
    reservation: &Reservation,
) -> Result<Admitted, Refusal> {
    let shared = Reservation { detail: None, ..reservation.clone() };
    let answers = join_all(scopes.iter().map(|scope| {
        let reservation =
            if matches!(scope.scope, Scope::Tenant(_)) { reservation } else { &shared };
        store.reserve(context, scope, id, reservation)
    }))
    .await;

    let (mut standings, mut denied, mut failed, mut to_release) =
        (Vec::new(), None, None, Vec::new());
    for (scope, answer) in scopes.into_iter().zip(answers) {
        match answer {
            Ok(Ok(standing)) => standings.push((scope, standing)),
            Ok(Err(denial)) => {
                denied.get_or_insert((scope.scope, denial));
            }
            Err(error) => {
                // The write may have happened although its answer was lost.
                to_release.push(scope.scope);
                failed.get_or_insert(error);
            }
        }
    }
    let refusal = match (denied, failed) {
        (None, None) => return Ok(Admitted { standings }),
        (Some((scope, denial)), _) => Refusal::Denied { scope, denial },
        (None, Some(error)) => Refusal::Store(error),
    };
    to_release.extend(standings.into_iter().map(|(scope, _)| scope.scope));
    join_all(to_release.iter().map(|scope| store.release(context, scope, id, reservation))).await;
    Err(refusal)
}
