//! What the registry keeps in versions, of whichever kind.

use std::collections::BTreeSet;

use administration::InvalidField;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tenancy::{ModelId, PrincipalId};

/// A kind of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Models.
    Model,
    /// Names that stand for models.
    Alias,
}

impl Kind {
    /// Its name, as an object of the API and in audit entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Alias => "alias",
        }
    }

    /// The parameter that names one in paths.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Model => "model_id",
            Self::Alias => "alias",
        }
    }

    /// Its name in paths.
    pub fn path(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Alias => "aliases",
        }
    }
}

/// What is kept in versions, and read by the hot path from where its latest one is.
pub trait Entry: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// Which kind it is.
    const KIND: Kind;

    /// Its name, which no other entry of its kind has.
    fn id(&self) -> &ModelId;

    /// The models that it names, each with the field that does.
    fn names(&self) -> impl Iterator<Item = (&'static str, &ModelId)>;

    /// The entry of `id` that a body describes, written by `by` in place of `before`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    fn read(
        body: Map<String, Value>,
        id: &ModelId,
        before: Option<&Self>,
        by: &PrincipalId,
        now: Timestamp,
    ) -> Result<Self, InvalidField>;

    /// What `earlier` says in place of `self`, written by `by`.
    ///
    /// # Errors
    /// It is none that may stand there.
    fn restored(&self, earlier: &Self, by: &PrincipalId) -> Result<Self, InvalidField>;

    /// Whether `other` says nothing else, whoever wrote it.
    fn says(&self, other: &Self) -> bool {
        self == other
    }

    /// Checks that the models that it names are registered.
    ///
    /// # Errors
    /// The first one that is not.
    fn check_names(&self, registered: &BTreeSet<ModelId>) -> Result<(), InvalidField> {
        match self.names().find(|(_, id)| !registered.contains(*id)) {
            None => Ok(()),
            Some((field, id)) => Err(InvalidField::new(
                field,
                format!("There is no such model in the registry: `{id}`."),
            )),
        }
    }
}
