//! In-memory doubles of the ports. Names in `failing` are operations that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use admission::{AuditEntry, LimitRule, RequestStatus, StoreError};
use tenancy::{AwsRole, LobId, ModelId, PrincipalId, TenantId};

use crate::callers::{MachineClient, NewSecret, Secret};
use crate::issuers::RegisteredIssuer;
use crate::task::Unfinished;
use crate::{
    AdministrationStore, LobChange, LobState, ModelRequest, TenantChange, TenantPage, TenantState,
    TenantsAsked, User, UserPool, UserPoolError, Version,
};

/// What the table holds.
#[derive(Debug, Default)]
pub struct Data {
    /// Tenants, without whether they are changing.
    pub tenants: BTreeMap<TenantId, TenantState>,
    /// Tenants that were off-boarded.
    pub retired: BTreeSet<TenantId>,
    /// Lines of business, likewise.
    pub lobs: BTreeMap<LobId, LobState>,
    /// Registered models.
    pub models: BTreeSet<ModelId>,
    /// Models that tenants asked for.
    pub model_requests: BTreeMap<(TenantId, String), ModelRequest>,
    /// Versions of tenants.
    pub versions: BTreeMap<(TenantId, u64), Version>,
    /// Audit entries with the partition they are in, oldest first.
    pub audit: Vec<(String, AuditEntry)>,
    /// The version that each tenant's meter knows.
    pub known: BTreeMap<TenantId, u64>,
    /// Limits of tenants; those who set them are behind other ports.
    pub limits: BTreeMap<TenantId, Vec<LimitRule>>,
    /// Notes by subject.
    pub unfinished: BTreeMap<String, Unfinished>,
    /// Registered clients, and the tenant of each.
    pub clients: BTreeMap<String, (TenantId, MachineClient)>,
    /// Registered roles by account and name.
    pub aws_roles: BTreeMap<(String, String), AwsRole>,
    /// Registered issuers by name.
    pub issuers: BTreeMap<String, RegisteredIssuer>,
    /// Operations that fail.
    pub failing: BTreeSet<&'static str>,
}

/// A table in memory.
#[derive(Debug, Default)]
pub struct FakeTable(Mutex<Data>);

impl FakeTable {
    /// What it holds.
    pub fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn works(&self, operation: &'static str) -> Result<MutexGuard<'_, Data>, StoreError> {
        let data = self.data();
        if data.failing.contains(operation) {
            let source = "the table is away".into();
            return Err(StoreError { operation, subject: "a test".to_owned(), source });
        }
        Ok(data)
    }
}

impl Data {
    /// Writes a request, unless somebody decided on it before.
    fn decide(&mut self, tenant_id: &TenantId, request: &ModelRequest) -> bool {
        let key = (tenant_id.clone(), request.id.clone());
        let found = self.model_requests.get(&key);
        let is_open = found.is_none_or(|found| found.status == RequestStatus::Requested);
        if is_open {
            self.model_requests.insert(key, request.clone());
        }
        is_open
    }
}

impl AdministrationStore for FakeTable {
    async fn tenant(&self, tenant_id: &TenantId) -> Result<Option<TenantState>, StoreError> {
        let data = self.works("tenant")?;
        let is_changing = data.unfinished.contains_key(&format!("tenants/{tenant_id}"));
        Ok(data.tenants.get(tenant_id).map(|state| TenantState { is_changing, ..state.clone() }))
    }

    async fn lob(&self, lob_id: &LobId) -> Result<Option<LobState>, StoreError> {
        let data = self.works("lob")?;
        let is_changing = data.unfinished.contains_key(&format!("lobs/{lob_id}"));
        Ok(data.lobs.get(lob_id).map(|state| LobState { is_changing, ..state.clone() }))
    }

    async fn lobs(&self, after: Option<&LobId>, limit: usize) -> Result<Vec<LobId>, StoreError> {
        let data = self.works("lobs")?;
        let later = data.lobs.keys().filter(|id| after.is_none_or(|after| *id > after));
        Ok(later.take(limit + 1).cloned().collect())
    }

    async fn tenant_page(&self, asked: &TenantsAsked) -> Result<TenantPage, StoreError> {
        let data = self.works("tenant_page")?;
        let mut found: Vec<TenantId> = data
            .tenants
            .iter()
            .filter(|(id, state)| {
                state.document.lob_id == asked.lob_id
                    && id.as_str().starts_with(&asked.prefix)
                    && asked.after.as_ref().is_none_or(|after| *id > after)
            })
            .map(|(id, _)| id.clone())
            .take(asked.limit + 1)
            .collect();
        let has_more = found.len() > asked.limit;
        found.truncate(asked.limit);
        Ok(TenantPage { tenants: found, has_more })
    }

    async fn tenants_of(&self, lob_id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        let data = self.works("tenants_of")?;
        let of_lob = data.tenants.iter().filter(|(_, it)| it.document.lob_id == *lob_id);
        Ok(of_lob.map(|(id, _)| id.clone()).collect())
    }

    async fn models(&self) -> Result<BTreeSet<ModelId>, StoreError> {
        Ok(self.works("models")?.models.clone())
    }

    async fn is_retired(&self, tenant_id: &TenantId) -> Result<bool, StoreError> {
        Ok(self.works("is_retired")?.retired.contains(tenant_id))
    }

    async fn change_tenant(&self, change: &TenantChange) -> Result<bool, StoreError> {
        let mut data = self.works("change_tenant")?;
        if change.before.is_none() && data.retired.contains(&change.tenant_id) {
            return Ok(false);
        }
        let found = data.tenants.get(&change.tenant_id).map(|state| state.version);
        let before = change.before.as_ref().map(|state| state.version);
        if found != before {
            return Ok(false);
        }
        if change.granted.as_ref().is_some_and(|it| !data.decide(&change.tenant_id, it)) {
            return Ok(false);
        }
        let version = before.unwrap_or(0) + 1;
        let id = change.tenant_id.clone();
        if let Some(before) = &change.before {
            let document = before.document.clone();
            let was = Version { version: before.version, document };
            data.versions.entry((id.clone(), before.version)).or_insert(was);
        }
        let document = change.document.clone();
        data.versions
            .insert((id.clone(), version), Version { version, document: document.clone() });
        let state = TenantState {
            version,
            status: change.status,
            suspension: change.suspension.clone(),
            document,
            is_changing: false,
        };
        data.tenants.insert(id.clone(), state);
        data.audit.push((id.to_string(), change.entry.clone()));
        data.unfinished.insert(change.unfinished.task.subject(), change.unfinished.clone());
        Ok(true)
    }

    async fn change_lob(&self, change: &LobChange) -> Result<bool, StoreError> {
        let mut data = self.works("change_lob")?;
        let found = data.lobs.get(&change.lob_id).map(|state| state.version);
        let before = change.before.as_ref().map(|state| state.version);
        if found != before {
            return Ok(false);
        }
        let version = before.unwrap_or(0) + 1;
        let document = change.document.clone();
        let state = LobState { version, document, is_changing: false };
        data.lobs.insert(change.lob_id.clone(), state);
        data.audit.push((change.lob_id.to_string(), change.entry.clone()));
        data.unfinished.insert(change.unfinished.task.subject(), change.unfinished.clone());
        Ok(true)
    }

    async fn model_requests(&self, tenant_id: &TenantId) -> Result<Vec<ModelRequest>, StoreError> {
        let data = self.works("model_requests")?;
        let own = data.model_requests.iter().rev().filter(|((owner, _), _)| owner == tenant_id);
        Ok(own.map(|(_, request)| request.clone()).collect())
    }

    async fn put_model_request(
        &self,
        tenant_id: &TenantId,
        request: &ModelRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("put_model_request")?;
        if !data.tenants.contains_key(tenant_id) || !data.decide(tenant_id, request) {
            return Ok(false);
        }
        data.audit.push((tenant_id.to_string(), entry.clone()));
        Ok(true)
    }

    async fn version(
        &self,
        tenant_id: &TenantId,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        Ok(self.works("version")?.versions.get(&(tenant_id.clone(), version)).cloned())
    }

    async fn history(
        &self,
        tenant_id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let data = self.works("history")?;
        let subject = format!("tenants/{tenant_id}");
        let is_of = |entry: &AuditEntry| {
            entry
                .subject
                .strip_prefix(&subject)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let entries = data.audit.iter().rev().filter(|(partition, entry)| {
            *partition == tenant_id.to_string()
                && is_of(entry)
                && before.is_none_or(|before| entry.position().as_str() < before)
        });
        Ok(entries.map(|(_, entry)| entry.clone()).take(limit).collect())
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.works("note")?.audit.push((entry.tenant_id.to_string(), entry.clone()));
        Ok(())
    }

    async fn renew(&self, tenant_id: &TenantId, raise: bool) -> Result<(), StoreError> {
        let mut data = self.works("renew")?;
        let Some(state) = data.tenants.get_mut(tenant_id) else { return Ok(()) };
        state.version += u64::from(raise);
        let version = state.version;
        data.known.insert(tenant_id.clone(), version);
        Ok(())
    }

    async fn begin(
        &self,
        tenant_id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("begin")?;
        let subject = unfinished.task.subject();
        if data.unfinished.contains_key(&subject) {
            return Ok(false);
        }
        data.unfinished.insert(subject, unfinished.clone());
        data.audit.extend(entry.map(|entry| (tenant_id.to_string(), entry.clone())));
        Ok(true)
    }

    async fn end(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let mut data = self.works("end")?;
        let subject = unfinished.task.subject();
        if data.unfinished.get(&subject).is_some_and(|it| it.id == unfinished.id) {
            data.unfinished.remove(&subject);
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        Ok(self.works("unfinished")?.unfinished.values().cloned().collect())
    }

    async fn clients(&self, tenant_id: &TenantId) -> Result<Vec<MachineClient>, StoreError> {
        let data = self.works("clients")?;
        let own = data.clients.values().filter(|(owner, _)| owner == tenant_id);
        Ok(own.map(|(_, client)| client.clone()).collect())
    }

    async fn register_client(
        &self,
        tenant_id: &TenantId,
        _issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("register_client")?;
        if data.unfinished.remove(&unfinished.task.subject()).is_none() {
            return Ok(false);
        }
        data.clients.insert(client.client_id.clone(), (tenant_id.clone(), client.clone()));
        data.audit.push((tenant_id.to_string(), entry.clone()));
        Ok(true)
    }

    async fn unregister_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("unregister_client")?;
        if data.clients.get(client_id).is_none_or(|(owner, _)| owner != tenant_id) {
            return Ok(false);
        }
        data.clients.remove(client_id);
        data.unfinished.insert(unfinished.task.subject(), unfinished.clone());
        data.audit.push((tenant_id.to_string(), entry.clone()));
        Ok(true)
    }

    async fn aws_roles(&self, tenant_id: &TenantId) -> Result<Vec<AwsRole>, StoreError> {
        let data = self.works("aws_roles")?;
        Ok(data.aws_roles.values().filter(|it| it.tenant_id == *tenant_id).cloned().collect())
    }

    async fn put_aws_role(&self, role: &AwsRole, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut data = self.works("put_aws_role")?;
        let key = (role.account_id.clone(), role.role_name.clone());
        if data.aws_roles.get(&key).is_some_and(|it| it.tenant_id != role.tenant_id) {
            return Ok(false);
        }
        data.aws_roles.insert(key, role.clone());
        data.audit.push((role.tenant_id.to_string(), entry.clone()));
        Ok(true)
    }

    async fn delete_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("delete_aws_role")?;
        let key = (role.account_id.clone(), role.role_name.clone());
        if data.aws_roles.get(&key).is_none_or(|it| it.tenant_id != role.tenant_id) {
            return Ok(false);
        }
        data.aws_roles.remove(&key);
        data.audit.push((role.tenant_id.to_string(), entry.clone()));
        Ok(true)
    }

    async fn issuers(&self, owner: Option<&TenantId>) -> Result<Vec<RegisteredIssuer>, StoreError> {
        let data = self.works("issuers")?;
        let own = data.issuers.values().filter(|it| it.issuer.tenant_id.as_ref() == owner);
        Ok(own.cloned().collect())
    }

    async fn put_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("put_issuer")?;
        let (name, owner) = (issuer.issuer.issuer.clone(), issuer.issuer.tenant_id.clone());
        let found = data.issuers.get(&name);
        if found.map(|it| it.version) != before
            || found.is_some_and(|it| it.issuer.tenant_id != owner)
        {
            return Ok(false);
        }
        data.issuers.insert(name, issuer.clone());
        let partition = owner.map_or_else(|| "ORG".to_owned(), |id| id.to_string());
        data.audit.push((partition, entry.clone()));
        Ok(true)
    }

    async fn delete_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("delete_issuer")?;
        if data.issuers.get(&issuer.issuer.issuer) != Some(issuer) {
            return Ok(false);
        }
        data.issuers.remove(&issuer.issuer.issuer);
        let partition =
            issuer.issuer.tenant_id.as_ref().map_or("ORG".to_owned(), TenantId::to_string);
        data.audit.push((partition, entry.clone()));
        Ok(true)
    }
}

/// Somebody in the pool.
#[derive(Debug, Clone)]
pub struct Person {
    /// As the pool shows them.
    pub user: User,
    /// Where they are in.
    pub groups: BTreeSet<String>,
    /// How often their sessions were ended.
    pub sign_outs: usize,
    /// Whether they were written to.
    pub is_invited: bool,
}

/// What the pool holds.
#[derive(Debug, Default)]
pub struct PoolData {
    /// People by id.
    pub people: BTreeMap<String, Person>,
    /// Clients by id: name and secrets.
    pub clients: BTreeMap<String, (String, Vec<String>)>,
    /// Operations that fail.
    pub failing: BTreeSet<&'static str>,
    /// Whether clients can have one secret only.
    pub is_old: bool,
    made: usize,
}

/// A user pool in memory.
#[derive(Debug, Default)]
pub struct FakePool(Mutex<PoolData>);

impl FakePool {
    /// What it holds.
    pub fn data(&self) -> MutexGuard<'_, PoolData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds somebody with these groups.
    pub fn add(&self, id: &str, email: &str, groups: &[&str]) {
        let Ok(id) = PrincipalId::try_from(id.to_owned()) else { return };
        let user = User {
            id: id.clone(),
            email: email.to_owned(),
            is_enabled: true,
            status: "CONFIRMED".to_owned(),
        };
        let groups = groups.iter().map(|it| (*it).to_owned()).collect();
        let person = Person { user, groups, sign_outs: 0, is_invited: false };
        self.data().people.insert(id.to_string(), person);
    }

    fn works(&self, operation: &'static str) -> Result<MutexGuard<'_, PoolData>, UserPoolError> {
        let data = self.data();
        if data.failing.contains(operation) {
            return Err(UserPoolError::Failed { operation, source: "the pool is away".into() });
        }
        Ok(data)
    }

    fn person<T>(
        &self,
        operation: &'static str,
        id: &str,
        change: impl FnOnce(&mut Person) -> T,
    ) -> Result<T, UserPoolError> {
        let mut data = self.works(operation)?;
        data.people.get_mut(id).map(change).ok_or(UserPoolError::NotFound)
    }
}

impl UserPool for FakePool {
    fn issuer(&self) -> &'static str {
        "https://issuer.example/pool"
    }

    async fn user(&self, name: &str) -> Result<Option<User>, UserPoolError> {
        let data = self.works("user")?;
        let is_named = |it: &&Person| it.user.id.as_str() == name || it.user.email == name;
        Ok(data.people.values().find(is_named).map(|person| person.user.clone()))
    }

    async fn create_user(&self, email: &str, invite: bool) -> Result<User, UserPoolError> {
        if let Some(user) = self.user(email).await? {
            return Ok(user);
        }
        let id = {
            let mut data = self.works("create_user")?;
            data.made += 1;
            format!("made-{}", data.made)
        };
        self.add(&id, email, &[]);
        self.person("create_user", &id, |person| {
            person.is_invited = invite;
            person.user.clone()
        })
    }

    async fn groups_of(&self, user_id: &str) -> Result<Vec<String>, UserPoolError> {
        self.person("groups_of", user_id, |person| person.groups.iter().cloned().collect())
    }

    async fn add_to_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        self.person("add_to_group", user_id, |person| {
            person.groups.insert(group.to_owned());
        })
    }

    async fn remove_from_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        self.person("remove_from_group", user_id, |person| {
            person.groups.remove(group);
        })
    }

    async fn set_enabled(&self, user_id: &str, is_enabled: bool) -> Result<(), UserPoolError> {
        self.person("set_enabled", user_id, |person| person.user.is_enabled = is_enabled)
    }

    async fn sign_out(&self, user_id: &str) -> Result<(), UserPoolError> {
        self.person("sign_out", user_id, |person| person.sign_outs += 1)
    }

    async fn users_in(&self, group: &str) -> Result<Vec<User>, UserPoolError> {
        let data = self.works("users_in")?;
        let members = data.people.values().filter(|person| person.groups.contains(group));
        Ok(members.map(|person| person.user.clone()).collect())
    }

    async fn create_client(
        &self,
        pool_name: &str,
        _scopes: &BTreeSet<String>,
    ) -> Result<NewSecret, UserPoolError> {
        let mut data = self.works("create_client")?;
        data.made += 1;
        let client_id = format!("client{}", data.made);
        let secret = format!("secret-of-{client_id}");
        data.clients.insert(client_id.clone(), (pool_name.to_owned(), vec![secret.clone()]));
        Ok(NewSecret { client_id, secret: Secret::new(secret) })
    }

    async fn clients_named(&self, pool_name: &str) -> Result<Vec<String>, UserPoolError> {
        let data = self.works("clients_named")?;
        let named = data.clients.iter().filter(|(_, (name, _))| name == pool_name);
        Ok(named.map(|(id, _)| id.clone()).collect())
    }

    async fn delete_client(&self, client_id: &str) -> Result<(), UserPoolError> {
        self.works("delete_client")?.clients.remove(client_id);
        Ok(())
    }

    async fn secret_of(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        let data = self.works("secret_of")?;
        let (_, secrets) = data.clients.get(client_id).ok_or(UserPoolError::NotFound)?;
        Ok(Secret::new(secrets.first().cloned().unwrap_or_default()))
    }

    async fn secrets_of(&self, client_id: &str) -> Result<Vec<String>, UserPoolError> {
        let data = self.works("secrets_of")?;
        if data.is_old {
            return Err(UserPoolError::Unsupported);
        }
        let (_, secrets) = data.clients.get(client_id).ok_or(UserPoolError::NotFound)?;
        Ok(secrets.clone())
    }

    async fn add_secret(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        let mut data = self.works("add_secret")?;
        data.made += 1;
        let secret = format!("secret-{}", data.made);
        let (_, secrets) = data.clients.get_mut(client_id).ok_or(UserPoolError::NotFound)?;
        secrets.push(secret.clone());
        Ok(Secret::new(secret))
    }

    async fn delete_secret(&self, client_id: &str, secret_id: &str) -> Result<(), UserPoolError> {
        let mut data = self.works("delete_secret")?;
        let (_, secrets) = data.clients.get_mut(client_id).ok_or(UserPoolError::NotFound)?;
        secrets.retain(|secret| secret != secret_id);
        Ok(())
    }
}
