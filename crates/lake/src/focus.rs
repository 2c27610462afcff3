//! Usage in the `FinOps` Open Cost and Usage Specification, version 1.2
//! (<https://focus.finops.org/focus-specification/v1-2/>), as CSV.
//!
//! A row is what one rollup sums: a tenant's use of a model by one principal, for a project, on the
//! same terms, in a period. Costs are what the price book says, before what a plan of the tenant adds or
//! takes off; statements have that. The organisation bills, each tenant is a sub account of it.

use std::fmt::Display;

use metering::{RollupRow, TokenUsage, UsagePeriod};

/// The version of the specification.
pub const VERSION: &str = "1.2";

/// Whom an export is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The billing account, for example the id of the AWS account.
    pub account_id: String,
    /// Its name, and who issues the invoice.
    pub name: String,
}

/// Columns of the specification, in alphabetical order, then the gateway's own.
const HEADER: [&str; 56] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_LobId",
    "x_ProjectId",
    "x_PrincipalId",
    "x_Model",
    "x_ServiceTier",
    "x_ProfileScope",
    "x_PriceVersion",
    "x_Calls",
    "x_Attempts",
    "x_CacheHits",
    "x_InputTokens",
    "x_OutputTokens",
    "x_InputAudioTokens",
    "x_OutputAudioTokens",
    "x_CacheReadTokens",
    "x_CacheWrite5mTokens",
    "x_CacheWrite1hTokens",
    "x_Images",
    "x_SearchUnits",
    "x_GuardrailUnits",
    "x_UncachedCost",
    "x_EstimatedCost",
];

/// The rows as one CSV file with a header. Tags are not part of rollups; the column is there and empty.
pub fn to_csv(issuer: &Issuer, rows: &[RollupRow]) -> Result<Vec<u8>, csv::Error> {
    let mut file = csv::Writer::from_writer(Vec::new());
    file.write_record(HEADER)?;
    for row in rows {
        file.write_record(values(issuer, row))?;
    }
    file.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

fn values(
    issuer: &Issuer,
    RollupRow { period, key, rollup }: &RollupRow,
) -> [String; HEADER.len()] {
    let month = UsagePeriod::containing(metering::Granularity::Month, period.start_ms());
    let (quantity, unit) = consumed(&rollup.usage, rollup.attempts);
    let cost = || usd(rollup.cost_nanousd.0);
    let description = format!("{} of {} by {}", unit, key.model, key.principal_id.as_str());
    let project = key.project_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let usage = &rollup.usage;
    [
        cost(),
        issuer.account_id.clone(),
        issuer.name.clone(),
        "USD".to_owned(),
        moment(month.next()),
        moment(month),
        "Usage".to_owned(),
        String::new(),
        description,
        "Usage-Based".to_owned(),
        moment(period.next()),
        moment(*period),
        quantity.to_string(),
        unit.to_owned(),
        cost(),
        cost(),
        issuer.name.clone(),
        cost(),
        "Standard".to_owned(),
        quantity.to_string(),
        unit.to_owned(),
        key.provider.clone(),
        key.provider.clone(),
        key.region.clone(),
        key.region.clone(),
        "AI and Machine Learning".to_owned(),
        "Weir".to_owned(),
        "Generative AI".to_owned(),
        key.model.to_string(),
        unit.to_owned(),
        key.tenant_id.to_string(),
        key.tenant_id.to_string(),
        "Tenant".to_owned(),
        String::new(),
        key.lob_id.to_string(),
        project,
        key.principal_id.as_str().to_owned(),
        key.model.to_string(),
        key.service_tier.as_str().to_owned(),
        key.profile_scope.as_str().to_owned(),
        key.price_version.clone(),
        number(rollup.calls),
        number(rollup.attempts),
        number(rollup.cache_hits),
        number(usage.input),
        number(usage.output),
        number(usage.input_audio),
        number(usage.output_audio),
        number(usage.cache_read),
        number(usage.cache_write_5m),
        number(usage.cache_write_1h),
        number(usage.images),
        number(usage.search_units),
        number(usage.guardrail_units),
        usd(rollup.uncached_cost_nanousd.0),
        usd(rollup.estimated_cost_nanousd.0),
    ]
}

fn number(count: impl Display) -> String {
    count.to_string()
}

/// What was consumed, in the one unit that says most about it.
fn consumed(usage: &TokenUsage, attempts: u64) -> (u64, &'static str) {
    let units =
        [(usage.total(), "Tokens"), (usage.images, "Images"), (usage.search_units, "Search Units")];
    let used = units.into_iter().find(|(quantity, _)| *quantity > 0);
    used.unwrap_or((attempts, "Requests"))
}

/// Nano-USD as decimal dollars, with every digit that is not a trailing zero.
fn usd(nano: u64) -> String {
    let (dollars, nanos) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let text = format!("{dollars}.{nanos:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The first moment of a period, as FOCUS writes moments.
fn moment(period: UsagePeriod) -> String {
    format!("{}T{:02}:00:00Z", period.date(), period.hour())
}

#[cfg(test)]
mod tests {
    use metering::{NanoUsd, ProfileScope, Rollup, RollupKey, ServiceTier};
    use proptest::prelude::*;

    use super::*;

    fn row(project: Option<&str>, usage: TokenUsage, cost: u64) -> RollupRow {
        let key = RollupKey {
            tenant_id: "acme".parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            project_id: project.map(|project| project.parse().unwrap()),
            // Where a name has a quote and a comma, it stays one field.
            principal_id: "u,\"1\"".to_owned().try_into().unwrap(),
            model: "claude-sonnet-4-5".parse().unwrap(),
            provider: "aws.bedrock".to_owned(),
            region: "us-east-1".to_owned(),
            service_tier: ServiceTier::Flex,
            profile_scope: ProfileScope::Geo,
            price_version: "2026-11".to_owned(),
        };
        let rollup = Rollup {
            calls: 2,
            attempts: 3,
            usage,
            cost_nanousd: NanoUsd(cost),
            uncached_cost_nanousd: NanoUsd(cost + 1),
            ..Rollup::default()
        };
        RollupRow { period: "2026-12-31".parse().unwrap(), key, rollup }
    }

    #[test]
    fn a_row_says_all_that_focus_wants() {
        let usage = TokenUsage { input: 10, output: 5, cache_read: 7, ..TokenUsage::default() };
        let images = TokenUsage { images: 4, ..TokenUsage::default() };
        let rows = [
            row(Some("web-shop"), usage, 1_234_567_890),
            row(None, images, 40_000_000_000),
            row(None, TokenUsage::default(), 0),
        ];
        let issuer = Issuer { account_id: "111122223333".to_owned(), name: "Example".to_owned() };
        let csv = String::from_utf8(to_csv(&issuer, &rows).unwrap()).unwrap();
        insta::assert_snapshot!(csv);
    }

    #[test]
    fn columns_of_the_specification_come_first_and_in_order() {
        let own = HEADER.iter().position(|name| name.starts_with("x_")).unwrap();
        let (specified, own) = HEADER.split_at(own);
        assert!(specified.is_sorted());
        assert!(own.iter().all(|name| name.starts_with("x_") && name.len() <= 50));
        // Every column that version 1.2 wants in any case.
        for name in [
            "BilledCost",
            "BillingAccountId",
            "BillingAccountName",
            "BillingCurrency",
            "BillingPeriodEnd",
            "BillingPeriodStart",
            "ChargeCategory",
            "ChargeClass",
            "ChargeDescription",
            "ChargePeriodEnd",
            "ChargePeriodStart",
            "ContractedCost",
            "EffectiveCost",
            "InvoiceIssuerName",
            "ListCost",
            "PricingQuantity",
            "PricingUnit",
            "ProviderName",
            "PublisherName",
            "ServiceCategory",
            "ServiceName",
        ] {
            assert!(specified.contains(&name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_digit_of_an_amount_is_lost(nano in any::<u64>()) {
            let text = usd(nano);
            let (dollars, rest) = text.split_once('.').unwrap_or((&text, ""));
            let read = dollars.parse::<u128>().unwrap() * 1_000_000_000
                + format!("{rest:0<9}").parse::<u128>().unwrap();
            prop_assert_eq!(read, u128::from(nano));
        }
    }
}
