//! What a line of business and a tenant are, as one document each.

use std::collections::{BTreeMap, BTreeSet};

use inference::Alias;
use serde::{Deserialize, Serialize};
use tenancy::{LobId, ModelId, PriorityClass, Project, ProjectId, Status, TenantSettings};

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contact {
    /// A person or a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where they are written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// How a tenant's own pages look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Branding {
    /// The name that its people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its picture, at an `https` address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<String>,
    /// Its colour, as `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// A line of business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LobDocument {
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Cost centre, and whatever else its bill is sorted by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The models that its tenants may call, of those on their own lists; all of them if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<ModelId>>,
    /// Whether its tenants are served.
    #[serde(default = "active")]
    pub status: Status,
}

fn active() -> Status {
    Status::Active
}

/// A tenant. Limits are not part of it (they are the level above's to set), nor is who may call for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDocument {
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// The line of business that it belongs to.
    pub lob_id: LobId,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// How its pages look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branding: Option<Branding>,
    /// Cost allocation tags: they stand in each of its usage records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The models that it may call.
    #[serde(default)]
    pub models: BTreeSet<ModelId>,
    /// Output tokens that a request without a maximum may produce; the model's own default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// Its settings.
    #[serde(default, skip_serializing_if = "are_default")]
    pub settings: TenantSettings,
    /// Names that stand for models, for it alone: they hide the organisation's. In the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Pieces of its work that have their own limits and their own lines on the bill.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<ProjectId, Project>,
}

fn are_default(settings: &TenantSettings) -> bool {
    *settings == TenantSettings::default()
}

impl TenantDocument {
    /// Fields that a tenant decides on for itself.
    pub const OWN_FIELDS: [&str; 4] = ["contact", "branding", "projects", "aliases"];

    /// An empty tenant of a line of business.
    pub fn new(name: impl Into<String>, lob_id: LobId) -> Self {
        Self {
            name: name.into(),
            lob_id,
            contact: None,
            branding: None,
            tags: BTreeMap::new(),
            models: BTreeSet::new(),
            default_max_tokens: None,
            settings: TenantSettings {
                priority_class: PriorityClass::Standard,
                ..TenantSettings::default()
            },
            aliases: Vec::new(),
            projects: BTreeMap::new(),
        }
    }

    /// The models that it names, each with the field that does.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &ModelId)> {
        let targets = self.aliases.iter().flat_map(Alias::models);
        self.models.iter().map(|id| ("models", id)).chain(targets.map(|id| ("aliases", id)))
    }

    /// The document with everything that says nothing left out, so that what means the same is the same.
    #[must_use]
    pub fn normal(mut self) -> Self {
        self.aliases.sort_by(|one, other| one.name.cmp(&other.name));
        self.contact = self.contact.filter(|contact| *contact != Contact::default());
        self.branding = self.branding.filter(|branding| *branding != Branding::default());
        self
    }
}

impl LobDocument {
    /// As [`TenantDocument::normal`].
    #[must_use]
    pub fn normal(mut self) -> Self {
        self.contact = self.contact.filter(|contact| *contact != Contact::default());
        self
    }
}
