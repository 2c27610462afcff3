//! A client's call made once more, of its model's successor, so that both can be compared.
//!
//! While the client's call runs, an order for the other one is handed over to a function of its own. That
//! runs it as any call, reserved for and recorded, and throws the answer away: what is compared is the two
//! usage records. The client's call waits for nothing of this but the order being taken, at its very end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_api::{ApiError, verified};
use http_body_util::BodyExt as _;
use inference::Model;
use serde::{Deserialize, Serialize};
use tenancy::{ModelId, TenantContext};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Asked;
use crate::attempt::{Attempt, Subject};
use crate::call::Call;
use crate::engine::Engine;
use crate::generate::{self, Generate};
use crate::path::Path;
use crate::remember::Remember;
use crate::route::Route;
use crate::serve::parse;
use crate::state::{Ports, State};

/// Bytes of an order at most. Lambda takes 1 MB of what nobody waits for.
const MAX_ORDER: usize = 900_000;

/// How long the handing over may take. A call that is over before waits for no more than what is left of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes orders, and sees to it that each is run once, or not at all.
pub trait Shadows: Send + Sync + 'static {
    /// Hands over an order: the JSON of a [`ShadowOrder`].
    fn hand_over(&self, order: Bytes) -> impl Future<Output = Result<(), HandOverError>> + Send;
}

/// An order was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandOverError(pub String);

/// A client's call, to be made of another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowOrder {
    /// Who called, as the authorizer said.
    caller: BTreeMap<String, String>,
    /// The client's call.
    shadow_of: String,
    /// The model to call.
    model: ModelId,
    /// The path that the client asked.
    path: String,
    /// Headers of the client's protocol.
    headers: Vec<(String, String)>,
    /// The project that the headers name.
    project: Option<String>,
    /// The body as it came.
    body: String,
}

impl ShadowOrder {
    /// The client's call.
    pub fn shadow_of(&self) -> &str {
        &self.shadow_of
    }

    /// The model to call.
    pub fn model(&self) -> &ModelId {
        &self.model
    }
}

/// The shadow of a client's call, from the draw to its order being taken.
#[derive(Debug, Default)]
pub(crate) enum Shadow {
    /// There is none, or it is no longer of any concern.
    #[default]
    None,
    /// To be handed over once the client's call has been admitted at this model.
    Drawn(Box<ShadowOrder>, ModelId),
    /// On its way.
    OnItsWay(JoinHandle<()>),
}

impl Shadow {
    /// Decides whether a call is made once more. Nothing of it is sent yet: what limits refuse to the client
    /// has no shadow.
    pub(crate) fn draw(
        call: &Call,
        context: &TenantContext,
        route: &Route,
        asked: &Asked<'_>,
        random: u64,
    ) -> Self {
        let percent = route.entitlements.tenant.settings.shadow.map_or(0, |it| it.percent);
        let Some(model) = route.targets.first() else { return Self::None };
        let Some(successor) = successor(route, model) else { return Self::None };
        if !is_drawn(percent, random) || asked.body.len() > MAX_ORDER {
            return Self::None;
        }
        let Ok(body) = str::from_utf8(asked.body) else { return Self::None };
        let order = ShadowOrder {
            caller: context.fields(),
            shadow_of: call.id.clone(),
            model: successor.id.clone(),
            path: asked.path.to_owned(),
            headers: asked.headers.to_vec(),
            project: asked.project.map(str::to_owned),
            body: body.to_owned(),
        };
        Self::Drawn(Box::new(order), model.id.clone())
    }

    /// Hands the order over while the client's first attempt runs. If another model than the one that it
    /// was drawn for is asked first, there is nothing to compare.
    pub(crate) fn start<P: Ports>(&mut self, state: &Arc<State<P>>, attempt: &Attempt) {
        if let Self::Drawn(order, model) = std::mem::take(self)
            && attempt.target.model.id == model
        {
            let state = Arc::clone(state);
            *self = Self::OnItsWay(tokio::spawn(async move { hand_over(&state, &order).await }));
        }
    }

    /// Returns once the order has been taken, or never will be. A function may be frozen as soon as its
    /// answer ends, and what it began with it.
    pub(crate) async fn settled(&mut self) {
        if let Self::OnItsWay(task) = std::mem::take(self)
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a shadow was not handed over");
        }
    }
}

/// The model that is to follow `model`, if the tenant may call it.
fn successor<'a>(route: &'a Route, model: &Model) -> Option<&'a Arc<Model>> {
    let id = model.successor().filter(|id| **id != model.id)?;
    route.allowed_models.iter().find(|it| it.id == *id)
}

/// Whether a call is among the `percent` of all that are made once more.
fn is_drawn(percent: u8, random: u64) -> bool {
    random % 100 < u64::from(percent)
}

/// A shadow that is not made is nobody's loss: what goes wrong is logged, and the client's call goes on.
async fn hand_over<P: Ports>(state: &State<P>, order: &ShadowOrder) {
    let Some(shadows) = &state.shadows else { return };
    let call_id = &order.shadow_of;
    let event = match serde_json::to_vec(order) {
        Ok(event) if event.len() <= MAX_ORDER => event,
        Ok(_) => return,
        Err(error) => return tracing::error!(call_id, %error, "a shadow was not written"),
    };
    match timeout(PATIENCE, shadows.hand_over(event.into())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(call_id, %error, "a shadow was not handed over"),
        Err(_) => tracing::warn!(call_id, "a shadow was not handed over in time"),
    }
}

/// Runs an order to its end, in a function that ends at `deadline_ms` (Unix milliseconds). Nothing is read
/// from the response cache and nothing of the answer is kept.
///
/// # Errors
/// What a client would read if it asked the model for this: a limit, a model that it may not call, something
/// that the model cannot do. A failure of the provider stands in the usage record as well.
pub async fn run<P: Ports>(
    state: &Arc<State<P>>,
    order: ShadowOrder,
    deadline_ms: Option<i64>,
) -> Result<(), ApiError> {
    let ShadowOrder { caller, shadow_of, model, path, headers, project, body } = order;
    let context = verified(|name| caller.get(name).map(String::as_str))
        .ok_or_else(|| ApiError::internal(&NoCaller))?;
    let path = Path::of(&path)
        .filter(Path::is_generated)
        .ok_or_else(|| ApiError::unknown_route(&Method::POST, &path))?;
    context.require(path.permission())?;
    let mut call = Call::begin((state.now_ms)(), deadline_ms);
    call.shadow_of = Some(shadow_of);
    let (request, _) = parse(state, &context, &call, &path, body.as_bytes(), &headers).await?;
    let subject = Subject { dialect: request.dialect(), is_streamed: request.is_streaming() };
    let (name, project) = (model.as_str(), project.as_deref());
    let engine = Engine::begin(state, call, context, subject, name, project, None).await?;
    let answer = generate::answer(engine, Generate { request, remember: Remember::default() });
    let mut answer = answer.await?.into_body();
    while let Some(Ok(_)) = answer.frame().await {}
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("a shadow's order says no caller")]
struct NoCaller;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_calls_is_drawn() {
        let drawn = |percent| (0..1_000).filter(|random| is_drawn(percent, *random)).count();
        assert_eq!([0, 1, 25, 100].map(drawn), [0, 10, 250, 1_000]);
    }
}
