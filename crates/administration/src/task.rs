//! What has to happen in several places: noted before it is begun, finished by whoever finds the note.

use std::collections::BTreeSet;

use admission::StoreError;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenancy::{LobId, PrincipalId, Role, TenantId};

use crate::callers::{PERSON_ROLES, group, memberships};
use crate::{AdministrationStore, UserPool, UserPoolError};

/// Tenants that are told at the same time.
const RENEWED_TOGETHER: usize = 32;

/// Who began a task longer ago than this is gone: no request takes a minute.
const GONE_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// Something that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// A tenant changed: its meter has to know.
    RenewTenant {
        /// Which.
        tenant_id: TenantId,
    },
    /// A line of business changed: each of its tenants has to know.
    RenewLob {
        /// Which.
        lob_id: LobId,
    },
    /// A person is to have these roles in a tenant, and no others; none: they are to leave it.
    SetMember {
        /// Where.
        tenant_id: TenantId,
        /// Who.
        user_id: PrincipalId,
        /// In which roles.
        roles: BTreeSet<Role>,
    },
    /// A machine client is being made under this name; if nobody registered it, it is to go again.
    CreateClient {
        /// For whom.
        tenant_id: TenantId,
        /// What the user pool calls it.
        pool_name: String,
    },
    /// A machine client is being given a new secret. Nobody but who asked for it would know it, so there
    /// is nothing to finish; the note keeps two from doing it at once.
    RotateClient {
        /// Whose it is.
        tenant_id: TenantId,
        /// Which.
        client_id: String,
    },
    /// A machine client is registered no more; the user pool is to forget it, too.
    DeleteClient {
        /// Whose it was.
        tenant_id: TenantId,
        /// Which.
        client_id: String,
    },
}

/// The note of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Names this attempt: who finishes an older one takes no newer note away.
    pub id: String,
    /// When it was begun.
    pub since: Timestamp,
    /// What is to be done.
    pub task: Task,
}

impl Task {
    /// What it is about. There is one note for each subject.
    pub fn subject(&self) -> String {
        match self {
            Self::RenewTenant { tenant_id } => format!("tenants/{tenant_id}"),
            Self::RenewLob { lob_id } => format!("lobs/{lob_id}"),
            Self::SetMember { tenant_id, user_id, .. } => {
                format!("tenants/{tenant_id}/users/{user_id}")
            }
            Self::CreateClient { tenant_id, pool_name } => {
                format!("tenants/{tenant_id}/clients/new/{pool_name}")
            }
            Self::RotateClient { tenant_id, client_id }
            | Self::DeleteClient { tenant_id, client_id } => {
                format!("tenants/{tenant_id}/clients/{client_id}")
            }
        }
    }

    /// Whether it may run twice at the same time.
    fn is_repeatable(&self) -> bool {
        matches!(self, Self::RenewTenant { .. } | Self::RenewLob { .. })
    }
}

impl Unfinished {
    /// Whether somebody else may finish it at `now`: what may not run twice, only when whoever began it
    /// is certainly gone.
    pub fn is_left(&self, now: Timestamp) -> bool {
        self.task.is_repeatable() || now.duration_since(self.since) >= GONE_AFTER
    }
}

/// A task could not be finished; its note stays.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The tables could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user pool could not be reached, or refused.
    #[error(transparent)]
    UserPool(#[from] UserPoolError),
}

/// Does what is noted, and takes the note away. Doing it again does no harm.
///
/// # Errors
/// Something could not be reached; the note stays.
pub async fn finish(
    store: &impl AdministrationStore,
    pool: &impl UserPool,
    unfinished: &Unfinished,
) -> Result<(), FinishError> {
    match &unfinished.task {
        // Its own version was raised by the change itself.
        Task::RenewTenant { tenant_id } => store.renew(tenant_id, false).await?,
        Task::RenewLob { lob_id } => {
            let tenants = store.tenants_of(lob_id).await?;
            for some in tenants.chunks(RENEWED_TOGETHER) {
                futures::future::try_join_all(some.iter().map(|id| store.renew(id, true))).await?;
            }
        }
        Task::SetMember { tenant_id, user_id, roles } => {
            set_member(pool, tenant_id, user_id, roles).await?;
        }
        Task::CreateClient { pool_name, .. } => {
            for client_id in pool.clients_named(pool_name).await? {
                pool.delete_client(&client_id).await?;
            }
        }
        Task::RotateClient { .. } => {}
        Task::DeleteClient { client_id, .. } => pool.delete_client(client_id).await?,
    }
    store.end(unfinished).await?;
    Ok(())
}

/// Gives a person exactly `roles` in a tenant.
///
/// What is taken away goes first, and so does who is a member elsewhere meanwhile: somebody in two
/// tenants would be let into neither.
///
/// # Errors
/// The user pool could not be reached, or refused; doing it again does no harm.
pub async fn set_member(
    pool: &impl UserPool,
    tenant_id: &TenantId,
    user_id: &PrincipalId,
    roles: &BTreeSet<Role>,
) -> Result<(), UserPoolError> {
    let id = user_id.as_str();
    let groups = match pool.groups_of(id).await {
        // Somebody removed the person altogether.
        Err(UserPoolError::NotFound) => return Ok(()),
        other => other?,
    };
    let (has, has_others) = memberships(tenant_id, &groups);
    let wanted = if has_others { BTreeSet::new() } else { roles.clone() };
    let mut has_lost = false;
    for role in PERSON_ROLES.into_iter().filter(|it| has.contains(it) && !wanted.contains(it)) {
        pool.remove_from_group(id, &group(tenant_id, role)).await?;
        has_lost = true;
    }
    if wanted.is_empty() {
        if !has_others {
            pool.set_enabled(id, false).await?;
        }
    } else {
        pool.set_enabled(id, true).await?;
        for role in wanted.iter().filter(|it| !has.contains(it)) {
            pool.add_to_group(id, &group(tenant_id, *role)).await?;
        }
        // Another tenant may have taken the person in at the same moment.
        if memberships(tenant_id, &pool.groups_of(id).await?).1 {
            for role in &wanted {
                pool.remove_from_group(id, &group(tenant_id, *role)).await?;
            }
            has_lost = true;
        }
    }
    // No token is renewed with what was taken away; those that are out end within the hour.
    if has_lost || wanted.is_empty() {
        pool.sign_out(id).await?;
    }
    Ok(())
}
