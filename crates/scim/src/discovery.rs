//! What a client can find out (RFC 7643, 5 to 7), and lists.

use serde_json::{Map, Value, json};

use crate::schema::{Attribute, GROUP, GROUP_EXTENSION, Kind, ResourceType, Schema, USER};

/// The schema of a list.
pub const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The schema of an error.
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What is supported. `base` is where everything is, `max_results` how much a page has at most.
pub fn service_provider_config(base: &str, max_results: usize) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": max_results},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth bearer token",
            "description": "An access token of a client that is registered as `provisioner`, by client credentials.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// The resource types there are.
pub fn resource_types(base: &str) -> Vec<Value> {
    [&USER, &GROUP].map(|it| resource_type(it, base)).into()
}

/// The schemas there are.
pub fn schemas(base: &str) -> Vec<Value> {
    [USER.schema, GROUP.schema, &GROUP_EXTENSION].map(|it| schema(it, base)).into()
}

/// A page of a list: `resources` of `total`, the first of which is number `start_index`.
pub fn list(resources: &[Value], total: usize, start_index: usize) -> Value {
    json!({
        "schemas": [LIST_RESPONSE],
        "totalResults": total,
        "itemsPerPage": resources.len(),
        "startIndex": start_index,
        "Resources": resources,
    })
}

fn resource_type(it: &ResourceType, base: &str) -> Value {
    let extensions = it.extensions.iter().map(|it| json!({"schema": it.id, "required": false}));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": it.name,
        "name": it.name,
        "endpoint": it.endpoint,
        "description": it.description,
        "schema": it.schema.id,
        "schemaExtensions": extensions.collect::<Vec<_>>(),
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", it.name),
        },
    })
}

fn schema(it: &Schema, base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": it.id,
        "name": it.name,
        "description": it.description,
        "attributes": it.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{}", it.id)},
    })
}

fn attribute(it: &Attribute) -> Value {
    let mut body = Map::new();
    let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
    say("name", it.name.into());
    say("type", it.kind.as_str().into());
    say("multiValued", it.is_multi.into());
    say("description", it.description.into());
    say("required", it.is_required.into());
    say("mutability", it.mutability.as_str().into());
    say("returned", if it.is_always { "always" } else { "default" }.into());
    match it.kind {
        Kind::Complex => {
            say("subAttributes", it.sub.iter().map(attribute).collect::<Vec<_>>().into());
        }
        Kind::Boolean => {}
        Kind::String | Kind::DateTime | Kind::Reference => {
            say("caseExact", it.is_case_exact.into());
            say("uniqueness", if it.is_unique { "server" } else { "none" }.into());
        }
    }
    if !it.canonical.is_empty() {
        say("canonicalValues", it.canonical.into());
    }
    if !it.references.is_empty() {
        say("referenceTypes", it.references.into());
    }
    Value::Object(body)
}
