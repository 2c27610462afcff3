//! One link of a chain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical::{canonical, exact, sha256};
use crate::{ChainId, Entry};

/// The version of records that are written from now on.
pub const SCHEMA_VERSION: u32 = 1;

/// What a record's hash stands under.
pub(crate) const HASH: &str = "hash";

/// What came of what somebody wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It was done.
    Allow,
    /// It was refused.
    Deny,
    /// The entry does not say.
    Unknown,
}

/// A record of the audit trail, as it stands in its segment's file.
///
/// Each field is always there, so that the files are rows of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`] when it was written.
    pub schema_version: u32,
    /// Whose chain it is in.
    pub chain: ChainId,
    /// Its number in the chain: 1, 2, 3, ..
    pub sequence: u64,
    /// Names the entry; never twice in a chain at one time.
    pub id: String,
    /// When it was done, in milliseconds: texts in the order of time.
    pub time: String,
    /// When it came into the chain.
    pub chained_at: String,
    /// Who did it.
    pub principal_id: Option<String>,
    /// What kind of caller that is: `user`, `machine`; `system` if it was the gateway itself.
    pub principal_kind: Option<String>,
    /// The tenant that they belong to: not always the one that something was done to.
    pub tenant_id: Option<String>,
    /// What they are there.
    pub roles: Vec<String>,
    /// What was done, or tried: `limits.set`.
    pub action: String,
    /// To what, as the API's paths name it.
    pub subject: String,
    /// What came of it.
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
    /// What else was noted.
    pub details: Map<String, Value>,
    /// The hash of the record before it.
    pub previous_hash: String,
    /// The SHA-256 of the canonical text of all other fields.
    pub hash: String,
}

impl Record {
    /// The entry as the record that follows the one of `previous_hash`; none if it has no canonical text,
    /// which cannot be.
    pub(crate) fn seal(
        chain: &ChainId,
        entry: Entry,
        (sequence, previous_hash): (u64, String),
        now: Timestamp,
    ) -> Option<Self> {
        let record = Self {
            schema_version: SCHEMA_VERSION,
            chain: chain.clone(),
            sequence,
            id: entry.id,
            time: moment(entry.time),
            chained_at: moment(now),
            principal_id: entry.principal_id,
            principal_kind: entry.principal_kind,
            tenant_id: entry.tenant_id,
            roles: entry.roles,
            action: entry.action,
            subject: entry.subject,
            decision: entry.decision,
            version: entry.version,
            request_id: entry.request_id,
            reason: entry.reason,
            before: exact(entry.before),
            after: exact(entry.after),
            details: entry.details.into_iter().map(|(name, it)| (name, exact(it))).collect(),
            previous_hash,
            hash: String::new(),
        };
        let hash = hash_of(&serde_json::to_value(&record).ok()?)?;
        Some(Self { hash, ..record })
    }

    /// The [position](Entry::position) of its entry.
    pub(crate) fn position(&self) -> String {
        format!("{}#{}", self.time, self.id)
    }

    /// Its line in a file.
    pub(crate) fn line(&self) -> Option<String> {
        Some(canonical(&serde_json::to_value(self).ok()?)? + "\n")
    }
}

/// A moment in milliseconds; so the order of such texts is that of time.
pub(crate) fn moment(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The hash that a record of these fields has; none of what is no record.
pub(crate) fn hash_of(record: &Value) -> Option<String> {
    let mut fields = record.as_object()?.clone();
    fields.remove(HASH);
    Some(sha256(canonical(&Value::Object(fields))?.as_bytes()))
}
