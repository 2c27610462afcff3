//! The items of tenants and lines of business, and the writes by which they change.

use administration::{
    LobChange, LobDocument, LobState, Suspension, TenantChange, TenantDocument, TenantState,
    Unfinished, Version,
};
use admission::{LimitRule, StoreError};
use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};
use tenancy::{LobId, Status, TenantId};

use super::{Administration, Unwritable};
use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, VERSION, audit_put, number, transact};

/// The attributes of a tenant that a change sets or takes away.
const TENANT_FIELDS: [&str; 12] = [
    "name",
    "lob_id",
    "contact",
    "branding",
    "tags",
    "models",
    "default_max_tokens",
    "settings",
    "aliases",
    "projects",
    "status",
    "suspension",
];

/// Those of a line of business.
const LOB_FIELDS: [&str; 5] = ["name", "contact", "tags", "models", "status"];

/// What a tenant's item says beside its limits.
#[derive(Debug, Serialize, Deserialize)]
struct TenantItem {
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspension: Option<Suspension>,
    #[serde(flatten)]
    document: TenantDocument,
}

/// What every level counts.
#[derive(Debug, Deserialize)]
struct Counted<T> {
    #[serde(default)]
    entitlement_version: u64,
    #[serde(flatten)]
    item: T,
}

impl Administration {
    pub(super) async fn read_tenant(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Option<TenantState>, StoreError> {
        let meta = key::key(key::tenant(tenant_id), key::META.to_owned());
        let note = key::key(key::UNFINISHED.to_owned(), format!("tenants/{tenant_id}"));
        let (found, unfinished) = tokio::try_join!(
            self.get::<Counted<TenantItem>>("read a tenant", meta),
            self.get::<Unfinished>("read a tenant", note),
        )?;
        Ok(found.map(|Counted { entitlement_version, mut item }| {
            name_if_unnamed(&mut item.document.name, tenant_id.as_str());
            TenantState {
                version: entitlement_version,
                status: item.status,
                suspension: item.suspension,
                document: item.document.normal(),
                is_changing: unfinished.is_some(),
            }
        }))
    }

    pub(super) async fn read_lob(&self, lob_id: &LobId) -> Result<Option<LobState>, StoreError> {
        let meta = key::key(key::lob(lob_id), key::META.to_owned());
        let note = key::key(key::UNFINISHED.to_owned(), format!("lobs/{lob_id}"));
        let (found, unfinished) = tokio::try_join!(
            self.get::<Counted<LobDocument>>("read a line of business", meta),
            self.get::<Unfinished>("read a line of business", note),
        )?;
        Ok(found.map(|Counted { entitlement_version, item: mut document }| {
            name_if_unnamed(&mut document.name, lob_id.as_str());
            LobState {
                version: entitlement_version,
                document: document.normal(),
                is_changing: unfinished.is_some(),
            }
        }))
    }

    pub(super) async fn write_tenant(&self, change: &TenantChange) -> Result<bool, StoreError> {
        let writes = self.tenant_writes(change);
        let writes =
            writes.map_err(|error| store_error("change a tenant", &change.tenant_id, error))?;
        transact(&self.client, "change a tenant", &change.tenant_id, writes).await
    }

    pub(super) async fn write_lob(&self, change: &LobChange) -> Result<bool, StoreError> {
        let operation = "change a line of business";
        let writes = self.lob_writes(change);
        let writes = writes.map_err(|error| store_error(operation, &change.lob_id, error))?;
        transact(&self.client, operation, &change.lob_id, writes).await
    }

    fn tenant_writes(&self, change: &TenantChange) -> Result<Vec<TransactWriteItem>, Unwritable> {
        let id = &change.tenant_id;
        let item = TenantItem {
            status: change.status,
            suspension: change.suspension.clone(),
            document: change.document.clone(),
        };
        let mut fields: Item = serde_dynamo::to_item(item)?;
        let before = change.before.as_ref().map(|state| state.version);
        let meta = key::key(key::tenant(id), key::META.to_owned());
        let mut writes = vec![if let Some(version) = before {
            self.set(meta, &mut fields, &TENANT_FIELDS, version)?
        } else {
            fields.insert("tenant_id".to_owned(), serde_dynamo::to_attribute_value(id)?);
            self.put_new(created(fields, meta)?)?
        }];
        if before.is_none() {
            let check = ConditionCheck::builder()
                .table_name(&self.table)
                .set_key(Some(key::tombstone(id)))
                .condition_expression("attribute_not_exists(PK)")
                .build()?;
            writes.push(TransactWriteItem::builder().condition_check(check).build());
        }
        if let Some(state) = &change.before {
            // How it was when limits made the version, or when somebody seeded it. Whoever writes it,
            // it is the same.
            writes.push(self.version_put(id, state.version, &state.document)?);
        }
        writes.push(self.version_put(
            id,
            before.unwrap_or(0).saturating_add(1),
            &change.document,
        )?);
        if let Some(request) = &change.granted {
            writes.push(self.put_request(id, request)?);
        }
        writes.push(self.put(note_item(&change.unfinished)?)?);
        writes.push(audit_put(&self.table, key::tenant(id), &change.entry)?);
        Ok(writes)
    }

    fn lob_writes(&self, change: &LobChange) -> Result<Vec<TransactWriteItem>, Unwritable> {
        let id = &change.lob_id;
        let mut fields: Item = serde_dynamo::to_item(&change.document)?;
        let meta = key::key(key::lob(id), key::META.to_owned());
        let mut writes = if let Some(state) = &change.before {
            vec![self.set(meta, &mut fields, &LOB_FIELDS, state.version)?]
        } else {
            fields.insert("lob_id".to_owned(), serde_dynamo::to_attribute_value(id)?);
            // Where the organisation's lines of business are listed.
            let listed = key::key(key::ORG.to_owned(), key::lob(id));
            vec![self.put_new(created(fields, meta)?)?, self.put(listed)?]
        };
        writes.push(self.put(note_item(&change.unfinished)?)?);
        writes.push(audit_put(&self.table, key::lob(id), &change.entry)?);
        Ok(writes)
    }

    /// Sets those of `names` that are in `fields`, takes the others away, and raises the version.
    fn set(
        &self,
        key: key::Key,
        fields: &mut Item,
        names: &[&str],
        version: u64,
    ) -> Result<TransactWriteItem, Unwritable> {
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .condition_expression("#version = :old")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":old", number(version))
            .expression_attribute_values(":new", number(version.saturating_add(1)));
        let (mut sets, mut removes) = (vec!["#version = :new".to_owned()], Vec::new());
        for name in names {
            update = update.expression_attribute_names(format!("#{name}"), *name);
            if let Some(value) = fields.remove(*name) {
                update = update.expression_attribute_values(format!(":{name}"), value);
                sets.push(format!("#{name} = :{name}"));
            } else {
                removes.push(format!("#{name}"));
            }
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if !removes.is_empty() {
            expression = format!("{expression} REMOVE {}", removes.join(", "));
        }
        let update = update.update_expression(expression).build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn version_put(
        &self,
        tenant_id: &TenantId,
        version: u64,
        document: &TenantDocument,
    ) -> Result<TransactWriteItem, Unwritable> {
        let item = Version { version, document: document.clone() };
        let mut item: Item = serde_dynamo::to_item(item)?;
        item.extend(key::version(tenant_id, version));
        self.put(item)
    }
}

/// A level that is new: its first version, without limits of its own.
fn created(mut fields: Item, key: key::Key) -> Result<Item, Unwritable> {
    fields.insert(VERSION.to_owned(), number(1));
    fields.insert("limits".to_owned(), serde_dynamo::to_attribute_value(Vec::<LimitRule>::new())?);
    fields.extend(key);
    Ok(fields)
}

/// The item of a note.
pub(crate) fn note_item(unfinished: &Unfinished) -> Result<Item, Unwritable> {
    let mut item: Item = serde_dynamo::to_item(unfinished)?;
    item.extend(note_key(unfinished));
    Ok(item)
}

/// Its key.
pub(crate) fn note_key(unfinished: &Unfinished) -> key::Key {
    key::key(key::UNFINISHED.to_owned(), unfinished.task.subject())
}

/// What was made without a name is called by its id.
fn name_if_unnamed(name: &mut String, id: &str) {
    if name.is_empty() {
        id.clone_into(name);
    }
}
