//! Ports in memory whose calls may go wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use administration::fakes::{FakePool, FakeTable};
use administration::{
    AdministrationStore, LobChange, LobState, MachineClient, ModelRequest, NewSecret,
    RegisteredIssuer, Secret, TenantChange, TenantPage, TenantState, TenantsAsked, Unfinished,
    User, UserPool, UserPoolError, Version,
};
use admission::{AuditEntry, StoreError};
use bytes::Bytes;
use events::fakes::InMemorySink;
use events::{Event, EventSink, PublishError};
use lake::fakes::InMemoryObjects;
use lake::{ObjectError, ObjectStore};
use metering::fakes::InMemoryUsage;
use metering::{Granularity, RollupError, RollupRow, RollupStore};
use tenancy::{AwsRole, LobId, ModelId, TenantId};

use super::faults::Faults;

/// A port, and what goes wrong with it.
#[derive(Debug)]
pub struct Faulty<T> {
    /// What works.
    pub inner: Arc<T>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
}

impl<T> Faulty<T> {
    /// A port that works until something is planned.
    pub fn of(inner: T, faults: &Arc<Faults>) -> Self {
        Self { inner: Arc::new(inner), faults: Arc::clone(faults) }
    }
}

/// What a table says when it is made to fail.
pub fn store_error(operation: &'static str) -> StoreError {
    StoreError { operation, subject: "a test".to_owned(), source: "made to fail".into() }
}

fn pool(operation: &'static str) -> UserPoolError {
    UserPoolError::Failed { operation, source: "made to fail".into() }
}

fn object(operation: &'static str) -> ObjectError {
    ObjectError { operation, key: "a test".to_owned(), source: "made to fail".into() }
}

fn rollup(operation: &'static str) -> RollupError {
    RollupError { operation, subject: "a test".to_owned(), source: "made to fail".into() }
}

macro_rules! pass {
    ($self:ident.$name:ident($($argument:expr),*), $error:expr) => {
        $self.faults.call(stringify!($name), $self.inner.$name($($argument),*), $error).await
    };
}

impl AdministrationStore for Faulty<FakeTable> {
    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantState>, StoreError> {
        pass!(self.tenant(id), store_error)
    }
    async fn lob(&self, id: &LobId) -> Result<Option<LobState>, StoreError> {
        pass!(self.lob(id), store_error)
    }
    async fn lobs(&self, after: Option<&LobId>, limit: usize) -> Result<Vec<LobId>, StoreError> {
        pass!(self.lobs(after, limit), store_error)
    }
    async fn tenant_page(&self, asked: &TenantsAsked) -> Result<TenantPage, StoreError> {
        pass!(self.tenant_page(asked), store_error)
    }
    async fn tenants_of(&self, id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        pass!(self.tenants_of(id), store_error)
    }
    async fn models(&self) -> Result<BTreeSet<ModelId>, StoreError> {
        pass!(self.models(), store_error)
    }
    async fn is_retired(&self, id: &TenantId) -> Result<bool, StoreError> {
        pass!(self.is_retired(id), store_error)
    }
    async fn change_tenant(&self, change: &TenantChange) -> Result<bool, StoreError> {
        pass!(self.change_tenant(change), store_error)
    }
    async fn change_lob(&self, change: &LobChange) -> Result<bool, StoreError> {
        pass!(self.change_lob(change), store_error)
    }
    async fn model_requests(&self, id: &TenantId) -> Result<Vec<ModelRequest>, StoreError> {
        pass!(self.model_requests(id), store_error)
    }
    async fn put_model_request(
        &self,
        id: &TenantId,
        request: &ModelRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.put_model_request(id, request, entry), store_error)
    }
    async fn version(&self, id: &TenantId, version: u64) -> Result<Option<Version>, StoreError> {
        pass!(self.version(id, version), store_error)
    }
    async fn history(
        &self,
        id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        pass!(self.history(id, before, limit), store_error)
    }
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        pass!(self.note(entry), store_error)
    }
    async fn renew(&self, id: &TenantId, raise: bool) -> Result<(), StoreError> {
        pass!(self.renew(id, raise), store_error)
    }
    async fn begin(
        &self,
        id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        pass!(self.begin(id, unfinished, entry), store_error)
    }
    async fn end(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        pass!(self.end(unfinished), store_error)
    }
    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        pass!(self.unfinished(), store_error)
    }
    async fn clients(&self, id: &TenantId) -> Result<Vec<MachineClient>, StoreError> {
        pass!(self.clients(id), store_error)
    }
    async fn register_client(
        &self,
        id: &TenantId,
        issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.register_client(id, issuer, client, unfinished, entry), store_error)
    }
    async fn unregister_client(
        &self,
        id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.unregister_client(id, client_id, unfinished, entry), store_error)
    }
    async fn aws_roles(&self, id: &TenantId) -> Result<Vec<AwsRole>, StoreError> {
        pass!(self.aws_roles(id), store_error)
    }
    async fn put_aws_role(&self, role: &AwsRole, entry: &AuditEntry) -> Result<bool, StoreError> {
        pass!(self.put_aws_role(role, entry), store_error)
    }
    async fn delete_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.delete_aws_role(role, entry), store_error)
    }
    async fn issuers(&self, owner: Option<&TenantId>) -> Result<Vec<RegisteredIssuer>, StoreError> {
        pass!(self.issuers(owner), store_error)
    }
    async fn put_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.put_issuer(issuer, before, entry), store_error)
    }
    async fn delete_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.delete_issuer(issuer, entry), store_error)
    }
}

impl UserPool for Faulty<FakePool> {
    fn issuer(&self) -> &str {
        self.inner.issuer()
    }
    async fn user(&self, name: &str) -> Result<Option<User>, UserPoolError> {
        pass!(self.user(name), pool)
    }
    async fn create_user(&self, email: &str, invite: bool) -> Result<User, UserPoolError> {
        pass!(self.create_user(email, invite), pool)
    }
    async fn groups_of(&self, id: &str) -> Result<Vec<String>, UserPoolError> {
        pass!(self.groups_of(id), pool)
    }
    async fn add_to_group(&self, id: &str, group: &str) -> Result<(), UserPoolError> {
        pass!(self.add_to_group(id, group), pool)
    }
    async fn remove_from_group(&self, id: &str, group: &str) -> Result<(), UserPoolError> {
        pass!(self.remove_from_group(id, group), pool)
    }
    async fn set_enabled(&self, id: &str, is_enabled: bool) -> Result<(), UserPoolError> {
        pass!(self.set_enabled(id, is_enabled), pool)
    }
    async fn sign_out(&self, id: &str) -> Result<(), UserPoolError> {
        pass!(self.sign_out(id), pool)
    }
    async fn users_in(&self, group: &str) -> Result<Vec<User>, UserPoolError> {
        pass!(self.users_in(group), pool)
    }
    async fn create_client(
        &self,
        name: &str,
        scopes: &BTreeSet<String>,
    ) -> Result<NewSecret, UserPoolError> {
        pass!(self.create_client(name, scopes), pool)
    }
    async fn clients_named(&self, name: &str) -> Result<Vec<String>, UserPoolError> {
        pass!(self.clients_named(name), pool)
    }
    async fn delete_client(&self, client_id: &str) -> Result<(), UserPoolError> {
        pass!(self.delete_client(client_id), pool)
    }
    async fn secret_of(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        pass!(self.secret_of(client_id), pool)
    }
    async fn secrets_of(&self, client_id: &str) -> Result<Vec<String>, UserPoolError> {
        pass!(self.secrets_of(client_id), pool)
    }
    async fn add_secret(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        pass!(self.add_secret(client_id), pool)
    }
    async fn delete_secret(&self, client_id: &str, secret: &str) -> Result<(), UserPoolError> {
        pass!(self.delete_secret(client_id, secret), pool)
    }
}

impl ObjectStore for Faulty<InMemoryObjects> {
    async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), ObjectError> {
        pass!(self.put(key, bytes, content_type), object)
    }
    async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        expected: Option<&lake::Version>,
    ) -> Result<bool, ObjectError> {
        pass!(self.replace(key, bytes, content_type, expected), object)
    }
    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
        pass!(self.get(key), object)
    }
    async fn version(&self, key: &str) -> Result<Option<lake::Version>, ObjectError> {
        pass!(self.version(key), object)
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        pass!(self.list(prefix), object)
    }
    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        pass!(self.delete(key), object)
    }
}

impl RollupStore for Faulty<InMemoryUsage> {
    async fn rollups(
        &self,
        id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RollupRow>, RollupError> {
        pass!(self.rollups(id, granularity, from_ms, to_ms), rollup)
    }
}

impl EventSink for Faulty<InMemorySink> {
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PublishError>> {
        let publish = async {
            let outcomes = self.inner.publish(events).await;
            outcomes.into_iter().collect::<Result<Vec<()>, _>>()
        };
        let failed = |_| PublishError { id: "a test".to_owned(), source: "made to fail".into() };
        match self.faults.call("publish", publish, failed).await {
            Ok(taken) => taken.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }
}
