//! Everything in memory, with the ports' contracts.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use jiff::civil::Date;

use crate::{
    AuditError, ChainId, ChainStore, Entry, EntryPage, EntrySource, Head, SegmentNote, SegmentStore,
};

/// Entries of one page.
const PAGE: usize = 3;

/// Chains, files and entries in memory, which can be made to fail. A clone is the same one.
#[derive(Debug, Default, Clone)]
pub struct InMemoryAudit {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    heads: BTreeMap<ChainId, Head>,
    chained: BTreeSet<(ChainId, String)>,
    segments: BTreeMap<(ChainId, u64), SegmentNote>,
    files: BTreeMap<String, Vec<u8>>,
    entries: BTreeMap<ChainId, BTreeMap<String, Entry>>,
    /// Operations so far.
    operations: u64,
    /// The operation that fails, and all later ones with it; whether it has its effect all the same.
    death: Option<(u64, bool)>,
    /// What the pauses before operations are drawn from, if there are any.
    dice: Option<u64>,
}

impl InMemoryAudit {
    /// Notes an entry, as whoever did something does.
    pub fn note(&self, chain: &ChainId, entry: Entry) {
        let mut state = self.lock();
        state.entries.entry(chain.clone()).or_default().insert(entry.position(), entry);
    }

    /// Lets so many operations succeed from now on, and fails every later one; the first that fails has its
    /// effect all the same if `is_late`. `None` fails none.
    pub fn die_after(&self, operations: Option<u64>, is_late: bool) {
        let mut state = self.lock();
        let now = state.operations;
        state.death = operations.map(|left| (now.saturating_add(left), is_late));
    }

    /// Lets operations wait for each other, as the seed has it.
    pub fn interleave(&self, seed: u64) {
        self.lock().dice = Some(seed);
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Every file, by its name.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.clone()
    }

    /// Puts a file in the place of what is there, which nobody who keeps to the port can.
    pub fn tamper(&self, key: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => state.files.insert(key.to_owned(), bytes),
            None => state.files.remove(key),
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one operation, or dies with it.
    async fn does<T>(
        &self,
        operation: &'static str,
        subject: &str,
        act: impl FnOnce(&mut State) -> T,
    ) -> Result<T, AuditError> {
        let mut pauses = self.lock().pauses();
        poll_fn(|context| {
            if pauses == 0 {
                return Poll::Ready(());
            }
            pauses -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let mut state = self.lock();
        let number = state.operations;
        state.operations += 1;
        let died =
            AuditError { operation, subject: subject.to_owned(), source: "made to fail".into() };
        match state.death {
            Some((at, is_late)) if number == at && is_late => {
                act(&mut state);
                Err(died)
            }
            Some((at, _)) if number >= at => Err(died),
            _ => Ok(act(&mut state)),
        }
    }
}

impl State {
    fn head(&self, chain: &ChainId) -> Head {
        self.heads.get(chain).cloned().unwrap_or_else(|| Head::empty(chain.clone()))
    }

    fn pauses(&mut self) -> u64 {
        let Some(dice) = &mut self.dice else { return 0 };
        // xorshift64 (https://www.jstatsoft.org/article/view/v008i14), which must not start at 0.
        *dice = (*dice).max(1);
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % 4
    }
}

impl ChainStore for InMemoryAudit {
    async fn head(&self, chain: &ChainId) -> Result<Head, AuditError> {
        self.does("read the head of", &chain.to_string(), |state| state.head(chain)).await
    }

    async fn heads(&self) -> Result<Vec<Head>, AuditError> {
        self.does("list", "heads", |state| state.heads.values().cloned().collect()).await
    }

    async fn chained(
        &self,
        chain: &ChainId,
        positions: &[String],
    ) -> Result<BTreeSet<String>, AuditError> {
        self.does("look into", &chain.to_string(), |state| {
            let is_chained = |it: &&String| state.chained.contains(&(chain.clone(), (*it).clone()));
            positions.iter().filter(is_chained).cloned().collect()
        })
        .await
    }

    async fn claim(&self, head: &Head, today: Date) -> Result<Option<Date>, AuditError> {
        self.does("claim", &head.chain.to_string(), |state| {
            let mut found = state.head(&head.chain);
            if found.sequence != head.sequence {
                return None;
            }
            let day = *found.day.get_or_insert(today);
            state.heads.insert(head.chain.clone(), found);
            Some(day)
        })
        .await
    }

    async fn advance(&self, head: &Head, segment: &SegmentNote) -> Result<bool, AuditError> {
        self.does("advance", &head.chain.to_string(), |state| {
            let found = state.head(&head.chain);
            let note = |position: &String| (head.chain.clone(), position.clone());
            let notes: Vec<_> = segment.entries.iter().map(note).collect();
            let is_new = notes.iter().all(|note| !state.chained.contains(note));
            if found.sequence != head.sequence || found.hash != head.hash || !is_new {
                return false;
            }
            let (sequence, hash) = (segment.last, segment.hash.clone());
            let after = Head { sequence, hash, day: None, ..found };
            state.heads.insert(head.chain.clone(), after);
            state.chained.extend(notes);
            state.segments.insert((head.chain.clone(), segment.first), segment.clone());
            true
        })
        .await
    }

    async fn set_checked(&self, chain: &ChainId, position: &str) -> Result<(), AuditError> {
        self.does("check", &chain.to_string(), |state| {
            let checked = Some(position.to_owned());
            let head = Head { checked, ..state.head(chain) };
            state.heads.insert(chain.clone(), head);
        })
        .await
    }

    async fn segments(
        &self,
        chain: &ChainId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<SegmentNote>, AuditError> {
        self.does("list segments of", &chain.to_string(), |state| {
            let range = (chain.clone(), 0)..(chain.clone(), before);
            state.segments.range(range).rev().take(limit).map(|(_, note)| note.clone()).collect()
        })
        .await
    }
}

impl SegmentStore for InMemoryAudit {
    async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool, AuditError> {
        self.does("create", key, |state| {
            let is_new = !state.files.contains_key(key);
            state.files.entry(key.to_owned()).or_insert(bytes);
            is_new
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, AuditError> {
        self.does("read", key, |state| state.files.get(key).cloned()).await
    }
}

impl EntrySource for InMemoryAudit {
    async fn owners(&self) -> Result<Vec<ChainId>, AuditError> {
        self.does("list", "owners", |state| state.entries.keys().cloned().collect()).await
    }

    async fn entries(&self, chain: &ChainId, after: Option<&str>) -> Result<EntryPage, AuditError> {
        self.does("list entries of", &chain.to_string(), |state| {
            let all = state.entries.get(chain).cloned().unwrap_or_default();
            let behind = |(position, _): &(String, Entry)| {
                after.is_none_or(|after| position.as_str() > after)
            };
            let mut rest = all.into_iter().filter(behind);
            let page: Vec<(String, Entry)> = rest.by_ref().take(PAGE).collect();
            let last = page.last().map(|(position, _)| position.clone());
            let next = rest.next().and(last);
            let entries = page.into_iter().map(|(_, entry)| entry).collect();
            EntryPage { entries, next, unreadable: 0 }
        })
        .await
    }
}
