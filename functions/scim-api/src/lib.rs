//! SCIM 2.0 (RFC 7644): an identity provider brings the people and groups of its own tenant.
//!
//! No path and no body names a tenant: it is the verified caller's, and there is no other one here.

mod answer;
mod ask;
mod environment;
mod groups;
mod people;
mod route;
#[cfg(test)]
mod tests;
mod users;

use std::convert::Infallible;

use administration::UserPool;
use admission::AuditEntry;
use http::{Method, Response, StatusCode};
use http_api::{Ask, Body, caller, path};
use jiff::Timestamp;
use lambda_http::Request;
use scim::{
    GROUP, MemberStore, ScimError, USER, list, resource_types, schemas, service_provider_config,
};
use serde_json::Value;
use tenancy::{Permission, TenantContext};

use crate::answer::{answer, api_error, respond};
use crate::ask::{MAX_RESULTS, Wanted};
use crate::route::Route;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S, P> {
    /// People and groups.
    pub store: S,
    /// Who is let in.
    pub pool: P,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// One request of a caller who may make it.
struct Call<'a, S, P> {
    state: &'a State<S, P>,
    context: &'a TenantContext,
    ask: &'a Ask<'a>,
    /// Where everything is: `https://<api>/live/scim/v2`.
    base: String,
}

/// Answers one request; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle(
    state: &State<impl MemberStore, impl UserPool>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    Ok(respond(&(state.new_id)(), Box::pin(serve(state, &request)).await))
}

async fn serve(
    state: &State<impl MemberStore, impl UserPool>,
    request: &Request,
) -> Result<Response<Body>, ScimError> {
    let context = caller(request).map_err(api_error)?;
    let path = path(request);
    let route = Route::of(&path);
    let route = route.ok_or_else(|| ScimError::of(404, "There is no such endpoint."))?;
    let method = request.method();
    if !route.methods().contains(method) {
        return Err(ScimError::of(405, "The endpoint is not there for this method."));
    }
    permit(state, &context, method, &path).await?;
    let ask = Ask::of(request).map_err(api_error)?;
    let call = Call { state, context: &context, ask: &ask, base: base(request) };
    let (base, is_get) = (&call.base, method == Method::GET);
    match route {
        Route::ServiceProviderConfig => {
            Ok(answer(StatusCode::OK, &service_provider_config(base, MAX_RESULTS)))
        }
        Route::ResourceTypes(id) => described(&resource_types(base), id.as_deref()),
        Route::Schemas(id) => described(&schemas(base), id.as_deref()),
        Route::Search => Box::pin(search(&call)).await,
        Route::Users if is_get => list_users(&call, Wanted::of_query(&ask, &USER)?).await,
        Route::SearchUsers => list_users(&call, Wanted::of_body(&ask, &USER)?).await,
        Route::Users => Box::pin(users::create(&call)).await,
        Route::User(id) => match *method {
            Method::PUT => Box::pin(users::replace(&call, &id)).await,
            Method::PATCH => Box::pin(users::patch(&call, &id)).await,
            Method::DELETE => Box::pin(users::delete(&call, &id)).await,
            _ => Box::pin(users::show(&call, &id)).await,
        },
        Route::Groups if is_get => list_groups(&call, Wanted::of_query(&ask, &GROUP)?).await,
        Route::SearchGroups => list_groups(&call, Wanted::of_body(&ask, &GROUP)?).await,
        Route::Groups => Box::pin(groups::create(&call)).await,
        Route::Group(id) => match *method {
            Method::PUT => Box::pin(groups::replace(&call, &id)).await,
            Method::PATCH => Box::pin(groups::patch(&call, &id)).await,
            Method::DELETE => Box::pin(groups::delete(&call, &id)).await,
            _ => Box::pin(groups::show(&call, &id)).await,
        },
    }
}

async fn list_users(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    wanted: Wanted,
) -> Result<Response<Body>, ScimError> {
    Ok(wanted.page(&Box::pin(users::list(call, &wanted)).await?))
}

async fn list_groups(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    wanted: Wanted,
) -> Result<Response<Body>, ScimError> {
    Ok(wanted.page(&Box::pin(groups::list(call, &wanted)).await?))
}

/// `POST /.search`: of everything there is. A filter that makes no sense of one kind selects none of it.
async fn search(
    call: &Call<'_, impl MemberStore, impl UserPool>,
) -> Result<Response<Body>, ScimError> {
    let people = Wanted::of_body(call.ask, &USER);
    let Ok(of_groups) = Wanted::of_body(call.ask, &GROUP) else {
        return Box::pin(list_users(call, people?)).await;
    };
    let mut selected = match people {
        Ok(wanted) => Box::pin(users::list(call, &wanted)).await?,
        Err(_) => Vec::new(),
    };
    selected.extend(Box::pin(groups::list(call, &of_groups)).await?);
    Ok(of_groups.page(&selected))
}

/// Refuses who may not, and notes whoever tried to change something.
async fn permit(
    state: &State<impl MemberStore, impl UserPool>,
    context: &TenantContext,
    method: &Method,
    path: &str,
) -> Result<(), ScimError> {
    let Err(denied) = context.require(Permission::ProvisionMembers) else { return Ok(()) };
    if method != Method::GET {
        let subject = format!("tenants/{}{}", context.tenant_id, http_api::shortened(path));
        let entry =
            AuditEntry::of(context, (state.new_id)(), (state.now)(), "members.provision", subject);
        let entry = AuditEntry { is_allowed: false, ..entry };
        if let Err(failed) = state.store.note(&entry).await {
            tracing::error!(error = %failed, "a refusal could not be noted");
        }
    }
    Err(ScimError::of(403, format!("{denied}.")))
}

/// The whole list of what describes the service, or the one of that id.
fn described(all: &[Value], id: Option<&str>) -> Result<Response<Body>, ScimError> {
    let Some(id) = id else {
        return Ok(answer(StatusCode::OK, &list(all, all.len(), 1)));
    };
    let found = all.iter().find(|it| it["id"].as_str().is_some_and(|it| it == id));
    let found = found.ok_or_else(|| ScimError::of(404, "There is no such description."))?;
    Ok(answer(StatusCode::OK, found))
}

/// Where the client found us, up to the version.
fn base(request: &Request) -> String {
    let uri = request.uri().to_string();
    let end = uri.find(route::BASE).map_or(0, |at| at + route::BASE.len());
    uri.get(..end).unwrap_or_default().trim_end_matches('/').to_owned()
}
