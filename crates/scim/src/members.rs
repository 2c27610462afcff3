//! What a resource makes of a person.

use std::collections::BTreeSet;

use serde_json::Value;
use tenancy::Role;

use crate::error::{ScimError, ScimType};
use crate::port::{Roster, StoredUser, Unique};
use crate::resource::Resource;
use crate::schema::{GROUP_EXTENSION, ResourceType, USER};

/// Roles that a group can give: those of a tenant that a person can have.
pub const PROVISIONED_ROLES: [Role; 4] =
    [Role::TenantAdmin, Role::Developer, Role::Viewer, Role::Auditor];

/// The role that a group gives: the one that it says, or else the one that it is named as.
///
/// # Errors
/// It says something that is no such role.
pub fn role_of(group: &Resource) -> Result<Option<Role>, ScimError> {
    let role = |name: &str| PROVISIONED_ROLES.into_iter().find(|role| role.as_str() == name);
    let said = group.get(GROUP_EXTENSION.id).and_then(|it| it.get("role")).and_then(Value::as_str);
    if let Some(name) = said {
        let names = PROVISIONED_ROLES.map(Role::as_str).join(", ");
        let detail = format!("`role` of `{}` is one of {names}.", GROUP_EXTENSION.id);
        return role(name).map(Some).ok_or_else(|| ScimError::bad(ScimType::InvalidValue, detail));
    }
    Ok(group.get("displayName").and_then(Value::as_str).and_then(role))
}

/// What a person is in the tenant: whatever the groups that they are in give.
pub fn roles_of(user: &StoredUser, roster: &Roster) -> BTreeSet<Role> {
    if !is_active(&user.resource) {
        return BTreeSet::new();
    }
    let groups = user.groups.iter().filter_map(|id| roster.groups.get(id));
    groups.filter_map(|group| role_of(&group.resource).ok().flatten()).collect()
}

/// Whether the person may be anything at all.
pub fn is_active(user: &Resource) -> bool {
    user.get("active").and_then(Value::as_bool).unwrap_or(true)
}

/// The address by which a person signs in: the primary one, else the first, else the user name, if that
/// is what the user pool takes for an address.
pub fn address(user: &Resource) -> Option<String> {
    let emails = user.get("emails").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_primary = |it: &&Value| it.get("primary") == Some(&Value::Bool(true));
    let email = emails.iter().find(is_primary).or_else(|| emails.first());
    let email = email.and_then(|it| it.get("value"));
    let text = email.or_else(|| user.get("userName")).and_then(Value::as_str)?;
    administration::new_email(text).ok()
}

/// What no other resource of that type in the tenant may have.
pub fn uniques(resource_type: &ResourceType, resource: &Resource) -> BTreeSet<Unique> {
    let names: [(&'static str, &'static str); 2] = if resource_type.name == USER.name {
        [("USERNAME", "userName"), ("USERID", "externalId")]
    } else {
        [("GROUPNAME", "displayName"), ("GROUPID", "externalId")]
    };
    let unique = |(kind, attribute): (&'static str, &'static str)| {
        let text = resource.get(attribute)?.as_str()?;
        let value = if attribute == "externalId" { text.to_owned() } else { text.to_lowercase() };
        Some(Unique { kind, attribute, value })
    };
    names.into_iter().filter_map(unique).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(body: &Value) -> Resource {
        body.as_object().unwrap().clone()
    }

    #[test]
    fn a_group_gives_what_it_says_or_is_named_as() {
        let id = GROUP_EXTENSION.id;
        let role = |body: Value| role_of(&resource(&body));
        assert_eq!(role(json!({"displayName": "Builders"})), Ok(None));
        assert_eq!(role(json!({"displayName": "developer"})), Ok(Some(Role::Developer)));
        assert_eq!(
            role(json!({"displayName": "x", id: {"role": "auditor"}})),
            Ok(Some(Role::Auditor))
        );
        assert_eq!(
            role(json!({"displayName": "viewer", id: {"role": "auditor"}})),
            Ok(Some(Role::Auditor))
        );
        // What is beyond the tenant, or a program's, no group gives.
        for name in
            ["org_admin", "lob_admin", "org_auditor", "machine", "provisioner", "root", "Developer"]
        {
            assert_eq!(role(json!({"displayName": name})), Ok(None), "{name}");
            assert!(role(json!({"displayName": "x", id: {"role": name}})).is_err(), "{name}");
        }
    }

    #[test]
    fn a_person_signs_in_by_the_primary_address() {
        let of = |body: Value| address(&resource(&body));
        let emails = json!([{"value": "a@x.example"}, {"value": "B@X.example", "primary": true}]);
        assert_eq!(of(json!({"userName": "u", "emails": emails})).as_deref(), Some("b@x.example"));
        assert_eq!(
            of(json!({"userName": "u", "emails": [{"value": "a@x.example"}]})).as_deref(),
            Some("a@x.example")
        );
        assert_eq!(of(json!({"userName": "U@x.example"})).as_deref(), Some("u@x.example"));
        assert_eq!(of(json!({"userName": "u"})), None);
        assert_eq!(
            of(json!({"userName": "u@x.example", "emails": [{"value": "no address"}]})),
            None
        );
    }
}
