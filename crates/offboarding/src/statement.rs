//! What is not billed yet is drafted. Finance closes the month as always: usage records stay.

use billing::{Account, Month, Task, calendar};
use events::{Event, EventSink as _};
use jiff::{SignedDuration, Timestamp};
use lake::ObjectStore as _;
use metering::{Granularity, RollupStore as _};
use serde::{Deserialize, Serialize};

use crate::error::OffboardError;
use crate::job::{Job, Progress};
use crate::papers::Papers;
use crate::port::Outside;

const ASKED: &str = "working/statement.json";
/// How long a draft is waited for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(150);

/// A draft that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The month that runs.
    pub(crate) period: Month,
    since: Timestamp,
    /// The draft that stood there before.
    before: Option<String>,
    is_told: bool,
    /// Where the draft is, without extension; none if there is nothing to be billed, or not yet known.
    pub(crate) draft: Option<String>,
}

/// What was asked for by an earlier step.
pub(crate) async fn asked(
    papers: &Papers<'_, impl lake::ObjectStore>,
) -> Result<Asked, OffboardError> {
    papers.need(ASKED).await
}

pub(crate) async fn request(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let now = world.now();
    let account = Account::Tenant(job.tenant_id.clone());
    let mut asked = if let Some(asked) = papers.read::<Asked>(ASKED).await? {
        asked
    } else {
        let (period, _) = calendar::current(world.calendar(), now.as_millisecond());
        let key = format!("{}.json", billing::draft_of(&account, period));
        let before = world.papers().version(&key).await?.map(|version| version.0);
        let asked = Asked { period, since: now, before, is_told: false, draft: None };
        papers.decide(ASKED, &asked).await?
    };
    let period = asked.period;
    if !asked.is_told {
        let task = Task::DraftStatement { period, account: account.clone() };
        let detail = serde_json::to_value(&task);
        let id = format!("offboarding:{}:draft", job.task_id);
        let failed = |source: serde_json::Error| events::PublishError {
            id: id.clone(),
            source: source.into(),
        };
        let detail = detail.map_err(failed)?;
        let (id, kind) = (id.clone(), billing::TASK_REQUESTED);
        let event = Event { id, kind, time_ms: now.as_millisecond(), detail };
        for outcome in world.events().publish(&[event]).await {
            outcome?;
        }
        asked.is_told = true;
        papers.write(ASKED, &asked).await?;
    }
    let draft = billing::draft_of(&account, period);
    let version = world.papers().version(&format!("{draft}.json")).await?.map(|it| it.0);
    let is_late = now.duration_since(asked.since) > PATIENCE;
    if version.is_some() && (version != asked.before || is_late) {
        // A draft that says what the one before said may have its version, too.
        asked.draft = Some(draft);
        papers.write(ASKED, &asked).await?;
        return Ok(Progress::Done);
    }
    if !is_late {
        return Ok(Progress::wait("the draft of the open month's statement is being made", 5));
    }
    let span = calendar::span(world.calendar(), period);
    let usage = world
        .rollups()
        .rollups(&job.tenant_id, Granularity::Hour, span.start_ms, span.end_ms)
        .await?;
    if usage.is_empty() {
        Ok(Progress::Done)
    } else {
        Err(OffboardError::NoDraft(job.tenant_id.clone()))
    }
}

pub(crate) async fn forget(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    Papers::of(world.papers(), job)?.forget(ASKED).await?;
    Ok(Progress::Done)
}
