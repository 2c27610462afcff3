//! Content in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tenancy::{TenantContext, TenantId};

use crate::{ContentError, ContentId, ContentKind, ContentStore, MAX_BYTES};

type Name = (TenantId, ContentKind, ContentId);

/// Content in memory, which can be made to fail.
#[derive(Debug, Default)]
pub struct InMemoryContent {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<Name, (Bytes, i64)>,
    is_failing: bool,
}

impl InMemoryContent {
    /// Makes every later operation fail.
    pub fn fail(&self) {
        self.lock().is_failing = true;
    }

    /// Everything that is kept, expired or not: whose, what, and until when.
    pub fn names(&self) -> Vec<(TenantId, ContentKind, ContentId, i64)> {
        let state = self.lock();
        let names = state.values.iter().map(|((tenant, kind, id), (_, expires_at))| {
            (tenant.clone(), *kind, id.clone(), *expires_at)
        });
        names.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        operation: &'static str,
        kind: ContentKind,
        id: &ContentId,
    ) -> Result<MutexGuard<'_, State>, ContentError> {
        let state = self.lock();
        if state.is_failing {
            let source = "made to fail".into();
            return Err(ContentError::Store { operation, kind, id: id.clone(), source });
        }
        Ok(state)
    }
}

fn name(context: &TenantContext, kind: ContentKind, id: &ContentId) -> Name {
    (context.tenant_id.clone(), kind, id.clone())
}

impl ContentStore for InMemoryContent {
    async fn put(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
    ) -> Result<(), ContentError> {
        if value.len() > MAX_BYTES {
            return Err(ContentError::TooLarge { size: value.len() });
        }
        self.begin("write", kind, id)?.values.insert(name(context, kind, id), (value, expires_at));
        Ok(())
    }

    async fn get(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> Result<Option<Bytes>, ContentError> {
        let state = self.begin("read", kind, id)?;
        let found = state.values.get(&name(context, kind, id));
        Ok(found.filter(|(_, expires_at)| *expires_at > now).map(|(value, _)| value.clone()))
    }

    async fn delete(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> Result<bool, ContentError> {
        let removed = self.begin("delete", kind, id)?.values.remove(&name(context, kind, id));
        Ok(removed.is_some_and(|(_, expires_at)| expires_at > now))
    }

    async fn claim(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
        now: i64,
    ) -> Result<bool, ContentError> {
        let mut state = self.begin("claim", kind, id)?;
        let name = name(context, kind, id);
        let taken = state.values.get(&name).filter(|(_, expires_at)| *expires_at > now);
        if let Some((holder, _)) = taken {
            return Ok(*holder == value);
        }
        state.values.insert(name, (value, expires_at));
        Ok(true)
    }
}
