//! What runs is let end.

use jiff::SignedDuration;

use crate::error::OffboardError;
use crate::job::{Job, Progress};
use crate::papers::Papers;
use crate::port::{Outside, Register as _};
use crate::revoke::{Taken, suspend};

/// API Gateway keeps an authorizer's answer for 60 seconds; whoever was let in before is refused by the
/// tenant's meter, and may still touch meters of projects and people on the way.
const QUIET: SignedDuration = SignedDuration::from_secs(75);

/// Waits until no call of the tenant is open in any meter.
///
/// A call's reservation stays open until its usage record settles it, or the sweep does, so that none is
/// open says both: nothing runs, and no usage waits.
pub(crate) async fn drain(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let taken = Taken::of(&papers).await?;
    // Somebody may have resumed it.
    suspend(world, job).await?;
    let open = world.register().open_calls(&job.tenant_id, &taken.lob_id).await?;
    if open > 0 {
        return Ok(Progress::wait(format!("{open} calls are not settled yet"), 10));
    }
    let revoked_at = taken.revoked_at.unwrap_or_else(|| world.now());
    let left = QUIET - world.now().duration_since(revoked_at);
    if left.is_positive() {
        let seconds = u32::try_from(left.as_secs()).unwrap_or(0).saturating_add(1);
        return Ok(Progress::wait("what let callers in is not forgotten yet", seconds));
    }
    Ok(Progress::Done)
}
