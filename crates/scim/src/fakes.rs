//! An in-memory double of the port. Names in `failing` are operations that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use administration::Unfinished;
use admission::{AuditEntry, StoreError};
use tenancy::TenantId;

use crate::port::{GroupChange, MemberStore, Roster, StoredUser, Unique, UserChange};

/// What the table holds.
#[derive(Debug, Default)]
pub struct MemberData {
    /// People by tenant and id.
    pub users: BTreeMap<(TenantId, String), StoredUser>,
    /// Groups by tenant.
    pub rosters: BTreeMap<TenantId, Roster>,
    /// Who has what of a tenant.
    pub uniques: BTreeMap<(TenantId, Unique), String>,
    /// Notes by subject.
    pub unfinished: BTreeMap<String, Unfinished>,
    /// Audit entries, oldest first.
    pub audit: Vec<AuditEntry>,
    /// Operations that fail.
    pub failing: BTreeSet<&'static str>,
}

/// A table in memory.
#[derive(Debug, Default)]
pub struct FakeMembers(Mutex<MemberData>);

impl FakeMembers {
    /// What it holds.
    pub fn data(&self) -> MutexGuard<'_, MemberData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn works(&self, operation: &'static str) -> Result<MutexGuard<'_, MemberData>, StoreError> {
        let data = self.data();
        if data.failing.contains(operation) {
            let source = "the table is away".into();
            return Err(StoreError { operation, subject: "a test".to_owned(), source });
        }
        Ok(data)
    }
}

impl MemberData {
    /// Moves what is unique from one resource to itself as it is to be; whether nobody else has it.
    fn take(
        &mut self,
        tenant_id: &TenantId,
        id: &str,
        (before, after): &(BTreeSet<Unique>, BTreeSet<Unique>),
    ) -> bool {
        let key = |unique: &Unique| (tenant_id.clone(), unique.clone());
        if after.difference(before).any(|unique| self.uniques.contains_key(&key(unique))) {
            return false;
        }
        for unique in before {
            self.uniques.remove(&key(unique));
        }
        for unique in after {
            self.uniques.insert(key(unique), id.to_owned());
        }
        true
    }
}

impl MemberStore for FakeMembers {
    async fn users(&self, tenant_id: &TenantId) -> Result<Vec<StoredUser>, StoreError> {
        let data = self.works("users")?;
        let own = data.users.iter().filter(|((tenant, _), _)| tenant == tenant_id);
        Ok(own.map(|(_, user)| user.clone()).collect())
    }

    async fn user(&self, tenant_id: &TenantId, id: &str) -> Result<Option<StoredUser>, StoreError> {
        Ok(self.works("user")?.users.get(&(tenant_id.clone(), id.to_owned())).cloned())
    }

    async fn roster(&self, tenant_id: &TenantId) -> Result<Roster, StoreError> {
        Ok(self.works("roster")?.rosters.get(tenant_id).cloned().unwrap_or_default())
    }

    async fn holder(
        &self,
        tenant_id: &TenantId,
        unique: &Unique,
    ) -> Result<Option<String>, StoreError> {
        Ok(self.works("holder")?.uniques.get(&(tenant_id.clone(), unique.clone())).cloned())
    }

    async fn change_user(
        &self,
        tenant_id: &TenantId,
        change: &UserChange,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("change_user")?;
        let Some(user) = change.after.as_ref().or(change.before.as_ref()) else { return Ok(true) };
        let key = (tenant_id.clone(), user.id.clone());
        let version = data.users.get(&key).map(|user| user.version);
        let roster = data.rosters.get(tenant_id).map_or(0, |roster| roster.version);
        let is_noted =
            change.tasks.iter().any(|it| data.unfinished.contains_key(&it.task.subject()));
        if version != change.before.as_ref().map(|it| it.version)
            || roster != change.roster
            || is_noted
            || !data.take(tenant_id, &user.id, &change.uniques())
        {
            return Ok(false);
        }
        match &change.after {
            Some(user) => data.users.insert(key, user.clone()),
            None => data.users.remove(&key),
        };
        for task in &change.tasks {
            data.unfinished.insert(task.task.subject(), task.clone());
        }
        data.audit.push(change.entry.clone());
        Ok(true)
    }

    async fn change_group(
        &self,
        tenant_id: &TenantId,
        change: &GroupChange,
    ) -> Result<bool, StoreError> {
        let mut data = self.works("change_group")?;
        let Some(group) = change.after.as_ref().or(change.before.as_ref()) else { return Ok(true) };
        let roster = data.rosters.entry(tenant_id.clone()).or_default();
        let version = roster.groups.get(&group.id).map(|group| group.version);
        if version != change.before.as_ref().map(|it| it.version)
            || !data.take(tenant_id, &group.id, &change.uniques())
        {
            return Ok(false);
        }
        let roster = data.rosters.entry(tenant_id.clone()).or_default();
        roster.version += u64::from(change.is_decisive);
        match &change.after {
            Some(group) => roster.groups.insert(group.id.clone(), group.clone()),
            None => roster.groups.remove(&group.id),
        };
        data.audit.extend(change.entry.clone());
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

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.works("note")?.audit.push(entry.clone());
        Ok(())
    }
}
