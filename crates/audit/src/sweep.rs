//! What the stream dropped, found in the table.

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{AppendError, AuditError, ChainId, ChainStore, EntrySource, SegmentStore, append};

/// How long after its time an entry may still appear in the table: clocks differ, and a write takes time.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Owners that are looked at at the same time.
const TOGETHER: usize = 16;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Owners whose entries were looked at.
    pub owners: u64,
    /// Records that the stream had not brought.
    pub records: u64,
    /// Owners of whom not all could be brought into their chain.
    pub failed: u64,
    /// Whether there was time for everybody.
    pub is_complete: bool,
}

/// Looks at the entries that are not known to be in their chains, and brings in those that are not, until
/// `is_over`. One owner's trouble is not another's.
///
/// # Errors
/// Nobody's entries could be looked for.
pub async fn sweep<S>(
    store: &S,
    files: &impl SegmentStore,
    now: Timestamp,
    is_over: impl Fn() -> bool,
) -> Result<Swept, AuditError>
where
    S: ChainStore + EntrySource,
{
    let owners = store.owners().await?;
    let all = u64::try_from(owners.len()).unwrap_or(u64::MAX);
    let mut swept = Swept::default();
    let mut outcomes = stream::iter(owners.into_iter().take_while(|_| !is_over()))
        .map(|chain| async move { (owner(store, files, &chain, now).await, chain) })
        .buffer_unordered(TOGETHER);
    while let Some((outcome, chain)) = outcomes.next().await {
        swept.owners += 1;
        match outcome {
            Ok(records) => swept.records += records,
            Err(error) => {
                swept.failed += 1;
                tracing::error!(%error, %chain, "entries could not be brought into their chain");
            }
        }
    }
    drop(outcomes);
    swept.is_complete = swept.owners == all;
    Ok(swept)
}

/// Brings the entries of one owner into its chain; how many were missing.
async fn owner<S>(
    store: &S,
    files: &impl SegmentStore,
    chain: &ChainId,
    now: Timestamp,
) -> Result<u64, AppendError>
where
    S: ChainStore + EntrySource,
{
    let known = store.head(chain).await?.checked;
    let settled = format!("{:.3}", now.saturating_sub(SETTLED_AFTER).unwrap_or(Timestamp::MIN));
    let (mut after, mut checked) = (known.clone(), known.clone());
    let (mut records, mut unreadable) = (0, 0);
    loop {
        let page = store.entries(chain, after.as_deref()).await?;
        records += append(store, files, chain, &page.entries, now).await?.records;
        unreadable += page.unreadable;
        let positions = page.entries.iter().map(crate::Entry::position);
        let last = positions.take_while(|position| *position < settled).last();
        if unreadable == 0 {
            checked = last.or(checked);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if unreadable > 0 {
        tracing::error!(%chain, unreadable, "items that should be audit entries cannot be read");
    }
    if checked != known
        && let Some(position) = checked
    {
        store.set_checked(chain, &position).await?;
    }
    Ok(records)
}
