//! Where a request goes.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};

/// The path as the client sent it, without stage or base path.
pub fn path(request: &Request) -> String {
    let path = request.raw_http_path();
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else {
        return path.to_owned();
    };
    if let Some(resource) =
        context.resource_path.as_ref().filter(|resource| !resource.contains('{'))
    {
        return resource.clone();
    }
    let stage = context.stage.as_deref().unwrap_or_default();
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(stage))
        .filter(|path| path.starts_with('/'))
        .unwrap_or(path)
        .to_owned()
}
