//! From usage types of bills to models, classes and terms: a table, not code.

use std::collections::BTreeMap;

use metering::ServiceTier;
use serde::Deserialize;

use crate::class::{Terms, TokenClass};
use crate::cur::LineItem;

/// The table that comes with the crate.
const BUILT_IN: &str = include_str!("usage-types.json");

/// How to read usage types.
///
/// Two spellings are known: `USE1-Claude4.5Sonnet-input-tokens-cross-region-global`, and that of
/// models sold as products of their own, whose name is in the line's product:
/// `USE1-MP:USE1_InputTokenCount_Global-Units`. A usage type of which anything is left when every
/// word of it has been looked up is not mapped at all: half understood is not understood.
#[derive(Debug, Clone, Deserialize)]
pub struct UsageTypes {
    /// Names the table in reports.
    pub version: String,
    product_codes: Vec<String>,
    product_name_suffix: String,
    regions: BTreeMap<String, String>,
    units: BTreeMap<String, u32>,
    models: Vec<ModelRule>,
    classes: Vec<ClassRule>,
    terms: Vec<TermsRule>,
}

#[derive(Debug, Clone, Deserialize)]
struct ModelRule {
    /// Its name in usage types.
    usage: String,
    /// Its name as a product.
    #[serde(default)]
    product: Option<String>,
    /// The foundation model's id.
    model: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ClassRule {
    usage: String,
    class: TokenClass,
}

#[derive(Debug, Clone, Deserialize)]
struct TermsRule {
    usage: String,
    #[serde(default)]
    tier: Option<ServiceTier>,
    #[serde(default)]
    is_global: bool,
}

/// What a usage type means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The foundation model's id.
    pub model: String,
    /// What was consumed.
    pub class: TokenClass,
    /// On what terms.
    pub terms: Terms,
    /// How much of it one unit of the bill's amount is.
    pub per_unit: u32,
}

impl UsageTypes {
    /// The table that comes with the crate. AWS publishes no list, so what it says of models is
    /// collected from price lists and examples; add what reports show as unmapped.
    pub fn built_in() -> Result<Self, serde_json::Error> {
        serde_json::from_str(BUILT_IN)
    }

    /// Whether a line is about Bedrock at all.
    pub fn is_about_bedrock(&self, item: &LineItem) -> bool {
        self.product_codes.contains(&item.product_code)
            || item
                .product_name
                .as_ref()
                .is_some_and(|name| name.ends_with(&self.product_name_suffix))
    }

    /// What a line's usage type means; none if any part of it is not in the table.
    pub fn usage(&self, item: &LineItem) -> Option<Usage> {
        let (region, rest) = item.usage_type.split_once('-')?;
        let per_unit = *self.units.get(&item.pricing_unit)?;
        let (model, rest) = match rest.strip_prefix("MP:") {
            Some(rest) => {
                (self.product_model(item)?, rest.strip_prefix(region)?.strip_prefix('_')?)
            }
            None => self.named_model(rest)?,
        };
        let rest = rest.strip_suffix("-Units").unwrap_or(rest);
        // Some spell the endpoint between the model and the class.
        let rest = rest.strip_prefix("mantle-").unwrap_or(rest);
        let rule = longest(&self.classes, |rule| &rule.usage, rest)?;
        let mut terms = Terms {
            region: self.regions.get(region)?.clone(),
            tier: ServiceTier::Default,
            is_global: false,
        };
        let mut rest = rest.strip_prefix(rule.usage.as_str())?;
        while !rest.is_empty() {
            let rule = longest(&self.terms, |rule| &rule.usage, rest)?;
            terms.tier = rule.tier.unwrap_or(terms.tier);
            terms.is_global |= rule.is_global;
            rest = rest.strip_prefix(rule.usage.as_str())?;
        }
        Some(Usage { model, class: rule.class, terms, per_unit })
    }

    fn named_model<'a>(&self, rest: &'a str) -> Option<(String, &'a str)> {
        let rule = longest(&self.models, |rule| &rule.usage, rest)?;
        let rest = rest.strip_prefix(rule.usage.as_str())?.strip_prefix('-')?;
        Some((rule.model.clone(), rest))
    }

    fn product_model(&self, item: &LineItem) -> Option<String> {
        let name = item.product_name.as_ref()?.strip_suffix(&self.product_name_suffix)?.trim_end();
        let rule = self.models.iter().find(|rule| rule.product.as_deref() == Some(name))?;
        Some(rule.model.clone())
    }

    /// What a bill would call it, in the first spelling; for tests.
    #[cfg(any(test, feature = "fakes"))]
    pub fn name(&self, model: &str, class: TokenClass, terms: &Terms) -> Option<String> {
        let (region, _) = self.regions.iter().find(|(_, region)| **region == terms.region)?;
        let model = &self.models.iter().find(|rule| rule.model == model)?.usage;
        let class = &self.classes.iter().find(|rule| rule.class == class)?.usage;
        let tier = match terms.tier {
            ServiceTier::Default => "",
            ServiceTier::Priority => "-priority",
            ServiceTier::Flex => "-flex",
            ServiceTier::Batch => "-batch",
        };
        let scope = if terms.is_global { "-cross-region-global" } else { "" };
        Some(format!("{region}-{model}-{class}{tier}{scope}"))
    }
}

/// The rule with the longest name that `text` starts with.
fn longest<'a, R>(rules: &'a [R], name: impl Fn(&R) -> &String, text: &str) -> Option<&'a R> {
    rules
        .iter()
        .filter(|rule| text.starts_with(name(rule).as_str()))
        .max_by_key(|rule| name(rule).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(usage_type: &str, product_name: Option<&str>, pricing_unit: &str) -> LineItem {
        LineItem {
            usage_type: usage_type.to_owned(),
            product_name: product_name.map(str::to_owned),
            pricing_unit: pricing_unit.to_owned(),
            ..LineItem::default()
        }
    }

    #[track_caller]
    fn check(item: &LineItem, expected: Option<(&str, TokenClass, &str, ServiceTier, bool)>) {
        let usage = UsageTypes::built_in().unwrap().usage(item);
        let found = usage.as_ref().map(|usage| {
            let Terms { region, tier, is_global } = &usage.terms;
            (usage.model.as_str(), usage.class, region.as_str(), *tier, *is_global)
        });
        assert_eq!(found, expected, "{}", item.usage_type);
    }

    #[test]
    fn usage_types_are_read_word_by_word() {
        use ServiceTier::{Default, Flex, Priority};
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        let tokens = |usage_type| item(usage_type, None, "1K tokens");
        check(
            &tokens("USW2-Claude4.5Sonnet-input-tokens"),
            Some((sonnet, TokenClass::Input, "us-west-2", Default, false)),
        );
        check(
            &tokens("USE1-Claude4.5Sonnet-cache-read-input-token-count-cross-region-global"),
            Some((sonnet, TokenClass::CacheRead, "us-east-1", Default, true)),
        );
        check(
            &tokens("EUC1-NovaPro-output-tokens-priority-cross-region-eu"),
            Some(("amazon.nova-pro-v1:0", TokenClass::Output, "eu-central-1", Priority, false)),
        );
        check(
            &tokens("USE1-gpt-oss-120b-mantle-input-tokens-flex"),
            Some(("openai.gpt-oss-120b-1:0", TokenClass::Input, "us-east-1", Flex, false)),
        );
        let product = Some("Claude Sonnet 4.5 (Amazon Bedrock Edition)");
        check(
            &item("USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units", product, "Units"),
            Some((sonnet, TokenClass::CacheWrite1h, "us-east-1", Default, true)),
        );
        check(
            &item("USE1-MP:USE1_input_tokens_standard-Units", product, "Units"),
            Some((sonnet, TokenClass::Input, "us-east-1", Default, false)),
        );
    }

    #[test]
    fn what_is_half_understood_is_not_mapped() {
        for usage_type in [
            "USE1-Claude9Sonnet-input-tokens",
            "XXX9-Claude4.5Sonnet-input-tokens",
            "USE1-Claude4.5Sonnet-input-tokens-reserved",
            "USE1-Claude4.5Sonnet-thoughts",
            "USE1-Claude4.5Sonnet",
            "USE1-Claude4.5Sonnetinput-tokens",
            "USE1-MP:USW2_InputTokenCount-Units",
            "",
        ] {
            check(&item(usage_type, None, "1K tokens"), None);
        }
        check(&item("USE1-NovaPro-input-tokens", None, "Hours"), None);
        check(
            &item(
                "USE1-MP:USE1_InputTokenCount-Units",
                Some("Claude 9 (Amazon Bedrock Edition)"),
                "Units",
            ),
            None,
        );
    }
}
