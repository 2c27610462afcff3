//! What the tenant was, for whoever asks later.

use administration::AdministrationStore as _;
use audit::sha256;
use billing::Account;
use billing::port::BillingStore as _;
use bytes::Bytes;
use metering::{Granularity, RollupStore as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::OffboardError;
use crate::job::{Job, Progress};
use crate::papers::Papers;
use crate::port::Outside;
use crate::revoke::Taken;
use crate::statement;

const EXPORTED: &str = "working/exported.json";
const HISTORY: &str = "history.jsonl";
const FILES: [&str; 4] = ["configuration.json", HISTORY, "statements.json", "usage.json"];
/// Entries of a page of the history.
const PAGE: usize = 200;

/// A file that was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    /// Its key.
    pub(crate) key: String,
    /// How long it is.
    pub(crate) bytes: usize,
    /// Its digest.
    pub(crate) sha256: String,
}

/// The files that an earlier step has exported.
pub(crate) async fn exported(
    papers: &Papers<'_, impl lake::ObjectStore>,
) -> Result<Vec<Exported>, OffboardError> {
    papers.need(EXPORTED).await
}

pub(crate) async fn export(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    if papers.read::<Vec<Exported>>(EXPORTED).await?.is_some() {
        return Ok(Progress::Done);
    }
    let texts = [
        configuration(world, job, &papers).await?,
        history(world, job).await?,
        statements(world, job, &papers).await?,
        usage(world, job).await?,
    ];
    let mut exported = Vec::new();
    for (name, text) in FILES.into_iter().zip(texts) {
        let bytes = Bytes::from(text);
        let (length, digest) = (bytes.len(), sha256(&bytes));
        let is_list = name == HISTORY;
        let content_type = if is_list { "application/x-ndjson" } else { "application/json" };
        papers.put(name, bytes, content_type).await?;
        exported.push(Exported { key: papers.key(name), bytes: length, sha256: digest });
    }
    papers.write(EXPORTED, &exported).await?;
    Ok(Progress::Done)
}

pub(crate) async fn forget(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    papers.forget(EXPORTED).await?;
    for name in FILES {
        papers.forget(name).await?;
    }
    Ok(Progress::Done)
}

async fn configuration(
    world: &impl Outside,
    job: &Job,
    papers: &Papers<'_, impl lake::ObjectStore>,
) -> Result<String, OffboardError> {
    let status = Taken::of(papers).await?.status();
    let state = world.administration().tenant(&job.tenant_id).await?;
    let state = state.ok_or_else(|| OffboardError::NoTenant(job.tenant_id.clone()))?;
    let clients = world.administration().clients(&job.tenant_id).await?;
    Ok(json!({
        "tenant_id": job.tenant_id,
        "version": state.version,
        "status": status,
        "document": state.document,
        "clients": clients,
    })
    .to_string())
}

/// Every audit entry of the tenant, one a line, the latest first.
async fn history(world: &impl Outside, job: &Job) -> Result<String, OffboardError> {
    let mut text = String::new();
    let mut before: Option<String> = None;
    loop {
        let page = world.administration().history(&job.tenant_id, before.as_deref(), PAGE).await?;
        for entry in &page {
            text.push_str(&json!(entry).to_string());
            text.push('\n');
        }
        before = page.last().map(admission::AuditEntry::position);
        if page.len() < PAGE || before.is_none() {
            return Ok(text);
        }
    }
}

async fn statements(
    world: &impl Outside,
    job: &Job,
    papers: &Papers<'_, impl lake::ObjectStore>,
) -> Result<String, OffboardError> {
    let issued = world.books().issued(&Account::Tenant(job.tenant_id.clone())).await?;
    let asked = statement::asked(papers).await?;
    let open = json!({ "period": asked.period, "draft": asked.draft });
    Ok(json!({ "issued": issued, "open_month": open }).to_string())
}

/// What was used in each month, in sums.
async fn usage(world: &impl Outside, job: &Job) -> Result<String, OffboardError> {
    let until = world.now().as_millisecond();
    let rows = world.rollups().rollups(&job.tenant_id, Granularity::Month, 0, until).await?;
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| json!({ "period": row.period.to_string(), "of": row.key, "used": row.rollup }))
        .collect();
    Ok(json!({ "months": rows }).to_string())
}
