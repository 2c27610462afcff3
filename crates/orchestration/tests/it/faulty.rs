//! Ports in memory whose calls go wrong, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex};

use administration::fakes::{FakePool, FakeTable};
use administration::{
    AdministrationStore, LobChange, LobState, MachineClient, NewSecret, RegisteredIssuer, Secret,
    TenantChange, TenantPage, TenantState, TenantsAsked, Unfinished, User, UserPool, UserPoolError,
    Version,
};
use admission::{AuditEntry, LimitRule, StoreError};
use events::fakes::InMemorySink;
use events::{Event, EventSink, PublishError};
use orchestration::fakes::InMemoryTasks;
use orchestration::{Created, Task, TaskStore, TenantLimits, TenantRemoval};
use tenancy::{AwsRole, LobId, ModelId, TenantId};

/// How one call of a port goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done, and it says so.
    Fails,
    /// So does every later call of that operation, until it is healed.
    FailsForEver,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// Nothing is done, and the caller dies waiting.
    DiesBefore,
    /// It is done, and the caller dies waiting for the answer.
    DiesAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Fails, Self::FailsForEver, Self::AnswerLost, Self::DiesBefore, Self::DiesAfter];
}

#[derive(Debug, Default)]
struct Plan {
    calls: Vec<&'static str>,
    wrong: Option<(usize, Fault)>,
    broken: Option<&'static str>,
}

/// Counts calls of ports, and makes one of them go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<Plan>,
    /// Told when a caller is to die.
    pub(crate) deaths: tokio::sync::Notify,
}

impl Faults {
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn plan(&self, call: usize, fault: Fault) {
        self.state.lock().unwrap().wrong = Some((call, fault));
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.wrong, state.broken) = (None, None);
    }

    async fn call<T, E>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
        error: impl FnOnce(&'static str) -> E,
    ) -> Result<T, E> {
        let fault = {
            let mut state = self.state.lock().unwrap();
            let number = state.calls.len();
            state.calls.push(operation);
            let planned = state.wrong.filter(|(call, _)| *call == number).map(|(_, fault)| fault);
            if planned == Some(Fault::FailsForEver) {
                state.broken = Some(operation);
            }
            if state.broken == Some(operation) { Some(Fault::Fails) } else { planned }
        };
        match fault {
            None => work.await,
            Some(Fault::Fails | Fault::FailsForEver) => Err(error(operation)),
            Some(Fault::AnswerLost) => {
                work.await?;
                Err(error(operation))
            }
            Some(Fault::DiesBefore) => self.die().await,
            Some(Fault::DiesAfter) => {
                work.await?;
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.deaths.notify_one();
        pending().await
    }
}

/// A port, and what goes wrong with it.
#[derive(Debug)]
pub(crate) struct Faulty<T> {
    pub(crate) inner: T,
    pub(crate) faults: Arc<Faults>,
    /// Limits of tenants, which only the table has.
    pub(crate) limits: Mutex<BTreeMap<TenantId, Vec<LimitRule>>>,
}

impl<T: Default> Faulty<T> {
    pub(crate) fn new(faults: &Arc<Faults>) -> Self {
        let (inner, limits) = (T::default(), Mutex::default());
        Self { inner, faults: Arc::clone(faults), limits }
    }
}

fn store(operation: &'static str) -> StoreError {
    StoreError { operation, subject: "a test".to_owned(), source: "made to fail".into() }
}

fn pool(operation: &'static str) -> UserPoolError {
    UserPoolError::Failed { operation, source: "made to fail".into() }
}

macro_rules! pass {
    ($self:ident.$name:ident($($argument:expr),*), $error:expr) => {
        $self.faults.call(stringify!($name), $self.inner.$name($($argument),*), $error).await
    };
}

impl TaskStore for Faulty<InMemoryTasks> {
    async fn create(&self, task: &Task, entry: &AuditEntry) -> Result<Created, StoreError> {
        pass!(self.create(task, entry), store)
    }
    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        pass!(self.task(task_id), store)
    }
    async fn save(&self, task: &Task, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        pass!(self.save(task, entry), store)
    }
    async fn open(&self) -> Result<Vec<Task>, StoreError> {
        pass!(self.open(), store)
    }
}

impl TenantLimits for Faulty<FakeTable> {
    async fn set_limits(
        &self,
        tenant_id: &TenantId,
        rules: &[LimitRule],
        _entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let work = async {
            let before = self.limits.lock().unwrap().insert(tenant_id.clone(), rules.to_vec());
            if before.as_deref() != Some(rules) {
                let mut data = self.inner.data();
                data.tenants.get_mut(tenant_id).unwrap().version += 1;
            }
            Ok(())
        };
        self.faults.call("set_limits", work, store).await
    }
}

impl TenantRemoval for Faulty<FakeTable> {
    async fn remove_tenant(
        &self,
        tenant_id: &TenantId,
        reason: &str,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut data = self.inner.data();
            let found = data.tenants.get(tenant_id).and_then(|state| state.suspension.as_ref());
            if found.is_some_and(|suspension| suspension.reason == reason) {
                data.tenants.remove(tenant_id);
                data.versions.retain(|(id, _), _| id != tenant_id);
                data.known.remove(tenant_id);
                data.audit.push((tenant_id.to_string(), entry.clone()));
                self.limits.lock().unwrap().remove(tenant_id);
            }
            Ok(())
        };
        self.faults.call("remove_tenant", work, store).await
    }
}

impl AdministrationStore for Faulty<FakeTable> {
    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantState>, StoreError> {
        pass!(self.tenant(id), store)
    }
    async fn lob(&self, id: &LobId) -> Result<Option<LobState>, StoreError> {
        pass!(self.lob(id), store)
    }
    async fn lobs(&self, after: Option<&LobId>, limit: usize) -> Result<Vec<LobId>, StoreError> {
        pass!(self.lobs(after, limit), store)
    }
    async fn tenant_page(&self, asked: &TenantsAsked) -> Result<TenantPage, StoreError> {
        pass!(self.tenant_page(asked), store)
    }
    async fn tenants_of(&self, id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        pass!(self.tenants_of(id), store)
    }
    async fn models(&self) -> Result<BTreeSet<ModelId>, StoreError> {
        pass!(self.models(), store)
    }
    async fn change_tenant(&self, change: &TenantChange) -> Result<bool, StoreError> {
        pass!(self.change_tenant(change), store)
    }
    async fn change_lob(&self, change: &LobChange) -> Result<bool, StoreError> {
        pass!(self.change_lob(change), store)
    }
    async fn version(&self, id: &TenantId, version: u64) -> Result<Option<Version>, StoreError> {
        pass!(self.version(id, version), store)
    }
    async fn history(
        &self,
        id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        pass!(self.history(id, before, limit), store)
    }
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        pass!(self.note(entry), store)
    }
    async fn renew(&self, id: &TenantId, raise: bool) -> Result<(), StoreError> {
        pass!(self.renew(id, raise), store)
    }
    async fn begin(
        &self,
        id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        pass!(self.begin(id, unfinished, entry), store)
    }
    async fn end(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        pass!(self.end(unfinished), store)
    }
    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        pass!(self.unfinished(), store)
    }
    async fn clients(&self, id: &TenantId) -> Result<Vec<MachineClient>, StoreError> {
        pass!(self.clients(id), store)
    }
    async fn register_client(
        &self,
        id: &TenantId,
        issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.register_client(id, issuer, client, unfinished, entry), store)
    }
    async fn unregister_client(
        &self,
        id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.unregister_client(id, client_id, unfinished, entry), store)
    }
    async fn aws_roles(&self, id: &TenantId) -> Result<Vec<AwsRole>, StoreError> {
        pass!(self.aws_roles(id), store)
    }
    async fn put_aws_role(&self, role: &AwsRole, entry: &AuditEntry) -> Result<bool, StoreError> {
        pass!(self.put_aws_role(role, entry), store)
    }
    async fn delete_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.delete_aws_role(role, entry), store)
    }
    async fn issuers(&self, owner: Option<&TenantId>) -> Result<Vec<RegisteredIssuer>, StoreError> {
        pass!(self.issuers(owner), store)
    }
    async fn put_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.put_issuer(issuer, before, entry), store)
    }
    async fn delete_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        pass!(self.delete_issuer(issuer, entry), store)
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
