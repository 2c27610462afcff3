//! On what terms a provider served a call: what its price depends on beside the model.

use serde::{Deserialize, Serialize};

/// The service tier that a call ran in, in Bedrock's and OpenAI's words.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// On demand.
    #[default]
    Default,
    /// Served before others, at a higher price.
    Priority,
    /// Served when there is room, at a lower price.
    Flex,
    /// Part of a batch job.
    Batch,
}

/// Where a provider may run a call: what the prefix of a Bedrock inference profile says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ProfileScope {
    /// In the Region that is called, and for providers that know no profiles.
    #[default]
    InRegion,
    /// In any Region of a geography (`us.`, `eu.`, `apac.`, ..).
    Geo,
    /// In any Region (`global.`).
    Global,
}

impl ServiceTier {
    /// The name as it stands in requests, price books and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Priority => "priority",
            Self::Flex => "flex",
            Self::Batch => "batch",
        }
    }

    /// The tier of that name; none for one that no price is known for (`auto`, `reserved`).
    pub fn of(name: &str) -> Option<Self> {
        [Self::Default, Self::Priority, Self::Flex, Self::Batch]
            .into_iter()
            .find(|tier| tier.as_str() == name)
    }
}

impl ProfileScope {
    /// The name as it stands in price books and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InRegion => "in_region",
            Self::Geo => "geo",
            Self::Global => "global",
        }
    }

    /// The scope of what Bedrock calls a model: `us.anthropic...` is one of a geography.
    pub fn of_model_id(provider_model_id: &str) -> Self {
        const GEOGRAPHIES: [&str; 8] = ["us", "eu", "apac", "au", "jp", "in", "ca", "us-gov"];
        match provider_model_id.split_once('.') {
            Some(("global", _)) => Self::Global,
            // `in.` and `us.` are profiles only in front of `<vendor>.<model>`.
            Some((prefix, rest)) if GEOGRAPHIES.contains(&prefix) && rest.contains('.') => {
                Self::Geo
            }
            _ => Self::InRegion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, scope: ProfileScope) {
        assert_eq!(ProfileScope::of_model_id(id), scope, "{id}");
    }

    #[test]
    fn the_prefix_of_a_profile_says_where_it_runs() {
        check("global.anthropic.claude-sonnet-4-5-20250929-v1:0", ProfileScope::Global);
        check("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ProfileScope::Geo);
        check("us-gov.anthropic.claude-sonnet-4-5", ProfileScope::Geo);
        check("anthropic.claude-sonnet-4-5", ProfileScope::InRegion);
        check("in.house", ProfileScope::InRegion);
        check("llama", ProfileScope::InRegion);
    }

    #[test]
    fn a_tier_without_a_price_is_none() {
        assert_eq!(ServiceTier::of("flex"), Some(ServiceTier::Flex));
        assert_eq!(ServiceTier::of("auto"), None);
        assert_eq!(ServiceTier::of("Flex"), None);
    }
}
