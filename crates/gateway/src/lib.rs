//! The gateway's hot path, whatever function it runs in: who calls is known, what the call may use
//! is reserved, a model is called, and what it used is recorded.
//!
//! A request comes parsed, as a [`GenerateRequest`] or a [`UnaryRequest`](inference::UnaryRequest).
//! Its model's name is resolved to targets, which are asked one after the other until one answers.
//! Each provider call is an attempt of its own, reserved for before it is made and recorded once
//! after it.

mod attempt;
mod cache;
mod call;
mod engine;
mod exhausted;
#[cfg(feature = "fakes")]
pub mod fakes;
mod files;
mod generate;
mod health;
mod models;
mod path;
mod remember;
mod route;
mod serve;
pub mod shadow;
mod state;
mod stream;
mod unary;

use std::sync::Arc;

use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body, full};
use inference::{GenerateRequest, TokenBound, Upload};
use metering::TokenUsage;
use sha2::{Digest as _, Sha256};
use tenancy::TenantContext;

pub use cache::Cache;
pub use call::Call;
pub use exhausted::Exhausted;
pub use files::ObjectStore;
pub use health::SharedHealth;
pub use path::family_of;
pub use remember::CACHE_HEADER;
pub use route::active_tenant;
pub use serve::{HttpRequest, serve};
pub use state::{Ports, State};

use crate::attempt::{Attempt, Ending, Priced, Subject};
use crate::engine::{Engine, Prepare};
use crate::generate::{Generate, attempt_headers};
use crate::remember::{CacheControl, Remember, cache_entry, cache_header, cached, is_cacheable};
use crate::route::Route;

/// What a request says besides its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked<'a> {
    /// The path.
    pub(crate) path: &'a str,
    /// The body as it came, for the response cache and for shadows.
    pub(crate) body: &'a [u8],
    /// The files that it refers to: the same id may get other bytes.
    pub(crate) files: &'a [(String, Upload)],
    /// Headers of the client's protocol, lower case.
    pub(crate) headers: &'a [(String, String)],
    /// What the client wants of the response cache.
    pub(crate) cache: CacheControl,
    /// The client's own name of the conversation, if its headers say it.
    pub(crate) session: Option<&'a str>,
    /// The project that the call is made for, if its headers say it.
    pub(crate) project: Option<&'a str>,
}

/// Answers a request for a generated answer.
///
/// # Errors
/// As the caller's SDK expects them; in a stream, errors after the first content are events in it.
pub(crate) async fn generate<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    request: Box<dyn GenerateRequest>,
    asked: Asked<'_>,
) -> Result<Response<Body>, ApiError> {
    let subject = Subject { dialect: request.dialect(), is_streamed: request.is_streaming() };
    let conversation = asked.session.map(str::to_owned).or_else(|| request.affinity_key());
    let affinity = conversation.map(|key| hash(context.tenant_id.as_str(), &key));
    let name = request.model().to_owned();
    let mut engine =
        Engine::begin(state, call, context, subject, &name, asked.project, affinity).await?;

    let entry = is_cacheable(request.dialect())
        .then(|| {
            let (context, route) = (&engine.context, &engine.route);
            cache_entry(context, route, &*request, &asked)
        })
        .flatten();
    if let Some((key, _, true)) = &entry
        && let Some(body) = cached(state, &engine.context, key).await
    {
        return replay(&mut engine, &*request, body).await;
    }
    let remember = Remember::in_cache(entry.map(|(key, ttl_s, _)| (key, ttl_s)));
    engine.draw_shadow(&asked);
    generate::answer(engine, Generate { request, remember }).await
}

/// A request that the response cache answers: it is checked and admitted as any other, and costs nothing.
struct Free<'a>(&'a dyn GenerateRequest);

impl Prepare for Free<'_> {
    type Payload = ();

    fn prepare(
        &self,
        route: &Route,
        model: &Arc<inference::Model>,
        now_s: i64,
    ) -> Result<(Priced, ()), ApiError> {
        // What would be refused without the cache is refused with it, and nothing is reserved for it.
        let bound = self.0.bound(model, route.entitlements.tenant.default_max_tokens)?;
        let target = route.priced(model, now_s, bound)?;
        Ok((Priced { bound: TokenBound::default(), ..target }, ()))
    }
}

async fn replay<P: Ports>(
    engine: &mut Engine<P>,
    request: &dyn GenerateRequest,
    body: bytes::Bytes,
) -> Result<Response<Body>, ApiError> {
    let (attempt, ()): (Attempt, ()) = engine.next(&Free(request)).await?;
    let ending =
        Ending { usage: Some(TokenUsage::default()), is_cache_hit: true, ..Ending::default() };
    attempt.record(&engine.state, &ending).await;
    let mut response = Response::new(full(body));
    let content_type = if request.is_streaming() {
        request.dialect().stream_content_type()
    } else {
        "application/json"
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.extend(attempt_headers(&attempt, 0));
    headers.extend([cache_header(true)]);
    Ok(response)
}

/// A conversation's place on the ring of targets; another tenant's is elsewhere.
fn hash(tenant: &str, conversation: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(tenant.as_bytes());
    hash.update([0]);
    hash.update(conversation.as_bytes());
    let digest = hash.finalize();
    let first: [u8; 8] = std::array::from_fn(|index| digest.get(index).copied().unwrap_or(0));
    u64::from_be_bytes(first)
}
