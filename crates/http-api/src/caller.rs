//! The caller, from the authorizer's verified context and from nothing else.

use std::collections::BTreeSet;
use std::str::FromStr;

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use tenancy::{Principal, PrincipalKind, TenantContext};

use crate::ApiError;

/// The verified tenant and principal of a request.
///
/// # Errors
/// 500 if the authorizer's context is missing or incomplete: the route is deployed without it, and
/// nobody may be served by it.
pub fn caller(request: &Request) -> Result<TenantContext, ApiError> {
    let context = request.request_context_ref().and_then(context_of).ok_or_else(|| {
        ApiError::internal(&MissingContext("the authorizer's context is missing or incomplete"))
    })?;
    Ok(context)
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct MissingContext(&'static str);

fn context_of(context: &RequestContext) -> Option<TenantContext> {
    match context {
        RequestContext::ApiGatewayV1(context) => {
            verified(|name| context.authorizer.fields.get(name)?.as_str())
        }
        _ => None,
    }
}

/// The tenant and the principal in the authorizer's context, whose fields `text` reads; nobody if
/// one is missing or is not what the authorizer writes.
pub fn verified<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Option<TenantContext> {
    let kind = match text("principal_kind")? {
        "user" => PrincipalKind::User,
        "machine" => PrincipalKind::Machine,
        _ => return None,
    };
    Some(TenantContext {
        tenant_id: text("tenant_id")?.parse().ok()?,
        lob_id: text("lob_id")?.parse().ok()?,
        principal: Principal { id: text("principal_id")?.to_owned().try_into().ok()?, kind },
        roles: words(text("roles")?)?,
        scopes: words(text("scopes")?)?,
    })
}

/// Space-separated names, all of which must be known.
fn words<T: FromStr + Ord>(text: &str) -> Option<BTreeSet<T>> {
    text.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(authorizer: &str) -> Request {
        let event = format!(
            r#"{{"resource":"/v1/models","path":"/v1/models","httpMethod":"GET","headers":{{"X-Tenant-Id":"globex"}},
                "multiValueHeaders":{{}},"requestContext":{{"resourcePath":"/v1/models","stage":"live","apiId":"a",
                "requestId":"r","httpMethod":"GET","authorizer":{authorizer}}},"body":null,"isBase64Encoded":false}}"#
        );
        lambda_http::request::from_str(&event).unwrap()
    }

    const ACME: &str = r#"{"tenant_id":"acme","lob_id":"retail","principal_id":"u-1","principal_kind":"user","roles":"developer","scopes":"","principalId":"acme|u-1","integrationLatency":3}"#;

    #[test]
    fn the_tenant_comes_from_the_authorizer_only() {
        let context = caller(&request(ACME)).unwrap();
        assert_eq!((context.tenant_id.as_str(), context.lob_id.as_str()), ("acme", "retail"));
    }

    #[test]
    fn a_caller_is_read_back_as_it_was_told() {
        for scopes in ["", "weir/invoke weir/read"] {
            let authorizer = ACME.replace(r#""scopes":"""#, &format!(r#""scopes":"{scopes}""#));
            let context = caller(&request(&authorizer)).unwrap();
            let fields = context.fields();
            let read = verified(|name| fields.get(name).map(String::as_str));
            assert_eq!(read.as_ref(), Some(&context));
            assert_eq!(context.scopes.len(), scopes.split_whitespace().count());
        }
    }

    #[test]
    fn an_incomplete_context_serves_nobody() {
        for bad in [
            "{}".to_owned(),
            ACME.replace("tenant_id", "tenant"),
            ACME.replace(r#""acme""#, r#""acme*""#),
            ACME.replace(r#""user""#, r#""root""#),
            ACME.replace("developer", "superuser"),
        ] {
            assert!(caller(&request(&bad)).is_err(), "{bad}");
        }
    }
}
