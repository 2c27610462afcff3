//! Versions, and changes from one to the next.

use admission::AuditEntry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::PrincipalId;

use crate::Entry;

/// An entry in one of its versions. Its document is the entry's with these beside it, so that the hot path
/// reads it as what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<E> {
    /// What it is.
    #[serde(flatten)]
    pub entry: E,
    /// Counts its changes; 0 if nobody changed it since it was seeded.
    #[serde(default)]
    pub version: u64,
    /// When it became so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// Who made it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<PrincipalId>,
}

/// A change, or a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<E> {
    /// How it is; the change is refused if that is not so. `None`: there is none.
    pub before: Option<Versioned<E>>,
    /// How it is from now on.
    pub after: Versioned<E>,
    /// Who changes it, and what.
    pub audit: AuditEntry,
}

/// An entry is taken away; how it was stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal<E> {
    /// How it is; the removal is refused if that is not so.
    pub before: Versioned<E>,
    /// Who takes it away.
    pub audit: AuditEntry,
}

impl<E: Entry> Change<E> {
    /// The change of `before` into `entry` that `audit` tells of.
    pub fn new(before: Option<Versioned<E>>, entry: E, audit: AuditEntry) -> Self {
        let last = before.as_ref().map_or(0, |before| before.version);
        Self { before, ..Self::registration(last, entry, audit) }
    }

    /// The registration of what is not there, and was there until its version `last`; 0 if it never was.
    pub fn registration(last: u64, entry: E, mut audit: AuditEntry) -> Self {
        let version = last.saturating_add(1);
        audit.version = Some(version);
        let after = Versioned {
            entry,
            version,
            changed_at: Some(audit.time),
            changed_by: Some(audit.principal_id.clone()),
        };
        Self { before: None, after, audit }
    }
}

#[cfg(test)]
mod tests {
    use inference::{Model, Protocol, Stage, fixtures};
    use serde_json::{Value, json};

    use super::*;
    use crate::ModelEntry;

    fn audit(principal: &str) -> AuditEntry {
        AuditEntry {
            id: "e-1".to_owned(),
            time: Timestamp::from_second(1_800_000_000).unwrap(),
            action: "model.set".to_owned(),
            subject: "registry/models/tuned".to_owned(),
            principal_id: principal.to_owned().try_into().unwrap(),
            principal_kind: None,
            tenant_id: "acme".parse().unwrap(),
            roles: [].into(),
            is_allowed: true,
            version: None,
            before: Value::Null,
            after: Value::Null,
        }
    }

    #[test]
    fn versions_count_and_say_who_made_them() {
        let entry = ModelEntry::of(fixtures::model("tuned", Protocol::Converse));
        let first = Change::new(None, entry.clone(), audit("ada"));
        assert_eq!((first.after.version, first.audit.version), (1, Some(1)));
        let second = Change::new(Some(first.after.clone()), entry, audit("bob"));
        assert_eq!((second.after.version, second.audit.version), (2, Some(2)));
        assert_eq!(second.before, Some(first.after));
        assert_eq!(second.after.changed_at, Some(second.audit.time));
        assert_eq!(second.after.changed_by, Some(second.audit.principal_id));
        // What comes again goes on counting.
        let again = Change::registration(2, second.after.entry, audit("ada"));
        assert_eq!((again.before, again.after.version), (None, 3));
    }

    #[test]
    fn the_hot_path_reads_a_version_as_its_model() {
        let mut model = fixtures::model("tuned", Protocol::Converse);
        for stage in Stage::ALL {
            model.stage = stage;
            let after = Change::new(None, ModelEntry::of(model.clone()), audit("ada")).after;
            let document = json!(after);
            assert_eq!(serde_json::from_value::<Model>(document.clone()).unwrap(), model);
            assert_eq!(serde_json::from_value::<Versioned<ModelEntry>>(document).unwrap(), after);
        }
        // What was seeded is the first to be changed.
        let seeded: Versioned<ModelEntry> = serde_json::from_value(json!(model)).unwrap();
        assert_eq!((seeded.version, &seeded.entry.model), (0, &model));
        assert_eq!(Change::new(Some(seeded), ModelEntry::of(model), audit("ada")).after.version, 1);
    }
}
