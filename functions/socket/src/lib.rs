//! Conversations over WebSocket: many turns on one connection (`docs/websocket.md`).
//!
//! API Gateway waits 29 seconds for the function. So a message is dealt with at once, and a request
//! runs in an asynchronous invocation that the function makes of itself: the worker calls
//! the gateway's hot path and posts the answer to the connection, piece by piece.
//!
//! API Gateway asks the authorizer when a connection is opened. Everything that may change while it
//! is open is looked at with every message: the token's end, the tenant, the caller's permissions.

mod aws;
mod event;
mod locker;
mod message;
mod outbox;
mod worker;

use std::collections::BTreeMap;

use bytes::Bytes;
use gateway::{Ports, active_tenant};
use http_api::ApiError;
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tenancy::TenantContext;

use crate::event::{Event, EventType, SocketEvent};
use crate::locker::{Locker, Return};
use crate::message::{Message, Request, RequestId, SessionId, Told, unknown_session};
use crate::outbox::resumed;
use crate::worker::{Gateway, forgotten, post};

pub use crate::aws::Aws;
pub use crate::event::{Answer, Turn};
pub use crate::message::Refusal;

/// A message did not reach a connection.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The connection is closed.
    #[error("the connection is closed")]
    Gone,
    /// Something else, which may pass.
    #[error("{0}")]
    Failed(String),
}

/// No worker was started.
#[derive(Debug, thiserror::Error)]
#[error("no worker was started: {0}")]
pub struct StartError(pub String);

/// What the function reaches outside of the gateway: connections, and itself.
pub trait Outside: Send + Sync {
    /// Posts a message to a connection.
    fn post(
        &self,
        connection: &str,
        message: Bytes,
    ) -> impl Future<Output = Result<(), PostError>> + Send;

    /// Closes a connection.
    fn close(&self, connection: &str) -> impl Future<Output = Result<(), PostError>> + Send;

    /// Starts an invocation of this function that runs the turn.
    fn start(&self, turn: &Turn) -> impl Future<Output = Result<(), StartError>> + Send;
}

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<P: Ports, O> {
    /// The hot path.
    pub gateway: Gateway<P>,
    /// Everything else.
    pub outside: O,
}

impl<P: Ports, O> State<P, O> {
    fn locker<'a>(&'a self, context: &'a TenantContext) -> Locker<'a, P::Content> {
        let now = (self.gateway.now_ms)().div_euclid(1_000);
        Locker { store: &self.gateway.content, context, now }
    }

    /// Whether the caller's tenant lets answers be kept.
    async fn keeps_answers(&self, context: &TenantContext) -> bool {
        active_tenant(&self.gateway, context)
            .await
            .is_ok_and(|of| of.tenant.settings.response_retention_s().is_some())
    }
}

/// Answers one event.
///
/// # Errors
/// An event that is none, and a store that failed: API Gateway tells the client.
pub async fn handle<P: Ports, O: Outside>(
    state: &State<P, O>,
    event: LambdaEvent<Value>,
) -> Result<Answer, lambda_runtime::Error> {
    let deadline_ms = i64::try_from(event.context.deadline).ok();
    match Event::read(event.payload)? {
        Event::Turn(turn) => worker::run(state, turn, deadline_ms).await?,
        Event::Socket(event) => return Ok(of_connection(state, event).await),
    }
    Ok(Answer::ok())
}

async fn of_connection<P: Ports, O: Outside>(state: &State<P, O>, event: SocketEvent) -> Answer {
    let connection = event.request_context.connection_id.clone();
    let caller = event.caller();
    match (event.request_context.event_type, caller) {
        (EventType::Disconnect, None) => {}
        (EventType::Disconnect, Some((context, _))) => {
            if let Err(error) = state.locker(&context).detach(&connection).await {
                tracing::warn!(%error, "a closed connection is known until it expires");
            }
        }
        (_, None) => {
            tracing::error!("a connection without the authorizer's context was refused");
            return Answer { status_code: 500, headers: BTreeMap::new() };
        }
        (EventType::Connect, Some(_)) => {
            let protocol = event.offers_bearer().then_some(("Sec-WebSocket-Protocol", "bearer"));
            return Answer { status_code: 200, headers: protocol.into_iter().collect() };
        }
        (EventType::Message, Some((context, expires_at))) => {
            let said = Said { state, context: &context, connection: &connection };
            if expires_at <= state.locker(&context).now {
                said.expire().await;
            } else if let Err(refusal) = said.act(&event).await {
                tracing::info!(
                    tenant_id = %context.tenant_id,
                    code = refusal.code,
                    "message refused"
                );
                post(&state.outside, connection.clone(), refusal.bytes()).await;
            }
        }
    }
    Answer::ok()
}

/// A message that came on a connection, and who sent it.
struct Said<'a, P: Ports, O> {
    state: &'a State<P, O>,
    context: &'a TenantContext,
    connection: &'a str,
}

impl<P: Ports, O: Outside> Said<'_, P, O> {
    async fn tell(&self, message: Bytes) {
        post(&self.state.outside, self.connection.to_owned(), message).await;
    }

    /// The token has expired: whoever holds the connection may not be its owner any more.
    async fn expire(&self) {
        let message = "The token has expired. Connect with a new one, and resume.";
        self.tell(Refusal::new("token_expired", message).bytes()).await;
        if let Err(PostError::Failed(error)) = self.state.outside.close(self.connection).await {
            tracing::warn!(error, "a connection whose token has expired was not closed");
        }
    }

    async fn act(&self, event: &SocketEvent) -> Result<(), Refusal> {
        active_tenant(&self.state.gateway, self.context).await.map_err(|error| refused(&error))?;
        let text = event.body.as_deref().filter(|_| !event.is_base64_encoded);
        let Some(text) = text else {
            return Err(Refusal::new("invalid_message", "Messages are text, not binary."));
        };
        let message = Message::parse(text)?;
        let locker = self.state.locker(self.context);
        match message {
            Message::Hello { session } => self.hello(session).await,
            Message::Request { id, request } => {
                let session = self.session(None).await?;
                self.start(session, &id, &request).await.map_err(|refusal| refusal.about(&id))
            }
            Message::Part { id, index, data } => {
                let session = self.session(None).await?;
                let data = Bytes::copy_from_slice(data.as_bytes());
                locker.put_part(&session, &id, index, data).await.map_err(|error| failed(&error))
            }
            Message::Cancel { id } => {
                let session = self.session(None).await?;
                let turn = self.turn(&session, &id).await?;
                locker.cancel(&turn).await.map_err(|error| failed(&error))
            }
            Message::Resume { session, id, after } => {
                let session = self.session(session).await?;
                let turn = self.turn(&session, &id).await?;
                self.resume(&turn, after).await.map_err(|refusal| refusal.about(&id))
            }
        }
    }

    async fn hello(&self, session: Option<SessionId>) -> Result<(), Refusal> {
        let session = if session.is_some() {
            self.session(session).await?
        } else {
            let (session, locker) = (SessionId::new(), self.state.locker(self.context));
            let attached = locker.attach(self.connection, &session);
            attached.await.map_err(|error| failed(&error))?;
            session
        };
        self.tell(Told::Welcome { session: &session }.bytes()).await;
        Ok(())
    }

    /// The connection's session, after it goes on with `named`, if that is the caller's.
    async fn session(&self, named: Option<SessionId>) -> Result<SessionId, Refusal> {
        let locker = self.state.locker(self.context);
        let Some(session) = named else {
            let session = locker.session(self.connection).await.map_err(|error| failed(&error))?;
            return session.ok_or_else(|| {
                let message = "Begin with `hello`, and wait for `welcome`.";
                Refusal::new("no_session", message)
            });
        };
        if !locker.owns(&session).await.map_err(|error| failed(&error))? {
            return Err(unknown_session());
        }
        locker.attach(self.connection, &session).await.map_err(|error| failed(&error))?;
        Ok(session)
    }

    async fn turn(&self, session: &SessionId, id: &RequestId) -> Result<String, Refusal> {
        let turn = self.state.locker(self.context).turn(session, id).await;
        turn.map_err(|error| failed(&error))?.ok_or_else(|| {
            Refusal::new("unknown_request", "This session has no such request, or not any more.")
                .about(id)
        })
    }

    async fn start(
        &self,
        session: SessionId,
        id: &RequestId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let turn = Turn::new(session, id.clone(), self.connection, self.context);
        let locker = self.state.locker(self.context);
        if !locker.begin(&turn).await.map_err(|error| failed(&error))? {
            let message = "This session has had a request of that id. Resume it, or use a new id.";
            return Err(Refusal::new("duplicate_id", message));
        }
        let request = serde_json::to_vec(request).map_err(|error| failed(&error))?;
        let kept = locker.put_request(&turn, request).await.map_err(|error| failed(&error));
        let started = match kept {
            Ok(()) => self.state.outside.start(&turn).await.map_err(|error| failed(&error)),
            Err(refusal) => Err(refusal),
        };
        if started.is_err()
            && let Err(error) = locker.withdraw(&turn).await
        {
            tracing::warn!(%error, "a request that was not run keeps its id until it expires");
        }
        started
    }

    /// Sends what the client has not got: the worker does, or if that has ended, this invocation.
    async fn resume(&self, turn: &str, after: Option<u64>) -> Result<(), Refusal> {
        let locker = self.state.locker(self.context);
        let find = async || locker.transcript(turn).await.map_err(|error| failed(&error));
        let mut transcript = find().await?;
        if transcript.is_none() {
            let back = Return { connection: self.connection.to_owned(), after };
            locker.come_back(turn, &back).await.map_err(|error| failed(&error))?;
            // The worker may have ended meanwhile, and not have seen it; or it has, and did it.
            transcript = find().await?;
            if transcript.is_none()
                || !locker.takes_back(turn).await.map_err(|error| failed(&error))?
            {
                return Ok(());
            }
        }
        let messages = resumed(&transcript.unwrap_or_default(), after).map_err(|_| forgotten())?;
        for message in messages {
            if !post(&self.state.outside, self.connection.to_owned(), message).await {
                break;
            }
        }
        Ok(())
    }
}

/// The gateway's refusal, as a message of this protocol.
fn refused(error: &ApiError) -> Refusal {
    let fault = error.fault();
    Refusal::new(fault.code, fault.message.clone())
}

/// A fault of ours, logged here and nowhere else.
fn failed(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let refusal = refused(&ApiError::internal(error));
    Refusal { code: "unavailable", ..refusal }
}

#[cfg(test)]
mod tests;
