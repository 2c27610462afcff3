//! Deletes what is to go. The tombstone comes first: from then on there is no way back, and nobody is
//! given the id.

use audit::{ChainId, ChainStore as _};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::OffboardError;
use crate::inventory::{Doomed, Part, Round, Walk, has, part_name};
use crate::job::{Job, Progress};
use crate::papers::Papers;
use crate::port::{Estate as _, Outside, Register as _, Store, Tombstone};
use crate::revoke::{Taken, suspend};

/// Things that are deleted at the same time.
const TOGETHER: usize = 16;
/// Lists of everything, each behind a deletion, until one finds nothing to delete.
const MAX_ROUNDS: u32 = 8;

/// When the things of a page were seen to be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Purged {
    /// By a read behind the deletion.
    pub(crate) absent_at: Timestamp,
}

pub(crate) async fn purge(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let taken = Taken::of(&papers).await?;
    let tombstone = bury(world, job).await?;
    // While the tenant is there, the audit trail's schedule looks after its entries, too.
    let chain = ChainId::Tenant(job.tenant_id.clone());
    let position = tombstone.audit_position;
    if !world.chains().chained(&chain, std::slice::from_ref(&position)).await?.contains(&position) {
        return Ok(Progress::wait("the audit trail has not said yet that the deletion begins", 5));
    }
    for number in 0..MAX_ROUNDS {
        let round = Round::of(world, job, &papers, &taken, number)?;
        let mut walk = Walk::resume(&papers, "purge", number).await?;
        loop {
            let Some((store, page, part)) = round.next(&mut walk).await? else { break };
            delete(world, job, &papers, (number, store, page), &part).await?;
            walk.doomed += part.doomed.len();
            // Behind a page, so that each call gets on by one at least.
            if !world.has_time() {
                walk.pause(&papers, "purge", number).await?;
                return Ok(Progress::more());
            }
        }
        walk.pause(&papers, "purge", number).await?;
        if number > 0 && walk.doomed == 0 {
            return Ok(Progress::Done);
        }
    }
    Err(OffboardError::Restless(job.tenant_id.clone()))
}

/// Writes the tombstone, unless this job has.
async fn bury(world: &impl Outside, job: &Job) -> Result<Tombstone, OffboardError> {
    let own = |tombstone: Tombstone| {
        if tombstone.task_id == job.task_id {
            return Ok(tombstone);
        }
        let tenant_id = job.tenant_id.clone();
        Err(OffboardError::Buried { tenant_id, task_id: tombstone.task_id })
    };
    if let Some(tombstone) = world.register().tombstone(&job.tenant_id).await? {
        return own(tombstone);
    }
    suspend(world, job).await?;
    let values = (json!(null), json!({ "task": job.task_id }));
    let entry = job.entry(world, "tenant.offboarded", "", values);
    let tombstone = Tombstone {
        task_id: job.task_id.clone(),
        since: entry.time,
        audit_position: entry.position(),
    };
    own(world.register().bury(&job.tenant_id, &tombstone, &entry).await?)
}

/// Deletes what a page names, reads that it is gone, and writes that down.
async fn delete(
    world: &impl Outside,
    job: &Job,
    papers: &Papers<'_, impl lake::ObjectStore>,
    (round, store, page): (u32, Store, u32),
    part: &Part,
) -> Result<(), OffboardError> {
    let name = part_name("purged", round, store, page);
    if part.doomed.is_empty() || has(papers, &name).await? {
        return Ok(());
    }
    // The tenant itself last: without it, who goes on with what is left?
    let (last, first): (Vec<&Doomed>, Vec<&Doomed>) =
        part.doomed.iter().partition(|it| it.kind == "tenant");
    for some in first.chunks(TOGETHER).chain(last.chunks(1)) {
        try_join_all(some.iter().map(|it| world.estate().remove(&it.found))).await?;
    }
    let mut left = false;
    for some in part.doomed.chunks(TOGETHER) {
        let there = some.iter().map(|it| world.estate().is_there(&it.found));
        left |= try_join_all(there).await?.contains(&true);
    }
    if left {
        return Err(OffboardError::StillThere(job.tenant_id.clone()));
    }
    papers.write(&name, &Purged { absent_at: world.now() }).await
}
