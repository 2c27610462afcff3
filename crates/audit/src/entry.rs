//! What was noted in the table, before it is in a chain.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{ChainId, Decision};

/// The sort key prefix of entries.
const PREFIX: &str = "AUDIT#";
/// How the partition of a line of business and that of a tenant begin.
const OWNERS: [(&str, &str); 2] = [("LOB#", "lob="), ("TENANT#", "tenant=")];

/// One entry, as an item of the table: `TENANT#<id>` / `AUDIT#<time>#<id>`.
///
/// Of all that is in it only the key has to be what it should: whatever somebody noted belongs into the
/// trail, also what this version does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Names it; where it stands in time.
    pub id: String,
    /// When it was.
    pub time: Timestamp,
    /// Who did it, if that is known.
    pub principal_id: Option<String>,
    /// What kind of caller that is.
    pub principal_kind: Option<String>,
    /// The tenant that they belong to.
    pub tenant_id: Option<String>,
    /// What they are there.
    pub roles: Vec<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Whether they were let.
    pub decision: Decision,
    /// The version that it made.
    pub version: Option<u64>,
    /// The request that it was asked for with.
    pub request_id: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
    /// What else the item says.
    pub details: Map<String, Value>,
}

/// An item that is no entry of any chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{partition_key}` / `{sort_key}` is not the key of an audit entry")]
pub struct InvalidEntry {
    /// Its partition.
    pub partition_key: String,
    /// Its place in it.
    pub sort_key: String,
}

impl Entry {
    /// The entry that an item is, and the chain that it belongs into.
    ///
    /// # Errors
    /// Its key is not that of an entry.
    pub fn of_item(mut item: Map<String, Value>) -> Result<(ChainId, Self), InvalidEntry> {
        let mut key = |name| match item.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (partition_key, sort_key) = (key("PK"), key("SK"));
        match Self::of_parts(&partition_key, &sort_key, item) {
            Some(found) => Ok(found),
            None => Err(InvalidEntry { partition_key, sort_key }),
        }
    }

    fn of_parts(pk: &str, sk: &str, mut item: Map<String, Value>) -> Option<(ChainId, Self)> {
        let chain = chain_of(pk)?;
        let (time, id) = sk.strip_prefix(PREFIX)?.split_once('#')?;
        let time: Timestamp = time.parse().ok()?;
        if id.is_empty() {
            return None;
        }
        // The key says both.
        for (name, said) in [("id", id), ("time", "")] {
            let is_said = item.get(name).and_then(Value::as_str);
            if is_said.is_some_and(|it| it == said || it.parse().is_ok_and(|it| is_same(time, it)))
            {
                item.remove(name);
            }
        }
        let decision = match item.get("is_allowed").and_then(Value::as_bool) {
            Some(true) => Decision::Allow,
            Some(false) => Decision::Deny,
            None => Decision::Unknown,
        };
        if decision != Decision::Unknown {
            item.remove("is_allowed");
        }
        let entry = Self {
            id: id.to_owned(),
            time,
            principal_id: text(&mut item, "principal_id"),
            principal_kind: text(&mut item, "principal_kind"),
            tenant_id: text(&mut item, "tenant_id"),
            roles: texts(&mut item, "roles"),
            action: text(&mut item, "action").unwrap_or_default(),
            subject: text(&mut item, "subject").unwrap_or_default(),
            decision,
            version: number(&mut item, "version"),
            request_id: text(&mut item, "request_id"),
            reason: text(&mut item, "reason"),
            before: item.remove("before").unwrap_or_default(),
            after: item.remove("after").unwrap_or_default(),
            details: item,
        };
        Some((chain, entry))
    }

    /// Where it stands among others in the table.
    pub fn position(&self) -> String {
        format!("{:.3}#{}", self.time, self.id)
    }
}

/// Whether a time is the one that the key names, which has no less than milliseconds.
fn is_same(of_key: Timestamp, time: Timestamp) -> bool {
    of_key.as_millisecond() == time.as_millisecond()
}

fn chain_of(partition_key: &str) -> Option<ChainId> {
    if partition_key == "ORG" {
        return Some(ChainId::Org);
    }
    let id =
        |(from, to): &(&str, &str)| partition_key.strip_prefix(from).map(|id| format!("{to}{id}"));
    OWNERS.iter().find_map(id)?.parse().ok()
}

/// Takes a text out of the item; what is none stays there.
fn text(item: &mut Map<String, Value>, name: &str) -> Option<String> {
    let text = item.get(name)?.as_str()?.to_owned();
    item.remove(name);
    Some(text)
}

fn number(item: &mut Map<String, Value>, name: &str) -> Option<u64> {
    let number = item.get(name)?.as_u64()?;
    item.remove(name);
    Some(number)
}

fn texts(item: &mut Map<String, Value>, name: &str) -> Vec<String> {
    let found = item.get(name).and_then(Value::as_array);
    let texts: Option<Vec<String>> = found
        .map(|found| found.iter().map(|it| it.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let Some(texts) = texts else { return Vec::new() };
    item.remove(name);
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(pk: &str, sk: &str, more: Value) -> Map<String, Value> {
        let Value::Object(mut item) = more else { panic!("an object") };
        item.insert("PK".into(), pk.into());
        item.insert("SK".into(), sk.into());
        item
    }

    const SK: &str = "AUDIT#2026-11-23T12:00:00.123Z#e-1";

    #[test]
    fn an_item_is_read_as_it_was_written() {
        let more = json!({
            "id": "e-1", "time": "2026-11-23T12:00:00.123456Z", "action": "limits.set", "subject": "tenants/acme",
            "principal_id": "u-1", "tenant_id": "globex", "roles": ["org_admin"], "is_allowed": true,
            "version": 4, "before": [], "after": [{"id": "a"}], "colour": "red",
        });
        let (chain, entry) = Entry::of_item(item("TENANT#acme", SK, more)).unwrap();
        assert_eq!(
            chain.to_string(),
            "tenant=acme",
            "the chain of what was changed, not of who did it"
        );
        assert_eq!(entry.tenant_id.as_deref(), Some("globex"));
        assert_eq!((entry.version, entry.decision), (Some(4), Decision::Allow));
        assert_eq!(entry.position(), SK.trim_start_matches("AUDIT#"));
        assert_eq!(Value::Object(entry.details), json!({"colour": "red"}));
    }

    #[test]
    fn what_is_not_as_expected_is_kept_and_not_lost() {
        let more = json!({"id": "other", "time": "yesterday", "action": 7, "roles": [1], "is_allowed": "yes", "version": -1});
        let (chain, entry) = Entry::of_item(item("ORG", SK, more.clone())).unwrap();
        assert_eq!((chain, entry.decision), (ChainId::Org, Decision::Unknown));
        assert_eq!(Value::Object(entry.details), more);
    }

    #[test]
    fn only_the_key_of_an_entry_is_one() {
        for (pk, sk) in [
            ("CATALOG", SK),
            ("TENANT#", SK),
            ("TENANT#acme#SHARD#0-1", SK),
            ("TENANT#acme", "META"),
            ("TENANT#acme", "AUDIT#"),
            ("TENANT#acme", "AUDIT#yesterday#e-1"),
            ("TENANT#acme", "AUDIT#2026-11-23T12:00:00.123Z#"),
            ("AUDIT#HEADS", SK),
        ] {
            assert!(Entry::of_item(item(pk, sk, json!({}))).is_err(), "{pk} {sk}");
        }
    }
}
