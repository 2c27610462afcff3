//! Tenants, as they are shown and listed.

use administration::{AdministrationStore, TenantDocument, TenantState, TenantsAsked};
use admission::AuditEntry;
use futures::future::try_join_all;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, cursor, invalid, limit, page, store_failed, with_etag,
};
use serde_json::{Map, Value, json};
use tenancy::{LobId, Permission, Place, Reach, Status, TenantContext, TenantId};

use crate::State;
use crate::access::{Visible, tenant_for};

/// Entries of a page at most.
const MAX_ENTRIES: usize = 100;
/// Tenants that are looked at for one page at most: of those, a filter may leave none.
const MAX_EXAMINED: usize = 500;
/// Tenants that are read at the same time.
const READ_TOGETHER: usize = 25;

/// `GET /v1/tenants/{tenant_id}`
pub(crate) async fn show<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let tenant = tenant_for(state, context, id, Permission::ReadTenant, "tenant.read").await?;
    let body = Value::Object(shown(context, &tenant));
    Ok(with_etag(answer(StatusCode::OK, &body), tenant.now.version))
}

/// `GET /v1/tenants/{tenant_id}/history`
pub(crate) async fn history<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["limit", "cursor"])?;
    let (limit, before) = (limit(ask, 20, MAX_ENTRIES)?, after(ask)?);
    let permission = Permission::ReadConfiguration;
    let tenant = tenant_for(state, context, id, permission, "tenant.history").await?;
    let entries = state.store.history(&tenant.id, before.as_deref(), limit).await;
    let entries = entries.map_err(store_failed)?;
    let next = if entries.len() == limit { entries.last().map(AuditEntry::position) } else { None };
    let data: Vec<_> = entries.iter().map(|entry| json!(entry)).collect();
    let next = next.map(|position| cursor(&position));
    Ok(page(&data, next.as_deref()))
}

/// A tenant as the caller may see it. What those see who may change it can be sent back with `PUT`.
pub(crate) fn shown(context: &TenantContext, tenant: &Visible) -> Map<String, Value> {
    let (now, document) = (&tenant.now, &tenant.now.document);
    let mut body = said(tenant);
    if context.require_at(Permission::ReadConfiguration, tenant.place()).is_ok() {
        body.insert("version".into(), now.version.into());
        body.insert("is_effective".into(), (!now.is_changing).into());
        if let Some(suspension) = &now.suspension {
            body.insert("suspension".into(), json!(suspension));
        }
        if let Value::Object(fields) = json!(document) {
            body.extend(fields);
        }
    } else {
        body.extend(public(document));
    }
    body
}

/// What is shown beside the document, and is not set by it.
pub(crate) fn said(tenant: &Visible) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("object".into(), "tenant".into());
    said.insert("tenant_id".into(), json!(tenant.id));
    said.insert("status".into(), json!(tenant.now.status));
    said
}

/// What every member may know.
fn public(document: &TenantDocument) -> Map<String, Value> {
    let mut fields = Map::new();
    let TenantDocument { name, lob_id, contact, branding, models, .. } = document;
    fields.insert("name".into(), json!(name));
    fields.insert("lob_id".into(), json!(lob_id));
    fields.extend(contact.as_ref().map(|contact| ("contact".into(), json!(contact))));
    fields.extend(branding.as_ref().map(|branding| ("branding".into(), json!(branding))));
    fields.insert("models".into(), json!(models));
    fields
}

/// A wish for a list.
struct Wanted<'a> {
    lob_id: Option<LobId>,
    status: Option<Status>,
    prefix: &'a str,
    limit: usize,
    after: Option<(LobId, TenantId)>,
}

/// `GET /v1/tenants`
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let wanted = wanted(ask)?;
    context.require(Permission::ReadTenant)?;
    let reach = Permission::ReadLob.reach(context);
    if reach == Reach::Tenant {
        return own(state, context, &wanted).await;
    }
    let mut lobs = Lobs::new(context, reach, &wanted);
    let (mut data, mut examined, mut last) = (Vec::new(), 0, None);
    while let Some(lob_id) = lobs.next(state).await? {
        let mut after = wanted.after.clone().filter(|(lob, _)| *lob == lob_id).map(|(_, id)| id);
        loop {
            let room = (wanted.limit - data.len()).min(READ_TOGETHER);
            let asked = TenantsAsked {
                lob_id: lob_id.clone(),
                prefix: wanted.prefix.to_owned(),
                after: after.clone(),
                limit: room,
            };
            let found = state.store.tenant_page(&asked).await.map_err(store_failed)?;
            examined += found.tenants.len();
            let states = found.tenants.iter().map(|id| state.store.tenant(id));
            let states = try_join_all(states).await.map_err(store_failed)?;
            for (id, now) in found.tenants.iter().zip(states) {
                // The index may be late: what is listed is what is there.
                let now = now.filter(|now| now.document.lob_id == lob_id);
                data.extend(now.filter(|now| wanted.takes(now)).map(|now| listed(id, &now)));
            }
            after = found.tenants.last().cloned().or(after);
            last = after.clone().map(|id| (lob_id.clone(), id)).or(last);
            let is_full = data.len() >= wanted.limit || examined >= MAX_EXAMINED;
            if is_full && (found.has_more || lobs.has_next(state).await?) {
                let next = last.map(|(lob, id)| cursor(&format!("{lob}/{id}")));
                return Ok(page(&data, next.as_deref()));
            }
            if is_full || !found.has_more {
                break;
            }
        }
        if data.len() >= wanted.limit {
            break;
        }
    }
    Ok(page(&data, None))
}

/// The list of somebody who sees their own tenant only.
async fn own<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    wanted: &Wanted<'_>,
) -> Result<Response<Body>, ApiError> {
    let id = &context.tenant_id;
    let found = state.store.tenant(id).await.map_err(store_failed)?;
    let found = found.filter(|now| {
        wanted.takes(now)
            && wanted.after.is_none()
            && id.as_str().starts_with(wanted.prefix)
            && wanted.lob_id.as_ref().is_none_or(|lob| *lob == now.document.lob_id)
    });
    Ok(page(found.map(|now| listed(id, &now)).as_slice(), None))
}

fn wanted<'a>(ask: &'a Ask<'_>) -> Result<Wanted<'a>, ApiError> {
    ask.only(&["lob", "status", "q", "limit", "cursor"])?;
    let lob_id = ask.get("lob").map(str::parse::<LobId>).transpose();
    let status = match ask.get("status") {
        None => None,
        Some("active") => Some(Status::Active),
        Some("suspended") => Some(Status::Suspended),
        Some(_) => return Err(invalid("status", "This is `active` or `suspended`.")),
    };
    let prefix = ask.get("q").unwrap_or_default();
    let is_prefix = prefix.len() <= 40
        && prefix.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    if !is_prefix {
        let message = "This is how ids of tenants begin: lower-case letters, digits and hyphens.";
        return Err(invalid("q", message));
    }
    let after = match after(ask)? {
        None => None,
        Some(text) => {
            let place = text.split_once('/');
            let place = place.and_then(|(lob, id)| Some((lob.parse().ok()?, id.parse().ok()?)));
            let message = "This is `next_cursor` of the page before.";
            Some(place.ok_or_else(|| invalid("cursor", message))?)
        }
    };
    Ok(Wanted {
        lob_id: lob_id.map_err(|error| invalid("lob", format!("{error}.")))?,
        status,
        prefix,
        limit: limit(ask, 50, MAX_ENTRIES)?,
        after,
    })
}

impl Wanted<'_> {
    fn takes(&self, now: &TenantState) -> bool {
        self.status.is_none_or(|status| status == now.status)
    }
}

fn listed(id: &TenantId, now: &TenantState) -> Value {
    json!({
        "object": "tenant",
        "tenant_id": id,
        "name": now.document.name,
        "lob_id": now.document.lob_id,
        "status": now.status,
        "version": now.version,
    })
}

/// The lines of business that a list goes through, one after the other.
struct Lobs {
    /// Those that are known and still to come.
    waiting: Vec<LobId>,
    /// After which one more are asked for.
    after: Option<LobId>,
    /// Whether there may be more.
    may_have_more: bool,
}

impl Lobs {
    fn new(context: &TenantContext, reach: Reach, wanted: &Wanted<'_>) -> Self {
        let first = wanted.after.as_ref().map(|(lob, _)| lob.clone());
        let one = match (&wanted.lob_id, reach) {
            (Some(lob_id), Reach::Org) => Some(lob_id.clone()),
            (Some(lob_id), _) if *lob_id != context.lob_id => {
                return Self { waiting: Vec::new(), after: None, may_have_more: false };
            }
            (None, Reach::Org) => None,
            _ => Some(context.lob_id.clone()),
        };
        match one {
            Some(lob_id) => {
                // A place in another line of business is behind, or before, all that is wanted.
                let is_over = first.is_some_and(|first| first > lob_id);
                let waiting = if is_over { Vec::new() } else { vec![lob_id] };
                Self { waiting, after: None, may_have_more: false }
            }
            None => Self {
                waiting: first.clone().into_iter().collect(),
                after: first,
                may_have_more: true,
            },
        }
    }

    async fn fill<P>(
        &mut self,
        state: &State<impl AdministrationStore, P>,
    ) -> Result<(), ApiError> {
        if self.waiting.is_empty() && self.may_have_more {
            let more = state.store.lobs(self.after.as_ref(), MAX_ENTRIES).await;
            let mut more = more.map_err(store_failed)?;
            self.may_have_more = more.len() > MAX_ENTRIES;
            more.truncate(MAX_ENTRIES);
            self.after = more.last().cloned();
            more.reverse();
            self.waiting = more;
        }
        Ok(())
    }

    async fn next<P>(
        &mut self,
        state: &State<impl AdministrationStore, P>,
    ) -> Result<Option<LobId>, ApiError> {
        self.fill(state).await?;
        Ok(self.waiting.pop())
    }

    async fn has_next<P>(
        &mut self,
        state: &State<impl AdministrationStore, P>,
    ) -> Result<bool, ApiError> {
        self.fill(state).await?;
        Ok(!self.waiting.is_empty())
    }
}

/// How far the caller's roles that grant a permission see.
trait ReachOf {
    fn reach(self, context: &TenantContext) -> Reach;
}

impl ReachOf for Permission {
    fn reach(self, context: &TenantContext) -> Reach {
        let lob = Place::Lob(&context.lob_id);
        if context.require_at(self, Place::Org).is_ok() {
            Reach::Org
        } else if context.require_at(self, lob).is_ok() {
            Reach::Lob
        } else {
            Reach::Tenant
        }
    }
}
