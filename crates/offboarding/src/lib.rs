//! The end of a tenant: nobody is let in any more, what runs ends, what was used is billed, what is
//! not to be kept is deleted, and what was done is written down and signed.
//!
//! Each [`Step`] can be killed anywhere and run again. Until [`Step::Purge`] begins everything can be
//! given back ([`undo`]). What is deleted and what is kept says one table, [`RULES`]; what there is is
//! found by listing, and what no rule claims stops the off-boarding (`docs/offboarding.md`).

mod class;
mod drain;
mod error;
mod evidence;
mod export;
#[cfg(feature = "fakes")]
pub mod fakes;
mod inventory;
mod job;
mod members;
mod naming;
mod papers;
mod port;
mod purge;
mod revoke;
mod statement;

pub use class::{Class, RULES, Rule, Unclaimed, classify};
pub use error::OffboardError;
pub use evidence::SCHEMA_VERSION;
pub use job::{Job, Progress, Requester, Step};
pub use papers::{evidence_key, folder};
pub use port::{
    Estate, EstateError, Found, Outside, Page, Places, Register, SignError, Signer, Store,
    Tombstone, Whose,
};

/// Does a step, or goes on with it.
///
/// # Errors
/// It could not be done; see [`OffboardError`].
pub async fn run(world: &impl Outside, job: &Job, step: Step) -> Result<Progress, OffboardError> {
    match step {
        Step::Revoke => Box::pin(revoke::revoke(world, job)).await,
        Step::Drain => Box::pin(drain::drain(world, job)).await,
        Step::Statement => Box::pin(statement::request(world, job)).await,
        Step::Export => Box::pin(export::export(world, job)).await,
        Step::Inventory => Box::pin(inventory::take(world, job)).await,
        Step::Purge => Box::pin(purge::purge(world, job)).await,
        Step::Evidence => Box::pin(evidence::write(world, job)).await,
    }
}

/// Takes a step back, whether it was done, begun, or neither.
///
/// # Errors
/// It could not be done; of what was deleted nothing can be given back.
pub async fn undo(world: &impl Outside, job: &Job, step: Step) -> Result<Progress, OffboardError> {
    if let Some(tombstone) = world.register().tombstone(&job.tenant_id).await? {
        return Err(if tombstone.task_id == job.task_id {
            OffboardError::Begun(job.tenant_id.clone())
        } else {
            OffboardError::Buried { tenant_id: job.tenant_id.clone(), task_id: tombstone.task_id }
        });
    }
    match step {
        Step::Revoke => Box::pin(revoke::give_back(world, job)).await,
        Step::Statement => statement::forget(world, job).await,
        Step::Export => export::forget(world, job).await,
        Step::Inventory => inventory::forget(world, job).await,
        // They leave nothing, and before there is a tombstone neither of the last two has done anything.
        Step::Drain | Step::Purge | Step::Evidence => Ok(Progress::Done),
    }
}
