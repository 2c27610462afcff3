//! What is kept of an answer: in the response cache, and for `previous_response_id`.

use bytes::{Bytes, BytesMut};
use content::{ContentId, ContentKind, ContentStore as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_api::ApiError;
use inference::{Dialect, FaultKind, GenerateRequest, StoredResponse};
use sha2::{Digest as _, Sha256};
use tenancy::TenantContext;

use crate::Asked;
use crate::cache::Freshness;
use crate::route::Route;
use crate::state::{Ports, State};

/// By which a client asks for the cache, or asks to be left out: `use`, `refresh` or `no-store`.
pub const CACHE_HEADER: &str = "x-weir-cache";

/// How long a cached answer serves where only the request asked for it, in seconds.
const DEFAULT_TTL_S: u32 = 300;

/// A larger answer is not cached.
const MAX_CACHED: usize = 1 << 20;

/// What a client wants of the response cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CacheControl {
    /// What the tenant and the model say.
    #[default]
    Default,
    /// Answer from it, and fill it.
    Use,
    /// Fill it anew.
    Refresh,
    /// Keep out of it.
    NoStore,
}

impl CacheControl {
    /// What [`CACHE_HEADER`] says.
    ///
    /// # Errors
    /// Any other word.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(CACHE_HEADER) else { return Ok(Self::Default) };
        match value.as_bytes() {
            b"use" => Ok(Self::Use),
            b"refresh" => Ok(Self::Refresh),
            b"no-store" => Ok(Self::NoStore),
            _ => Err(ApiError::new(
                FaultKind::InvalidRequest,
                "invalid_header",
                format!("The header `{CACHE_HEADER}` must be `use`, `refresh` or `no-store`."),
            )),
        }
    }
}

/// What is to be kept of one answer.
#[derive(Debug, Default)]
pub(crate) struct Remember {
    /// The cache entry to fill, and for how many seconds it serves.
    cache: Option<(CacheKey, u32)>,
    /// Whether the client is told that the cache had nothing.
    is_miss: bool,
    /// The answer so far.
    answer: BytesMut,
}

/// Names all that influences an answer, the tenant included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheKey(ContentId);

impl CacheKey {
    /// The key of a request with all that it says and refers to.
    fn new(
        context: &TenantContext,
        route: &Route,
        request: &dyn GenerateRequest,
        asked: &Asked<'_>,
    ) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            // The length keeps two parts from reading as one.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        };
        add(context.tenant_id.as_str().as_bytes());
        add(&route.entitlements.tenant.entitlement_version.to_be_bytes());
        add(request.dialect().as_str().as_bytes());
        add(&[u8::from(request.is_streaming())]);
        add(request.model().as_bytes());
        // Another target, or another registry entry, may answer otherwise.
        for model in &route.targets {
            add(serde_json::to_string(&**model).unwrap_or_default().as_bytes());
        }
        for (name, value) in asked.headers {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(asked.body);
        for (_, file) in asked.files {
            add(file.media_type.as_bytes());
            add(&file.bytes);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.into())
    }
}

/// Which entry of the cache serves a call, for how long it would, and whether it may be read.
pub(crate) fn cache_entry(
    context: &TenantContext,
    route: &Route,
    request: &dyn GenerateRequest,
    asked: &Asked<'_>,
) -> Option<(CacheKey, u32, bool)> {
    let of_tenant = route.entitlements.tenant.settings.response_cache.map(|cache| cache.ttl_s);
    let of_model = route.targets.first().and_then(|model| model.response_cache_ttl_s);
    let ttl_s = match asked.cache {
        CacheControl::NoStore => None,
        CacheControl::Default => of_model.or(of_tenant),
        CacheControl::Use | CacheControl::Refresh => {
            Some(of_model.or(of_tenant).unwrap_or(DEFAULT_TTL_S))
        }
    }?;
    let key = CacheKey::new(context, route, request, asked);
    Some((key, ttl_s, asked.cache != CacheControl::Refresh))
}

/// What the cache holds; a cache that cannot be read holds nothing.
pub(crate) async fn cached<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    key: &CacheKey,
) -> Option<Bytes> {
    let now_s = (state.now_ms)().div_euclid(1_000);
    match state.content.get(context, ContentKind::Cache, &key.0, now_s).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the response cache could not be read");
            None
        }
    }
}

/// The header that says what the cache did.
pub(crate) fn cache_header(is_hit: bool) -> (HeaderName, HeaderValue) {
    let word = if is_hit { "hit" } else { "miss" };
    (HeaderName::from_static(CACHE_HEADER), HeaderValue::from_static(word))
}

impl Remember {
    pub(crate) fn in_cache(entry: Option<(CacheKey, u32)>) -> Self {
        Self { is_miss: entry.is_some(), cache: entry, answer: BytesMut::new() }
    }

    /// Takes note of what is sent.
    pub(crate) fn piece(&mut self, piece: &[u8]) {
        if self.cache.is_none() {
            return;
        }
        if self.answer.len() + piece.len() > MAX_CACHED {
            self.cache = None;
            self.answer = BytesMut::new();
        } else {
            self.answer.extend_from_slice(piece);
        }
    }

    /// What another attempt's answer begins with: nothing of the one before.
    pub(crate) fn restart(&mut self) {
        self.answer.clear();
    }

    pub(crate) fn headers(&self) -> Option<(HeaderName, HeaderValue)> {
        self.is_miss.then(|| cache_header(false))
    }

    /// Keeps the whole answer. What cannot be kept is logged; the answer itself is not at fault.
    pub(crate) async fn complete<P: Ports>(
        &mut self,
        state: &State<P>,
        context: &TenantContext,
        stored: Option<StoredResponse>,
    ) {
        if let Some(stored) = stored {
            self.store(state, context, stored).await;
        }
        let Some((key, ttl_s)) = self.cache.take() else { return };
        let expires_s = (state.now_ms)().div_euclid(1_000) + i64::from(ttl_s);
        let answer = self.answer.split().freeze();
        let put = state.content.put(context, ContentKind::Cache, &key.0, answer, expires_s);
        if let Err(error) = put.await {
            tracing::warn!(%error, "an answer could not be cached");
        }
    }

    /// Keeps a response that the client may refer to later.
    pub(crate) async fn store<P: Ports>(
        &mut self,
        state: &State<P>,
        context: &TenantContext,
        stored: StoredResponse,
    ) {
        let (now_ms, freshness) = ((state.now_ms)(), Freshness::Remembered);
        let tenant = state.configuration.entitlements(context, freshness, now_ms).await;
        let Ok(Some(entitlements)) = tenant else { return };
        let Some(retention_s) = entitlements.tenant.settings.response_retention_s() else {
            return;
        };
        let expires_s = now_ms.div_euclid(1_000) + retention_s;
        let bytes = match serde_json::to_vec(&stored) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return tracing::error!(%error, "a response could not be written"),
        };
        let id: ContentId = match stored.id.parse() {
            Ok(id) => id,
            Err(error) => return tracing::error!(%error, "a response has no proper id"),
        };
        let put = state.content.put(context, ContentKind::Response, &id, bytes, expires_s).await;
        if let Err(error) = put {
            tracing::error!(%error, "a response could not be stored");
        }
    }
}

/// A stored response of the caller's tenant.
///
/// # Errors
/// 404 if there is none of that id for this tenant.
pub(crate) async fn stored_response<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
) -> Result<StoredResponse, ApiError> {
    let bytes = find(state, context, ContentKind::Response, id).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::internal(&error))
}

/// The stored responses of these ids, as far as the caller's tenant has them.
///
/// # Errors
/// If the store fails.
pub(crate) async fn stored_responses<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    ids: &[String],
) -> Result<Vec<StoredResponse>, ApiError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match stored_response(state, context, id).await {
            Ok(response) => found.push(response),
            Err(error) if error.fault().kind == FaultKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether the gateway keeps responses for the caller's tenant.
///
/// # Errors
/// If its settings cannot be read.
pub(crate) async fn stores_responses<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
) -> Result<bool, ApiError> {
    let now_ms = (state.now_ms)();
    let entitlements = state.configuration.entitlements(context, Freshness::Remembered, now_ms);
    let settings = entitlements.await?.map(|entitlements| entitlements.tenant.settings.clone());
    Ok(settings.is_some_and(|settings| settings.response_retention_s().is_some()))
}

/// Deletes a stored response of the caller's tenant.
///
/// # Errors
/// 404 if there is none of that id for this tenant.
pub(crate) async fn delete_response<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
) -> Result<(), ApiError> {
    delete(state, context, ContentKind::Response, id).await
}

/// What the caller's tenant has under that name.
///
/// # Errors
/// 404 if there is nothing, be it that the name is none.
pub(crate) async fn find<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    kind: ContentKind,
    id: &str,
) -> Result<Bytes, ApiError> {
    let not_found = || ApiError::not_found(kind.as_str(), id);
    let name: ContentId = id.parse().map_err(|_| not_found())?;
    let now_s = (state.now_ms)().div_euclid(1_000);
    let found = state.content.get(context, kind, &name, now_s).await;
    found.map_err(|error| ApiError::unavailable(&error))?.ok_or_else(not_found)
}

/// Deletes what the caller's tenant has under that name.
///
/// # Errors
/// 404 if there is nothing.
pub(crate) async fn delete<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    kind: ContentKind,
    id: &str,
) -> Result<(), ApiError> {
    let not_found = || ApiError::not_found(kind.as_str(), id);
    let name: ContentId = id.parse().map_err(|_| not_found())?;
    let now_s = (state.now_ms)().div_euclid(1_000);
    let was_there = state.content.delete(context, kind, &name, now_s).await;
    let was_there = was_there.map_err(|error| ApiError::unavailable(&error))?;
    if was_there { Ok(()) } else { Err(not_found()) }
}

/// Whether answers of `dialect` may be served from the cache.
pub(crate) fn is_cacheable(dialect: Dialect) -> bool {
    // A response has an id that the client may refer to: each call needs its own.
    dialect != Dialect::OpenaiResponses
}
