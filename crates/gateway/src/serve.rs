//! The gateway as an HTTP service: from a route and a body to an answer.

use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_api::{ApiError, Body, full, request_id_header};
use inference::anthropic_messages::{CountTokensRequest, MessagesRequest};
use inference::converse::{ConverseCountTokensRequest, ConverseRequest, GuardrailRequest};
use inference::embeddings::EmbeddingsRequest;
use inference::invoke_model::InvokeRequest;
use inference::openai_chat::ChatRequest;
use inference::openai_responses::{InputItemsQuery, ResponsesRequest, deleted, input_items};
use inference::rerank::RerankRequest;
use inference::{GenerateRequest, UnaryRequest, Upload};
use serde_json::Value;
use tenancy::TenantContext;

use crate::call::Call;
use crate::files::{ObjectStore as _, create_file, delete_file, file, uploads};
use crate::models::{ModelsShape, model, models};
use crate::path::Path;
use crate::remember::{
    CacheControl, delete_response, stored_response, stored_responses, stores_responses,
};
use crate::state::{Ports, State};
use crate::unary::unary;
use crate::{Asked, generate};

/// Headers that belong to a client's protocol and reach the provider with its body.
const PROTOCOL_HEADERS: [&str; 2] = ["anthropic-beta", "anthropic-version"];

/// What the headers of Bedrock's own API begin with.
const BEDROCK_HEADERS: &str = "x-amzn-bedrock-";

/// Headers by which clients name a conversation.
const SESSION_HEADERS: [&str; 4] =
    ["x-weir-session", "x-claude-code-session-id", "session_id", "session-id"];

/// Headers by which clients name a project: the gateway's own, and that of OpenAI's SDKs.
const PROJECT_HEADERS: [&str; 2] = ["x-weir-project", "openai-project"];

/// A request as it came by HTTP, or by something that stands for it.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, without stage or base path.
    pub path: &'a str,
    /// Names and values of the query.
    pub query: &'a [(String, String)],
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// One route's answer, with its type erased: the compiler need not see through all of them at once.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, ApiError>> + Send + 'a>>;

/// Answers one request of a verified caller.
///
/// # Errors
/// What the caller is to read, in the shape of [`family_of`](crate::family_of) its path.
pub async fn serve<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    request: HttpRequest<'_>,
) -> Result<Response<Body>, ApiError> {
    let Some(path) = Path::of(request.path) else {
        return Err(ApiError::unknown_route(request.method, request.path));
    };
    if !path.methods().contains(request.method) {
        let right = path.methods().first().unwrap_or(&Method::POST);
        return Err(ApiError::wrong_method(request.method, request.path, right));
    }
    context.require(path.permission())?;
    let (family, id) = (path.dialect().family(), HeaderValue::from_str(&call.id));
    let answer: Answer<'_> = match path {
        path if path.is_generated() => Box::pin(generated(state, context, call, path, request)),
        Path::Embeddings
        | Path::Rerank
        | Path::CountTokens
        | Path::BedrockCountTokens { .. }
        | Path::ApplyGuardrail { .. } => Box::pin(at_once(state, context, call, path, request)),
        _ => Box::pin(own(state, context, path, request)),
    };
    let mut response = answer.await?;
    if let Ok(id) = id {
        response.headers_mut().insert(request_id_header(family), id.clone());
        response.headers_mut().insert("x-request-id", id);
    }
    Ok(response)
}

async fn generated<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    path: Path<'_>,
    request: HttpRequest<'_>,
) -> Result<Response<Body>, ApiError> {
    let headers = protocol_headers(request.headers);
    let cache = CacheControl::of(request.headers)?;
    let (parsed, files) = parse(state, &context, &call, &path, request.body, &headers).await?;
    let session = SESSION_HEADERS.iter().find_map(|name| request.headers.get(*name)?.to_str().ok());
    let project = project(request.headers);
    let asked = Asked {
        path: request.path,
        body: request.body,
        files: &files,
        headers: &headers,
        cache,
        session,
        project,
    };
    generate(state, context, call, parsed, asked).await
}

/// The request in its dialect, with the files that it refers to.
pub(crate) async fn parse<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    call: &Call,
    path: &Path<'_>,
    body: &[u8],
    headers: &[(String, String)],
) -> Result<(Box<dyn GenerateRequest>, Files), ApiError> {
    let files = async |ids: Vec<String>| uploads(state, context, &ids).await;
    Ok(match path {
        Path::Responses => {
            let request = ResponsesRequest::parse(body)?;
            let earlier = stored_responses(state, context, &request.stored_ids()).await?;
            let request = request.with_history(&earlier)?;
            let files = files(request.upload_ids()).await?;
            let request = request.with_uploads(&files)?;
            let is_kept = !call.is_shadow() && stores_responses(state, context).await?;
            let request = if is_kept { request } else { request.without_store() };
            (Box::new(request), files)
        }
        Path::Messages => {
            let request = MessagesRequest::parse(body, headers)?;
            let files = files(request.upload_ids()).await?;
            (Box::new(request.with_uploads(&files)?), files)
        }
        Path::Converse { model, is_streaming } => {
            let request = ConverseRequest::parse(model, *is_streaming, body)?;
            let (bucket, tenant) = (state.objects.bucket(), context.tenant_id.as_str());
            let files = files(request.upload_ids(bucket, tenant)?).await?;
            let uploads = files.iter().map(|(_, file)| file.clone()).collect();
            (Box::new(request.with_uploads(uploads)), files)
        }
        Path::Invoke { model, is_streaming } => {
            let request = InvokeRequest::parse(model, *is_streaming, body, headers)?;
            let files = files(request.upload_ids()).await?;
            (Box::new(request.with_uploads(&files)?), files)
        }
        _ => {
            let request = ChatRequest::parse(body)?;
            let files = files(request.upload_ids()).await?;
            (Box::new(request.with_uploads(files.clone())), files)
        }
    })
}

/// Uploaded files by their ids.
pub(crate) type Files = Vec<(String, Upload)>;

async fn at_once<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    path: Path<'_>,
    request: HttpRequest<'_>,
) -> Result<Response<Body>, ApiError> {
    let headers = protocol_headers(request.headers);
    let body = request.body;
    let parsed: Box<dyn UnaryRequest> = match &path {
        Path::Embeddings => Box::new(EmbeddingsRequest::parse(body)?),
        Path::Rerank => Box::new(RerankRequest::parse(body)?),
        Path::BedrockCountTokens { model } => {
            Box::new(ConverseCountTokensRequest::parse(model, body)?)
        }
        Path::ApplyGuardrail { id, version } => {
            Box::new(GuardrailRequest::parse(id, version, body)?)
        }
        _ => {
            let request = CountTokensRequest::parse(body, &headers)?;
            let files = uploads(state, &context, &request.upload_ids()).await?;
            Box::new(request.with_uploads(&files)?)
        }
    };
    unary(state, context, call, &*parsed, project(request.headers)).await
}

/// The gateway's own routes.
async fn own<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    path: Path<'_>,
    request: HttpRequest<'_>,
) -> Result<Response<Body>, ApiError> {
    let is_deletion = request.method == Method::DELETE;
    // `/v1/models` is OpenAI's and Anthropic's route; Anthropic's SDKs always say their version.
    let shape = if request.headers.contains_key("anthropic-version") {
        ModelsShape::Anthropic
    } else {
        ModelsShape::Openai
    };
    let answer: Value = match &path {
        Path::Models => models(state, &context, shape).await?,
        Path::Model(id) => model(state, &context, id, shape).await?,
        Path::Files => create_file(state, &context, request.body).await?,
        Path::File(id) if is_deletion => delete_file(state, &context, id).await?,
        Path::File(id) => file(state, &context, id).await?,
        Path::Response(id) if is_deletion => {
            delete_response(state, &context, id).await?;
            deleted(id)
        }
        Path::Response(id) => stored_response(state, &context, id).await?.response,
        Path::InputItems(id) => {
            let stored = stored_response(state, &context, id).await?;
            let pairs = request.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            input_items(&stored, &InputItemsQuery::parse(pairs)?)?
        }
        _ => return Err(ApiError::unknown_route(request.method, request.path)),
    };
    let mut response = Response::new(full(answer.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// The project that the headers name. A value that is no text names one that nobody has.
fn project(headers: &HeaderMap) -> Option<&str> {
    let value = PROJECT_HEADERS.iter().find_map(|name| headers.get(*name))?;
    Some(value.to_str().unwrap_or_default())
}

fn protocol_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_of_protocol =
        |name: &str| PROTOCOL_HEADERS.contains(&name) || name.starts_with(BEDROCK_HEADERS);
    headers
        .keys()
        .filter(|name| is_of_protocol(name.as_str()))
        .map(|name| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            (name.as_str().to_owned(), values.collect::<Vec<_>>().join(","))
        })
        .collect()
}
