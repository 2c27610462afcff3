//! `POST /v1/registry/import`: what Bedrock lists becomes drafts, and ends of what is registered.

use admission::AuditEntry;
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, object_if_any, refuse_unknown, store_failed};
use inference::{Fault, FaultKind};
use registry::{
    Change, Import, ListError, ModelEntry, ModelList as _, RegistryStore as _, Versioned, import,
};
use serde_json::{Value, json};
use tenancy::TenantContext;

use crate::change::permitted;
use crate::{Ports, State};

/// `POST /v1/registry/import`
///
/// Each entry is a change of its own, so an import that dies is finished by the next one.
pub(crate) async fn run<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted(state, context, "model.imported", "registry/import".to_owned()).await?;
    refuse_unknown(&object_if_any(ask)?)?;
    let listed = state.models.foundation_models().await.map_err(|error| unlisted(&error))?;
    let registered = state.registry.entries::<ModelEntry>().await.map_err(store_failed)?;
    let Import { new, changed, mut skipped, missing } =
        import(&listed, registered, &context.principal.id, (state.now)());
    let changes = new.into_iter().map(|entry| (None, entry));
    let changes = changes.chain(changed.into_iter().map(|(before, entry)| (Some(before), entry)));
    let (mut imported, mut ended) = (Vec::new(), Vec::new());
    for (before, entry) in changes {
        let id = entry.model.id.clone();
        let list = if before.is_some() { &mut ended } else { &mut imported };
        if !is_dry_run && !write(state, &audit, before, entry).await? {
            let reason = "Somebody changed it in this moment: import again.";
            skipped.push(registry::Skipped { model: id.to_string(), reason });
            continue;
        }
        list.push(id);
    }
    let body = json!({
        "object": "registry_import",
        "is_dry_run": is_dry_run,
        "listed": listed.len(),
        "registered": imported,
        "changed": ended,
        "skipped": skipped,
        "missing": missing,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// Writes one entry with an audit entry of its own; whether nobody else did meanwhile.
async fn write<P: Ports>(
    state: &State<P>,
    audit: &AuditEntry,
    before: Option<Versioned<ModelEntry>>,
    entry: ModelEntry,
) -> Result<bool, ApiError> {
    let audit = AuditEntry {
        id: (state.new_id)(),
        subject: format!("registry/models/{}", entry.model.id),
        before: before.as_ref().map_or(Value::Null, |before| json!(before.entry)),
        after: json!(entry),
        ..audit.clone()
    };
    state.registry.change(&Change::new(before, entry, audit)).await.map_err(store_failed)
}

fn unlisted(error: &ListError) -> ApiError {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "Bedrock's models could not be listed");
    let message = "Bedrock did not list its models. Nothing was changed; try again later.";
    Fault::new(FaultKind::Unavailable, "models_not_listed", message).into()
}
