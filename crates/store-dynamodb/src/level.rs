//! The item of a level of the hierarchy, as those see it who change its limits.

use std::collections::BTreeMap;

use admission::{LimitOwner, LimitRule, LimitSet, MeterLayout};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use tenancy::{LobId, PrincipalId, ProjectId};

/// Organisation, line of business, or tenant.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Level {
    #[serde(default)]
    pub(crate) entitlement_version: u64,
    #[serde(default)]
    pub(crate) meter_layout: MeterLayout,
    #[serde(default)]
    lob_id: Option<LobId>,
    #[serde(default)]
    limits: Vec<LimitRule>,
    #[serde(default)]
    project_limits: BTreeMap<ProjectId, Vec<LimitRule>>,
    #[serde(default)]
    principal_limits: BTreeMap<PrincipalId, Vec<LimitRule>>,
    #[serde(default)]
    each_principal_limits: Vec<LimitRule>,
    #[serde(default)]
    projects: BTreeMap<ProjectId, serde_json::Value>,
}

impl Level {
    /// The list of `owner`; none of a project that the tenant does not have.
    pub(crate) fn set_of(self, owner: &LimitOwner, is_changing: bool) -> Option<LimitSet> {
        let lists = self.project_limits.values().chain(self.principal_limits.values());
        let rules_of_level = self.limits.len()
            + self.each_principal_limits.len()
            + lists.map(Vec::len).sum::<usize>();
        let unsharded = MeterLayout::default();
        let (rules, layout) = match owner {
            LimitOwner::Org | LimitOwner::Lob(_) | LimitOwner::Tenant(_) => {
                (self.limits, self.meter_layout)
            }
            LimitOwner::Project(_, id) => {
                self.projects.get(id)?;
                (self.project_limits.get(id).cloned().unwrap_or_default(), unsharded)
            }
            LimitOwner::Principal(_, id) => {
                (self.principal_limits.get(id).cloned().unwrap_or_default(), unsharded)
            }
            LimitOwner::EachPrincipal(_) => (self.each_principal_limits, unsharded),
        };
        Some(LimitSet {
            version: self.entitlement_version,
            lob_id: self.lob_id.filter(|_| owner.tenant_id().is_some()),
            rules,
            layout,
            rules_of_level,
            is_changing,
        })
    }

    /// The attribute that holds the list of `owner`, and its value with `rules` in it. An empty list of
    /// a project or principal is no list: a principal without one has the limits of each principal.
    pub(crate) fn with(
        mut self,
        owner: &LimitOwner,
        rules: &[LimitRule],
    ) -> Result<(&'static str, AttributeValue), serde_dynamo::Error> {
        let rules = rules.to_vec();
        Ok(match owner {
            LimitOwner::Org | LimitOwner::Lob(_) | LimitOwner::Tenant(_) => {
                ("limits", serde_dynamo::to_attribute_value(rules)?)
            }
            LimitOwner::Project(_, id) => {
                set(&mut self.project_limits, id.clone(), rules);
                ("project_limits", serde_dynamo::to_attribute_value(self.project_limits)?)
            }
            LimitOwner::Principal(_, id) => {
                set(&mut self.principal_limits, id.clone(), rules);
                ("principal_limits", serde_dynamo::to_attribute_value(self.principal_limits)?)
            }
            LimitOwner::EachPrincipal(_) => {
                ("each_principal_limits", serde_dynamo::to_attribute_value(rules)?)
            }
        })
    }
}

fn set<K: Ord>(lists: &mut BTreeMap<K, Vec<LimitRule>>, key: K, rules: Vec<LimitRule>) {
    if rules.is_empty() {
        lists.remove(&key);
    } else {
        lists.insert(key, rules);
    }
}
