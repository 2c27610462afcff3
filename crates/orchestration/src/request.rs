//! What somebody asks for, as a document says it: all of a new tenant in one text.

use std::collections::BTreeSet;

use administration::{
    InvalidCaller, InvalidField, PERSON_ROLES, new_aws_role, new_client_name, new_email,
    read_tenant, scopes_of, strict,
};
use admission::{LimitRule, Scope as LimitedScope, check_rules, read_rules};
use serde::Deserialize;
use serde_json::{Map, Value};
use tenancy::{AwsRole, LobId, Role, TenantId};

use crate::onboard::{Onboarding, Person, Program};
use crate::task::Kind;

/// People of a new tenant; more come by its own routes, or by SCIM.
const MAX_USERS: usize = 50;
/// Machine clients of a new tenant.
const MAX_CLIENTS: usize = 20;
/// AWS roles of a new tenant.
const MAX_AWS_ROLES: usize = 50;
/// Limits of a new tenant.
const MAX_LIMITS: usize = 100;

/// What a task is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Make a tenant.
    Onboard(Box<Onboarding>),
    /// Take it away.
    Offboard,
    /// Give it to this line of business.
    Move(LobId),
}

impl Request {
    /// Which tenant a body is about, and what is to become of it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(mut body: Map<String, Value>) -> Result<(TenantId, Self), InvalidField> {
        let kind = body.remove("kind").unwrap_or_default();
        let kind = Kind::deserialize(&kind)
            .map_err(|_| InvalidField::new("kind", "This is `onboard`, `offboard` or `move`."))?;
        let tenant_id = match body.remove("tenant_id") {
            Some(Value::String(id)) => id.parse::<TenantId>().map_err(|error| error.to_string()),
            _ => Err("Say which tenant".to_owned()),
        };
        let tenant_id =
            tenant_id.map_err(|why| InvalidField::new("tenant_id", format!("{why}.")))?;
        let request = match kind {
            Kind::Onboard => Self::Onboard(Box::new(onboarding(&tenant_id, body)?)),
            Kind::Offboard => {
                let Nothing {} = strict(body)?;
                Self::Offboard
            }
            Kind::Move => {
                let To { lob_id } = strict(body)?;
                Self::Move(lob_id)
            }
        };
        Ok((tenant_id, request))
    }

    /// What kind of task it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Onboard(_) => Kind::Onboard,
            Self::Offboard => Kind::Offboard,
            Self::Move(_) => Kind::Move,
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct To {
    lob_id: LobId,
}

#[derive(Deserialize)]
struct Body {
    tenant: Map<String, Value>,
    #[serde(default)]
    limits: Option<Value>,
    #[serde(default)]
    users: Vec<Person>,
    #[serde(default)]
    clients: Vec<ClientBody>,
    #[serde(default)]
    aws_roles: Vec<RoleBody>,
}

#[derive(Deserialize)]
struct ClientBody {
    name: String,
    #[serde(default)]
    scopes: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct RoleBody {
    account_id: String,
    role_name: String,
    #[serde(default)]
    role_id: Option<String>,
    #[serde(default)]
    role: Option<Role>,
}

fn onboarding(tenant_id: &TenantId, body: Map<String, Value>) -> Result<Onboarding, InvalidField> {
    let body: Body = strict(body)?;
    let within =
        |error: InvalidField| InvalidField::new(inside("tenant", &error.field), error.message);
    let document = read_tenant(body.tenant, &Map::new()).map_err(within)?;
    let limits = body.limits.as_ref().map_or(Ok(Vec::new()), |it| limits(tenant_id, it))?;
    let users = each("users", MAX_USERS, body.users, person)?;
    let clients = each("clients", MAX_CLIENTS, body.clients, program)?;
    let aws_roles =
        each("aws_roles", MAX_AWS_ROLES, body.aws_roles, |it| aws_role(tenant_id, &it))?;
    once("users", users.iter().map(|it| it.email.as_str()))?;
    once("clients", clients.iter().map(|it| it.name.as_str()))?;
    once("aws_roles", aws_roles.iter().map(|it| (&it.account_id, &it.role_name)))?;
    Ok(Onboarding { document, limits, users, clients, aws_roles })
}

fn limits(tenant_id: &TenantId, value: &Value) -> Result<Vec<LimitRule>, InvalidField> {
    let invalid = |error: admission::InvalidRule| InvalidField::new(error.field, error.message);
    let rules = read_rules(value).map_err(invalid)?;
    if rules.len() > MAX_LIMITS {
        return Err(InvalidField::new("limits", format!("{MAX_LIMITS} at most.")));
    }
    if let Some(index) = rules.iter().position(|rule| !rule.raises.is_empty()) {
        let message = "Raises are asked for and granted, not set.";
        return Err(InvalidField::new(format!("limits[{index}].raises"), message));
    }
    check_rules(&LimitedScope::Tenant(tenant_id.clone()), &rules).map_err(invalid)?;
    Ok(rules)
}

fn person(person: Person) -> Result<Person, InvalidCaller> {
    let rule = "A list of at least one role that people can have in a tenant.";
    let is_right =
        !person.roles.is_empty() && person.roles.iter().all(|role| PERSON_ROLES.contains(role));
    if !is_right {
        return Err(InvalidCaller { field: "roles", rule });
    }
    Ok(Person { email: new_email(&person.email)?, ..person })
}

fn program(client: ClientBody) -> Result<Program, InvalidCaller> {
    let permitted: BTreeSet<String> =
        scopes_of(Role::Machine).iter().map(|scope| scope.as_str().to_owned()).collect();
    let scopes = client.scopes.unwrap_or_else(|| permitted.clone());
    if scopes.is_empty() || !scopes.is_subset(&permitted) {
        let rule = "A list of at least one of weir/invoke, weir/read; leave it out for both.";
        return Err(InvalidCaller { field: "scopes", rule });
    }
    Ok(Program { name: new_client_name(&client.name)?, scopes })
}

fn aws_role(tenant_id: &TenantId, body: &RoleBody) -> Result<AwsRole, InvalidCaller> {
    let role = body.role.unwrap_or(Role::Machine);
    new_aws_role(&body.account_id, &body.role_name, body.role_id.as_deref(), tenant_id, role)
}

/// Each of a list that has `max` at most.
fn each<T, U>(
    field: &str,
    max: usize,
    given: Vec<T>,
    read: impl Fn(T) -> Result<U, InvalidCaller>,
) -> Result<Vec<U>, InvalidField> {
    if given.len() > max {
        return Err(InvalidField::new(field, format!("{max} at most; more come afterwards.")));
    }
    let read = given.into_iter().enumerate().map(|(index, it)| {
        read(it).map_err(|error| {
            InvalidField::new(format!("{field}[{index}].{}", error.field), error.rule)
        })
    });
    read.collect()
}

fn once<T: Ord>(field: &str, names: impl Iterator<Item = T>) -> Result<(), InvalidField> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(InvalidField::new(format!("{field}[{index}]"), "It is there twice."));
        }
    }
    Ok(())
}

fn inside(outer: &str, field: &str) -> String {
    if field.is_empty() { outer.to_owned() } else { format!("{outer}.{field}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<(TenantId, Request), InvalidField> {
        let Value::Object(body) = body else { return Err(InvalidField::new("", "no object")) };
        Request::read(body)
    }

    fn whole() -> Value {
        json!({
            "kind": "onboard",
            "tenant_id": "initech",
            "tenant": {"name": "Initech", "lob_id": "retail", "models": ["nova-lite"]},
            "limits": [{"id": "month", "metric": "cost", "period": "month", "amount": 100_000_000_000_u64}],
            "users": [{"email": "Ann@Initech.example", "roles": ["tenant_admin"]}],
            "clients": [{"name": "Nightly"}],
            "aws_roles": [{"account_id": "111122223333", "role_name": "batch"}],
        })
    }

    #[test]
    fn one_document_says_all_of_a_tenant() {
        let (tenant_id, request) = read(whole()).unwrap();
        assert_eq!((tenant_id.as_str(), request.kind()), ("initech", Kind::Onboard));
        let Request::Onboard(it) = request else { panic!("{request:?}") };
        assert_eq!(it.users[0].email, "ann@initech.example");
        assert_eq!(it.clients[0].scopes.len(), 2, "both, if it says nothing");
        assert_eq!(
            (it.aws_roles[0].role, it.aws_roles[0].tenant_id.as_str()),
            (Role::Machine, "initech")
        );
        assert_eq!(it.limits[0].amount, 100_000_000_000);
        let (_, moved) =
            read(json!({"kind": "move", "tenant_id": "acme", "lob_id": "banking"})).unwrap();
        assert_eq!(moved, Request::Move("banking".parse().unwrap()));
        let (_, gone) = read(json!({"kind": "offboard", "tenant_id": "acme"})).unwrap();
        assert_eq!(gone, Request::Offboard);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |pointer: &str, value: Value| {
            let mut body = whole();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = body.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().insert(name.to_owned(), value);
            read(body)
        };
        let person = json!({"email": "a@b.example", "roles": ["viewer"]});
        for (pointer, value, field) in [
            ("/kind", json!("delete"), "kind"),
            ("/tenant_id", json!("Initech"), "tenant_id"),
            ("/tenant_id", json!(7), "tenant_id"),
            ("/tenant/lob_id", json!("Retail"), "tenant.lob_id"),
            ("/tenant/model", json!([]), "tenant.model"),
            ("/user", json!([]), "user"),
            ("/limits", json!([{"id": "x"}]), "limits[0].metric"),
            ("/users/0/email", json!("ann"), "users[0].email"),
            ("/users/0/roles", json!([]), "users[0].roles"),
            ("/users/0/roles", json!(["machine"]), "users[0].roles"),
            ("/users/0/role", json!("viewer"), "users[0].role"),
            ("/users", json!([person, person]), "users[1]"),
            ("/clients/0/name", json!(" x"), "clients[0].name"),
            ("/clients/0/scopes", json!(["weir/admin"]), "clients[0].scopes"),
            ("/clients/0/client_secret", json!("s"), "clients[0].client_secret"),
            ("/aws_roles/0/account_id", json!("12"), "aws_roles[0].account_id"),
            ("/aws_roles/0/role_id", json!("x"), "aws_roles[0].role_id"),
        ] {
            let body = if pointer.contains("/0/") {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                let mut body = whole();
                let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                parent.insert(name.to_owned(), value);
                read(body)
            } else {
                with(pointer, value)
            };
            assert_eq!(body.expect_err(pointer).field, field, "{pointer}");
        }
        let more = json!({"kind": "offboard", "tenant_id": "acme", "force": true});
        assert_eq!(read(more).unwrap_err().field, "force");
        let nowhere = json!({"kind": "move", "tenant_id": "acme"});
        assert_eq!(read(nowhere).unwrap_err().field, "lob_id");
        let people = vec![person; MAX_USERS + 1];
        assert_eq!(with("/users", json!(people)).unwrap_err().field, "users");
    }
}
