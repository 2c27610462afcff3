//! Hours that changed, as files in the lake and as final rollups.
//!
//! Everything is written in the place of what was there, from the records themselves, so a record is in
//! the lake exactly once however often anything runs or dies. What is to be done follows from counts
//! alone: an hour's marks say how often it changed, its progress says how many of the changes are dealt
//! with. Marks are read before records, and progress is noted last; so whatever goes wrong in between is
//! done again.

use std::collections::{BTreeMap, BTreeSet};

use lake::{ObjectError, ObjectStore, UsageFileError, UsageWriter, Version};
use metering::{
    AggregationStore, Granularity, Late, Mark, Progress, Rollup, RollupError, RollupKey, Rollups,
    UsagePeriod,
};

/// How long an hour is looked at without a reason. What is heard about hours of more than half as long
/// ago is noted as late.
pub(crate) const LOOKED_AT_MS: i64 = 48 * 3_600_000;

/// How long ago the first task begins to look.
const FIRST_LOOK_MS: i64 = 35 * 24 * 3_600_000;

/// How long after its end an hour's calls may still be running: rollups are final no earlier.
const GRACE_MS: i64 = 20 * 60_000;

/// The media type of Parquet.
const PARQUET: &str = "application/vnd.apache.parquet";

/// What the lake's task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LakeOutcome {
    /// Files written.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Hours, days and months whose final rollups were written.
    pub rolled: u64,
    /// Rollups in which more, or something else, had been counted than the ledger has.
    pub differences: u64,
    /// Whether nothing is left to do.
    pub is_complete: bool,
}

/// Something of a task failed; the next one does it again.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The ledger.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// The lake.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A file.
    #[error(transparent)]
    File(#[from] UsageFileError),
}

/// The lake's task at one time.
#[derive(Debug)]
pub struct LakeTask<'a, U, O> {
    /// Where records and rollups are.
    pub usage: &'a U,
    /// The lake.
    pub objects: &'a O,
    /// How many files each hour has.
    pub groups: u32,
    /// Now, in Unix milliseconds.
    pub now_ms: i64,
}

impl<U: AggregationStore, O: ObjectStore> LakeTask<'_, U, O> {
    /// Deals with all that changed, until `is_over` says that there is no time for more.
    ///
    /// # Errors
    /// The first fault of each hour is passed over for the hours after it, and then returned.
    pub async fn run(&self, is_over: impl Fn() -> bool) -> Result<LakeOutcome, LakeError> {
        let mut outcome = LakeOutcome { is_complete: true, ..LakeOutcome::default() };
        let from_ms = match self.usage.completed_ms().await? {
            Some(completed_ms) => completed_ms.min(self.now_ms).saturating_sub(LOOKED_AT_MS),
            None => self.now_ms.saturating_sub(FIRST_LOOK_MS),
        };
        let mut fault = None;
        // The days and months last, since they are sums of what was written before.
        for granularity in Granularity::ALL {
            let late = self.usage.late().await?;
            for (period, late) in self.periods(granularity, from_ms, &late) {
                if is_over() {
                    outcome.is_complete = false;
                    return fault.map_or(Ok(outcome), Err);
                }
                match self.period(period, late, &mut outcome).await {
                    Ok(true) => {}
                    Ok(false) => outcome.is_complete = false,
                    Err(error) => {
                        tracing::error!(%error, %period, "a period could not be dealt with");
                        fault.get_or_insert(error);
                    }
                }
            }
            if fault.is_some() || !outcome.is_complete {
                break;
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        if outcome.is_complete {
            self.usage.set_completed_ms(self.now_ms).await?;
        }
        Ok(outcome)
    }

    /// The periods to look at, the newest first, and which of them are late. Since the last time when
    /// nothing was left, however long ago that is, no change can be in any other.
    fn periods<'l>(
        &self,
        granularity: Granularity,
        from_ms: i64,
        late: &'l [Late],
    ) -> Vec<(UsagePeriod, Option<&'l Late>)> {
        let first = UsagePeriod::containing(granularity, from_ms).start_ms();
        // A minute of it is enough: clocks differ.
        let recent =
            UsagePeriod::starting_in(granularity, first, self.now_ms.saturating_add(60_000));
        let mut periods: BTreeMap<UsagePeriod, Option<&Late>> =
            recent.map(|period| (period, None)).collect();
        let of_kind = late.iter().filter(|late| late.period.granularity() == granularity);
        periods.extend(of_kind.map(|late| (late.period, Some(late))));
        periods.into_iter().rev().collect()
    }

    /// Deals with one period; whether all of it could be.
    async fn period(
        &self,
        period: UsagePeriod,
        late: Option<&Late>,
        outcome: &mut LakeOutcome,
    ) -> Result<bool, LakeError> {
        let mut groups: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
        for mark in self.usage.marks(period).await? {
            groups.entry(lake::group(&mark.tenant_id, self.groups)).or_default().push(mark);
        }
        if groups.is_empty() {
            return Ok(true);
        }
        let found = self.usage.progress(period).await?;
        let mut progress = found.clone().of_groups(usize::try_from(self.groups).unwrap_or(1));
        if progress != found && period.granularity() == Granularity::Hour {
            self.remove_strays(period).await?;
        }
        let mut is_done = true;
        for (group, marks) in &groups {
            is_done &= self.group(period, *group, marks, &mut progress, outcome).await?;
        }
        if let Some(late) = late.filter(|_| is_done) {
            self.usage.forget_late(late).await?;
        }
        Ok(is_done)
    }

    async fn group(
        &self,
        period: UsagePeriod,
        group: u32,
        marks: &[Mark],
        progress: &mut Progress,
        outcome: &mut LakeOutcome,
    ) -> Result<bool, LakeError> {
        let index = usize::try_from(group).unwrap_or(usize::MAX);
        let (Some(written), Some(rolled)) =
            (progress.written.get_mut(index), progress.rolled.get_mut(index))
        else {
            return Ok(false);
        };
        let changes = marks.iter().map(|mark| mark.changes).sum();
        let is_hour = period.granularity() == Granularity::Hour;
        let is_final = period.end_ms().saturating_add(GRACE_MS) <= self.now_ms;
        let is_written = !is_hour || *written == changes;
        let is_rolled = !is_final || *rolled == changes;
        if is_written && is_rolled {
            return Ok(true);
        }
        if is_hour {
            let Some(sums) = self.write_hour(period, group, marks, is_final, outcome).await? else {
                return Ok(false);
            };
            *written = changes;
            if is_final {
                self.finish_hour(period, marks, &sums, outcome).await?;
            }
        } else {
            let finer = period.granularity().finer().unwrap_or(Granularity::Hour);
            for mark in marks {
                let sums = self.usage.finals_within(period, finer, &mark.tenant_id).await?;
                self.usage.put_finals(period, &sums).await?;
                self.mark_parent(period, mark).await?;
            }
        }
        if is_final {
            *rolled = changes;
            outcome.rolled += 1;
        }
        self.usage.set_progress(period, progress).await?;
        Ok(true)
    }

    /// Writes an hour's file from its records; their sums, none if somebody else wrote it meanwhile.
    ///
    /// While the hour runs, only those parts of the ledger are read that the stream has named. The final file
    /// has what the stream has not brought, too: its messages may wait in the dead-letter queue.
    async fn write_hour(
        &self,
        hour: UsagePeriod,
        group: u32,
        marks: &[Mark],
        is_final: bool,
        outcome: &mut LakeOutcome,
    ) -> Result<Option<Rollups>, LakeError> {
        let key = lake::usage_key(hour, group);
        // Before the records are read: whoever writes the file after this may have read more of them.
        let version: Option<Version> = self.objects.version(&key).await?;
        let (mut file, mut sums) = (UsageWriter::new()?, Rollups::default());
        let all = self.usage.parts();
        for mark in marks {
            for part in if is_final { &all } else { &mark.parts } {
                let mut from = None;
                loop {
                    let page = self.usage.records(hour, &mark.tenant_id, part, from.take()).await?;
                    for record in &page.records {
                        file.push(record)?;
                        sums.add(record);
                    }
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
        let file = file.finish()?;
        if !self.objects.replace(&key, file, PARQUET, version.as_ref()).await? {
            tracing::warn!(key, "somebody else is writing the same file");
            return Ok(None);
        }
        outcome.files += 1;
        outcome.records += sums.total().attempts;
        Ok(Some(sums))
    }

    /// Removes the files of groups that have no tenants, since there were more or fewer groups before:
    /// their records will be in other files. Marks are read last, so no file is removed that somebody
    /// writes for a tenant who has just come.
    async fn remove_strays(&self, hour: UsagePeriod) -> Result<(), LakeError> {
        let keys = self.objects.list(&lake::hour_prefix(hour)).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let marks = self.usage.marks(hour).await?;
        let group = |mark: &Mark| lake::group(&mark.tenant_id, self.groups);
        let groups: BTreeSet<u32> = marks.iter().map(group).collect();
        for key in keys {
            if lake::group_of_key(hour, &key).is_some_and(|group| !groups.contains(&group)) {
                self.objects.delete(&key).await?;
            }
        }
        Ok(())
    }

    /// Writes the final rollups of an hour that is over.
    async fn finish_hour(
        &self,
        hour: UsagePeriod,
        marks: &[Mark],
        sums: &Rollups,
        outcome: &mut LakeOutcome,
    ) -> Result<(), LakeError> {
        for mark in marks {
            let live = self.usage.live(hour, &mark.tenant_id).await?;
            let of_tenant = sums.0.iter().filter(|(key, _)| key.tenant_id == mark.tenant_id);
            let finals = Rollups(of_tenant.map(|(key, sums)| (key.clone(), *sums)).collect());
            outcome.differences += compare(hour, &live, &finals);
            self.usage.put_finals(hour, &finals).await?;
            self.mark_parent(hour, mark).await?;
        }
        Ok(())
    }

    /// Notes that the day of an hour, or the month of a day, changed.
    async fn mark_parent(&self, period: UsagePeriod, mark: &Mark) -> Result<(), LakeError> {
        let Some(parent) = period.parent() else { return Ok(()) };
        self.usage.mark(parent, &mark.tenant_id).await?;
        if parent.end_ms().saturating_add(LOOKED_AT_MS / 2) < self.now_ms {
            self.usage.note_late(parent).await?;
        }
        Ok(())
    }
}

/// Says where the stream counted something else than the ledger has; how often.
fn compare(hour: UsagePeriod, live: &Rollups, finals: &Rollups) -> u64 {
    let none = Rollup::default();
    let keys = finals.0.keys().chain(live.0.keys().filter(|key| !finals.0.contains_key(key)));
    let differs = |key: &&RollupKey| live.0.get(key) != finals.0.get(key);
    let mut differences = 0;
    for key in keys.filter(differs) {
        let counted = live.0.get(key).unwrap_or(&none);
        let recorded = finals.0.get(key).unwrap_or(&none);
        if counted.attempts < recorded.attempts {
            // It may just be late, or in the dead-letter queue, which has an alarm.
            tracing::warn!(
                %hour,
                tenant_id = %key.tenant_id,
                model = %key.model,
                counted_attempts = counted.attempts,
                recorded_attempts = recorded.attempts,
                "the stream has not brought all that the ledger has"
            );
            continue;
        }
        differences += 1;
        tracing::error!(
            %hour,
            tenant_id = %key.tenant_id,
            model = %key.model,
            counted_attempts = counted.attempts,
            recorded_attempts = recorded.attempts,
            counted_nanousd = counted.cost_nanousd.0,
            recorded_nanousd = recorded.cost_nanousd.0,
            "what the stream counted is not what the ledger has; the ledger's is final"
        );
    }
    differences
}
