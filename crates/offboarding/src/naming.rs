//! What is whose. `acme` and `acme-2` begin alike, so nothing is decided by how a text begins: an id
//! counts only as a whole, between the separators of keys, which no id can hold.

use tenancy::TenantId;

use crate::port::{Found, Store, Whose};

/// Kinds of partitions whose second part is the tenant they belong to.
const OWN: [&str; 2] = ["TENANT", "CALLERS"];
/// Kinds of partitions whose second part names something else; only an item's own word counts there.
const OF_OTHERS: [&str; 4] = ["CLIENT", "AWSROLE", "ISSUER", "TASK"];
/// Kinds of partitions that are nobody's, or of others than tenants, whoever is named in them.
const NOBODYS: [&str; 2] = ["ORG", "LOB"];

/// Whether something belongs to the tenant.
///
/// Of a partition of an unknown kind, any word for the tenant is enough: better to stop at it
/// ([`crate::Unclaimed`]) than to leave it behind.
pub(crate) fn is_of(whose: &Whose, found: &Found) -> bool {
    let id = whose.tenant_id.as_str();
    match found.store {
        Store::TenancyTable | Store::LedgerTable | Store::ContentTable => is_own_item(id, found),
        Store::UploadsBucket => names(&found.name, "tenant=", id, "/"),
        Store::StatementsBucket => {
            found.name.split('/').take(3).any(|part| part.strip_prefix("tenant=") == Some(id))
        }
        Store::AuditBucket => {
            let mut parts = found.name.split('/').skip(2);
            (parts.next(), parts.next()) == (Some("tenant"), Some(id))
        }
        Store::UserPool => match found.place.split_once('/') {
            None if found.place == "groups" => group_owner(&found.name) == Some(id),
            None if found.place == "clients" => {
                whose.clients.contains(&found.name)
                    || found.owner.as_deref().is_some_and(|name| names(name, "", id, "."))
            }
            Some(("members", group)) => group_owner(group) == Some(id),
            _ => false,
        },
    }
}

fn group_owner(group: &str) -> Option<&str> {
    group.split_once(':').map(|(owner, _)| owner)
}

fn is_own_item(id: &str, found: &Found) -> bool {
    let mut parts = found.place.split('#');
    let (kind, second) = (parts.next().unwrap_or_default(), parts.next());
    if OWN.contains(&kind) {
        return second == Some(id);
    }
    if NOBODYS.contains(&kind) {
        return false;
    }
    let is_said = found.owner.as_deref() == Some(id);
    if OF_OTHERS.contains(&kind) {
        return is_said;
    }
    match found.place.as_str() {
        "AUDIT#HEADS" => found.name.strip_prefix("tenant=") == Some(id),
        place if place.starts_with("AUDIT#CHAIN#") => {
            place.strip_prefix("AUDIT#CHAIN#tenant=") == Some(id)
        }
        _ => {
            second == Some(id)
                || is_said
                || names(&found.name, "tenants/", id, "/#")
                || names(&found.name, "TENANT#", id, "#")
                || names(&found.name, "tenant=", id, "/#")
        }
    }
}

/// Whether `text` is the id behind `prefix`, alone or followed by one of `ends` and more.
fn names(text: &str, prefix: &str, id: &str, ends: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(id));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|it| ends.contains(it)))
}

/// Whether `text` is what `pattern` describes: `{t}` the tenant's id, `*` any text.
pub(crate) fn glob(pattern: &str, tenant_id: &TenantId, text: &str) -> bool {
    let pattern = pattern.replace("{t}", tenant_id.as_str());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_describes_a_whole_text() {
        let id = "acme".parse().unwrap();
        for (pattern, text, expected) in [
            ("META", "META", true),
            ("META", "META2", false),
            ("VERSION#*", "VERSION#", true),
            ("TENANT#{t}#SHARD#*", "TENANT#acme#SHARD#0-3", true),
            ("TENANT#{t}#SHARD#*", "TENANT#acme-2#SHARD#0-3", false),
            ("drafts/*/tenant={t}/*", "drafts/2026-11/tenant=acme/statement.json", true),
            ("drafts/*/tenant={t}/*", "drafts/2026-11/tenant=acme2/statement.json", false),
            ("*", "", true),
            ("a*b", "ab", true),
            ("a*b", "a", false),
        ] {
            assert_eq!(glob(pattern, &id, text), expected, "{pattern} {text}");
        }
    }
}
