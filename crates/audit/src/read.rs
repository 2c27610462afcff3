//! Chains as auditors see them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::verify::is_nothing;
use crate::{
    AuditError, ChainId, ChainStore, Decision, Fault, FaultKind, Head, SegmentNote, SegmentStore,
    Verified, Verifier,
};

/// Files that are read for one question at most.
pub const MAX_SEGMENTS: usize = 1_000;

/// Files that are read at the same time.
const TOGETHER: usize = 16;
/// Notes of segments that are read at once.
const NOTES: usize = 1_000;

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this moment or later, as records write it.
    pub from: Option<String>,
    /// Before this moment.
    pub to: Option<String>,
    /// Of this principal.
    pub actor: Option<String>,
    /// Of this kind; of all that begin so if it ends with a point.
    pub action: Option<String>,
    /// That ended so.
    pub decision: Option<Decision>,
}

/// Some records, the latest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<Value>,
    /// Before which record the next page begins, if there is one.
    pub next: Option<u64>,
}

impl Filter {
    fn is_met_by(&self, record: &Value) -> bool {
        let text = |name| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let is = |wanted: &Option<String>, name| {
            wanted.as_ref().is_none_or(|wanted| wanted == text(name))
        };
        let decision = serde_json::to_value(self.decision).unwrap_or_default();
        let is_action = self.action.as_ref().is_none_or(|action| {
            let found = text("action");
            if action.ends_with('.') { found.starts_with(action) } else { found == action }
        });
        self.from.as_ref().is_none_or(|from| text("time") >= from.as_str())
            && self.to.as_ref().is_none_or(|to| text("time") < to.as_str())
            && is(&self.actor, "principal_id")
            && is_action
            && (decision.is_null() || decision.as_str() == Some(text("decision")))
    }

    /// Whether a segment may hold what is wanted.
    fn may_be_in(&self, segment: &SegmentNote) -> bool {
        self.from.as_ref().is_none_or(|from| segment.latest >= *from)
            && self.to.as_ref().is_none_or(|to| segment.earliest < *to)
    }
}

/// Records of a chain before record `before`, the latest first, `limit` at most. A page may have fewer, even
/// none, and there may be another one all the same: it looks at so many files, and no more.
///
/// # Errors
/// A store failed, or a file that is noted is not there.
pub async fn read(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    chain: &ChainId,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<Page, AuditError> {
    let mut before = before.unwrap_or(u64::MAX);
    let mut page = Page::default();
    let mut budget = MAX_SEGMENTS;
    while budget > 0 {
        let notes = store.segments(chain, before, NOTES).await?;
        let Some(oldest) = notes.last().map(|note| note.first) else { return Ok(page) };
        let wanted: Vec<SegmentNote> =
            notes.into_iter().filter(|note| filter.may_be_in(note)).collect();
        let all = wanted.len();
        let mut found = stream::iter(wanted.into_iter().take(budget))
            .map(|note| async move { (note.first, lines(files, &note).await) })
            .buffered(TOGETHER);
        let mut looked = 0;
        while let Some((first, records)) = found.next().await {
            looked += 1;
            budget = budget.saturating_sub(1);
            for (sequence, record) in records?.into_iter().rev() {
                if sequence >= before || !filter.is_met_by(&record) {
                    continue;
                }
                page.records.push(record);
                if page.records.len() == limit {
                    page.next = (sequence > 1).then_some(sequence);
                    return Ok(page);
                }
            }
            before = before.min(first);
        }
        drop(found);
        if looked == all {
            before = before.min(oldest);
        }
        if before <= 1 {
            return Ok(page);
        }
    }
    page.next = Some(before);
    Ok(page)
}

/// A segment's records with their numbers.
async fn lines(
    files: &impl SegmentStore,
    note: &SegmentNote,
) -> Result<Vec<(u64, Value)>, AuditError> {
    let key = note.key();
    let failed = |source| AuditError { operation: "read", subject: key.clone(), source };
    let bytes = files.read(&key).await?.ok_or_else(|| failed("it is not there".into()))?;
    let text = String::from_utf8(bytes).map_err(|error| failed(error.into()))?;
    let record = |line| {
        let record: Value = serde_json::from_str(line)?;
        let sequence = record.get("sequence").and_then(Value::as_u64).unwrap_or_default();
        Ok::<_, serde_json::Error>((sequence, record))
    };
    text.lines().map(record).collect::<Result<_, _>>().map_err(|error| failed(error.into()))
}

/// Goes through the latest `segments` files of a chain, up to its head: what was found, or the first
/// thing that is wrong; and the head.
///
/// What lies before them is taken on trust: all of a chain is checked by `tools/verify_audit.py`.
///
/// # Errors
/// A store failed.
pub async fn verify_tail(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    chain: &ChainId,
    segments: usize,
) -> Result<(Head, Result<Verified, Fault>), AuditError> {
    let head = store.head(chain).await?;
    let mut notes = store.segments(chain, u64::MAX, segments).await?;
    // Whatever came into the chain since.
    notes.retain(|note| note.last <= head.sequence);
    notes.reverse();
    let known = notes.first().map_or_else(
        || Head::empty(chain.clone()),
        |note| Head {
            sequence: note.first.saturating_sub(1),
            hash: note.previous_hash.clone(),
            ..Head::empty(chain.clone())
        },
    );
    let first = notes.first().map(SegmentNote::key).unwrap_or_default();
    // The first of all records follows nothing, and none follows nothing but that.
    if (known.sequence == 0) != is_nothing(&known.hash) {
        return Ok((head, Err(Fault::new(FaultKind::Unlinked, known.next(), &first))));
    }
    let read: Vec<(String, Option<Vec<u8>>)> = stream::iter(notes)
        .map(|note| async move {
            let key = note.key();
            files.read(&key).await.map(|bytes| (key, bytes))
        })
        .buffered(TOGETHER)
        .try_collect()
        .await?;
    let outcome = verify(Verifier::after(&known), &read, &head);
    Ok((head, outcome))
}

fn verify(
    mut verifier: Verifier,
    files: &[(String, Option<Vec<u8>>)],
    head: &Head,
) -> Result<Verified, Fault> {
    for (key, bytes) in files {
        let bytes = bytes.as_deref().ok_or_else(|| verifier.missing(key))?;
        verifier.segment(key, bytes)?;
    }
    verifier.finish(Some(head))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
