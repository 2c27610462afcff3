//! What goes wrong.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How one call of a port goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and it says so.
    Fails,
    /// As [`Fault::Fails`], and so does every later call of that operation until it is healed.
    FailsForEver,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// Nothing is done, and the caller dies waiting.
    DiesBefore,
    /// It is done, and the caller dies waiting for the answer.
    DiesAfter,
}

impl Fault {
    /// Every way.
    pub const ALL: [Self; 5] =
        [Self::Fails, Self::FailsForEver, Self::AnswerLost, Self::DiesBefore, Self::DiesAfter];
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    plan: Option<(usize, Fault)>,
    broken: Option<&'static str>,
}

/// Counts calls of ports, and makes one of them go wrong.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    /// Told when a caller is to die.
    pub deaths: tokio::sync::Notify,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that were made, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// Lets the call of that number, from 0 on, go wrong.
    pub fn plan(&self, call: usize, fault: Fault) {
        self.lock().plan = Some((call, fault));
    }

    /// Lets everything work from now on.
    pub fn heal(&self) {
        let mut state = self.lock();
        (state.plan, state.broken) = (None, None);
    }

    /// Makes a call, or what is to become of it.
    ///
    /// # Errors
    /// That of the call, or the planned one.
    pub async fn call<T, E>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
        error: impl FnOnce(&'static str) -> E,
    ) -> Result<T, E> {
        let fault = {
            let mut state = self.lock();
            let number = state.calls.len();
            state.calls.push(operation);
            let planned = state.plan.filter(|(call, _)| *call == number).map(|(_, fault)| fault);
            if planned == Some(Fault::FailsForEver) {
                state.broken = Some(operation);
            }
            if state.broken == Some(operation) { Some(Fault::Fails) } else { planned }
        };
        match fault {
            None => work.await,
            Some(Fault::Fails | Fault::FailsForEver) => Err(error(operation)),
            Some(Fault::AnswerLost) => {
                work.await?;
                Err(error(operation))
            }
            Some(Fault::DiesBefore) => self.die().await,
            Some(Fault::DiesAfter) => {
                work.await?;
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.deaths.notify_one();
        pending().await
    }
}
