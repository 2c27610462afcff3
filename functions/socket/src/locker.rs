//! What sessions leave in the content store, under their tenant, for minutes.

use std::fmt::Display;

use bytes::Bytes;
use content::{ContentError, ContentId, ContentKind, ContentStore};
use serde::{Deserialize, Serialize};
use tenancy::{PrincipalId, TenantContext};

use crate::event::Turn;
use crate::message::{RequestId, SessionId};

/// How long the messages of an answer can be sent again, in seconds.
const RESUMABLE_S: i64 = 600;

/// A connection lasts two hours at most; for how long it and its session are known, in seconds.
const SESSION_S: i64 = 2 * 3_600 + RESUMABLE_S;

/// A turn lasts 15 minutes at most; for how long its name is taken, in seconds.
const TURN_S: i64 = 900 + 2 * RESUMABLE_S;

const KIND: ContentKind = ContentKind::Socket;

/// One tenant's locker, at one moment.
pub(crate) struct Locker<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) context: &'a TenantContext,
    /// Unix seconds.
    pub(crate) now: i64,
}

/// Who may go on with a session.
#[derive(Serialize, Deserialize)]
struct Owner {
    principal: PrincipalId,
}

/// A client that came back for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Return {
    pub(crate) connection: String,
    pub(crate) after: Option<u64>,
}

/// What the worker of a turn was told since it last looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) is_cancelled: bool,
    pub(crate) is_back: Option<Return>,
}

type Result<T> = std::result::Result<T, ContentError>;

/// Names of one kind of thing: no two kinds share a first letter, and no part has a `.` in it, but
/// for a connection's name, which is a last part.
fn id(kind: char, name: impl Display) -> Option<ContentId> {
    format!("{kind}.{name}").parse().ok()
}

fn of_request(kind: char, session: &SessionId, request: &RequestId) -> Option<ContentId> {
    id(kind, format_args!("{session}.{request}"))
}

fn of_part(session: &SessionId, request: &RequestId, index: u32) -> Option<ContentId> {
    id('p', format_args!("{session}.{request}.{index}"))
}

impl<S: ContentStore> Locker<'_, S> {
    async fn put(&self, id: Option<ContentId>, value: impl Into<Bytes>, for_s: i64) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        self.store.put(self.context, KIND, &id, value.into(), self.now + for_s).await
    }

    async fn get(&self, id: Option<ContentId>) -> Result<Option<Bytes>> {
        let Some(id) = id else { return Ok(None) };
        self.store.get(self.context, KIND, &id, self.now).await
    }

    async fn take(&self, id: Option<ContentId>) -> Result<bool> {
        let Some(id) = id else { return Ok(false) };
        self.store.delete(self.context, KIND, &id, self.now).await
    }

    async fn claim(&self, id: Option<ContentId>, value: impl Into<Bytes>) -> Result<bool> {
        let Some(id) = id else { return Ok(false) };
        let expires_at = self.now + TURN_S;
        self.store.claim(self.context, KIND, &id, value.into(), expires_at, self.now).await
    }

    /// Lets `connection` speak for `session`.
    pub(crate) async fn attach(&self, connection: &str, session: &SessionId) -> Result<()> {
        let owner = Owner { principal: self.context.principal.id.clone() };
        let owner = serde_json::to_vec(&owner).unwrap_or_default();
        self.put(id('s', session), owner, SESSION_S).await?;
        self.put(id('c', connection), session.to_string(), SESSION_S).await
    }

    /// Whether the session is the caller's.
    pub(crate) async fn owns(&self, session: &SessionId) -> Result<bool> {
        let owner = self.get(id('s', session)).await?;
        let owner = owner.and_then(|owner| serde_json::from_slice::<Owner>(&owner).ok());
        Ok(owner.is_some_and(|owner| owner.principal == self.context.principal.id))
    }

    /// The session that the connection speaks for.
    pub(crate) async fn session(&self, connection: &str) -> Result<Option<SessionId>> {
        let session = self.get(id('c', connection)).await?;
        let text = session.and_then(|session| String::from_utf8(session.to_vec()).ok());
        Ok(text.and_then(|text| SessionId::try_from(text).ok()))
    }

    /// Forgets the connection.
    pub(crate) async fn detach(&self, connection: &str) -> Result<()> {
        self.take(id('c', connection)).await.map(|_| ())
    }

    /// Keeps a part of a body.
    pub(crate) async fn put_part(
        &self,
        session: &SessionId,
        request: &RequestId,
        index: u32,
        data: Bytes,
    ) -> Result<()> {
        self.put(of_part(session, request, index), data, RESUMABLE_S).await
    }

    /// A part of the turn's body, if it is there already.
    pub(crate) async fn part(&self, turn: &Turn, index: u32) -> Result<Option<Bytes>> {
        self.get(of_part(&turn.session, &turn.request, index)).await
    }

    /// Forgets a part.
    pub(crate) async fn forget_part(&self, turn: &Turn, index: u32) -> Result<()> {
        self.take(of_part(&turn.session, &turn.request, index)).await.map(|_| ())
    }

    /// Gives the turn the name of its request, which no other turn of the session may have.
    pub(crate) async fn begin(&self, turn: &Turn) -> Result<bool> {
        self.claim(of_request('r', &turn.session, &turn.request), turn.id.clone()).await
    }

    /// The turn that was given the request's name.
    pub(crate) async fn turn(
        &self,
        session: &SessionId,
        request: &RequestId,
    ) -> Result<Option<String>> {
        let turn = self.get(of_request('r', session, request)).await?;
        Ok(turn.and_then(|turn| String::from_utf8(turn.to_vec()).ok()))
    }

    /// Keeps the turn's request until its worker takes it.
    pub(crate) async fn put_request(&self, turn: &Turn, request: Vec<u8>) -> Result<()> {
        self.put(id('q', &turn.id), request, RESUMABLE_S).await
    }

    /// The turn's request, for the first worker that comes for it and for no other.
    pub(crate) async fn take_request(&self, turn: &Turn) -> Result<Option<Bytes>> {
        let Some(request) = self.get(id('q', &turn.id)).await? else { return Ok(None) };
        let worker = uuid::Uuid::new_v4().simple().to_string();
        let is_first = self.claim(id('w', &turn.id), worker).await?;
        if is_first {
            self.take(id('q', &turn.id)).await?;
        }
        Ok(is_first.then_some(request))
    }

    /// Forgets a turn that no worker will come for.
    pub(crate) async fn withdraw(&self, turn: &Turn) -> Result<()> {
        self.take(id('q', &turn.id)).await?;
        self.take(of_request('r', &turn.session, &turn.request)).await.map(|_| ())
    }

    /// Tells the turn's worker that nobody wants the rest.
    pub(crate) async fn cancel(&self, turn: &str) -> Result<()> {
        self.put(id('x', turn), "", TURN_S).await
    }

    /// Tells the turn's worker where the client is now.
    pub(crate) async fn come_back(&self, turn: &str, back: &Return) -> Result<()> {
        let back = serde_json::to_vec(back).unwrap_or_default();
        self.put(id('b', turn), back, TURN_S).await
    }

    /// Whether it is for whoever asks to serve the client that came back: for one only.
    pub(crate) async fn takes_back(&self, turn: &str) -> Result<bool> {
        self.take(id('b', turn)).await
    }

    /// What the worker of the turn was told. A client that came back is in it once.
    pub(crate) async fn mail(&self, turn: &str) -> Result<Mail> {
        let (cancel, back) =
            futures::future::try_join(self.get(id('x', turn)), self.get(id('b', turn))).await?;
        let back = back.and_then(|back| serde_json::from_slice(&back).ok());
        let is_back = if back.is_some() && self.takes_back(turn).await? { back } else { None };
        Ok(Mail { is_cancelled: cancel.is_some(), is_back })
    }

    /// Keeps the messages of a finished answer.
    pub(crate) async fn put_transcript(&self, turn: &str, messages: Bytes) -> Result<()> {
        self.put(id('a', turn), messages, RESUMABLE_S).await
    }

    /// The messages of a finished answer.
    pub(crate) async fn transcript(&self, turn: &str) -> Result<Option<Bytes>> {
        self.get(id('a', turn)).await
    }
}
