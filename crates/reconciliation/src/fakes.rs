//! What AWS would bill and log for a set of usage records: files in AWS's shapes, for tests.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use metering::{ModelChoice, NanoUsd, Outcome, PicoUsd, RecordId, TokenUsage, UsageRecord};
use metering::{ProfileScope, ServiceTier};
use serde_json::json;
use tenancy::{PrincipalId, PrincipalKind, PriorityClass};

use crate::amount::Amount;
use crate::caller::Gateway;
use crate::class::{Terms, TokenClass, base_model, quantities};
use crate::cur::{LineItem, LineKind};
use crate::ledger::{UnitPrices, called_at};
use crate::usage_type::UsageTypes;

/// Columns of CUR 2.0, as its column dictionary has them, that an export of Bedrock usage fills or that
/// readers could stumble over.
const COLUMNS: [&str; 62] = [
    "bill_bill_type",
    "bill_billing_entity",
    "bill_billing_period_end_date",
    "bill_billing_period_start_date",
    "bill_invoice_id",
    "bill_invoicing_entity",
    "bill_payer_account_id",
    "bill_payer_account_name",
    "cost_category",
    "discount",
    "discount_bundled_discount",
    "discount_total_discount",
    "identity_line_item_id",
    "identity_time_interval",
    "line_item_availability_zone",
    "line_item_blended_cost",
    "line_item_blended_rate",
    "line_item_currency_code",
    "line_item_iam_principal",
    "line_item_legal_entity",
    "line_item_line_item_description",
    "line_item_line_item_type",
    "line_item_net_unblended_cost",
    "line_item_net_unblended_rate",
    "line_item_normalization_factor",
    "line_item_normalized_usage_amount",
    "line_item_operation",
    "line_item_product_code",
    "line_item_resource_id",
    "line_item_tax_type",
    "line_item_unblended_cost",
    "line_item_unblended_rate",
    "line_item_usage_account_id",
    "line_item_usage_account_name",
    "line_item_usage_amount",
    "line_item_usage_end_date",
    "line_item_usage_start_date",
    "line_item_usage_type",
    "line_item_user_identifier",
    "pricing_currency",
    "pricing_lease_contract_length",
    "pricing_offering_class",
    "pricing_public_on_demand_cost",
    "pricing_public_on_demand_rate",
    "pricing_purchase_option",
    "pricing_rate_code",
    "pricing_rate_id",
    "pricing_term",
    "pricing_unit",
    "product",
    "product_comment",
    "product_fee_code",
    "product_from_location",
    "product_instance_type",
    "product_location",
    "product_product_family",
    "product_region_code",
    "product_servicecode",
    "product_sku",
    "product_usagetype",
    "resource_tags",
    "tags",
];

/// A call as AWS saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it consumed, of what, when.
    pub record: UsageRecord,
    /// Who called, if not its tenant through the gateway; empty if AWS does not say.
    pub principal: Option<String>,
}

impl Call {
    /// The call of a record.
    pub fn of(record: &UsageRecord) -> Self {
        Self { record: record.clone(), principal: None }
    }

    fn principal(&self, gateway: &Gateway) -> String {
        self.principal.clone().unwrap_or_else(|| gateway.principal(&self.record.tenant_id))
    }
}

/// A completed call, priced by `prices`.
pub fn record(
    number: u64,
    (tenant, model): (&str, &str),
    at: Timestamp,
    usage: TokenUsage,
    prices: &impl UnitPrices,
) -> Result<UsageRecord, Box<dyn std::error::Error + Send + Sync>> {
    let ms = at.as_millisecond();
    let mut record = UsageRecord {
        schema: UsageRecord::SCHEMA,
        id: RecordId::first(call_id(at, number)),
        tenant_id: tenant.parse()?,
        lob_id: "retail".parse()?,
        principal_id: PrincipalId::try_from(format!("client:{tenant}"))?,
        principal_kind: PrincipalKind::Machine,
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: PriorityClass::default(),
        started_ms: ms,
        dialect: "openai.chat_completions".into(),
        choice: ModelChoice::of(base_model(model).parse()?),
        provider_model_id: model.into(),
        provider: crate::ledger::PROVIDER.into(),
        region: "us-east-1".into(),
        profile_scope: ProfileScope::of_model_id(model),
        service_tier: ServiceTier::Default,
        provider_request_id: Some(format!("request-{number}")),
        is_streamed: false,
        is_cache_hit: false,
        usage,
        is_estimated: false,
        price_version: "2026-11".into(),
        is_priced: true,
        cost_nanousd: NanoUsd::ZERO,
        uncached_cost_nanousd: NanoUsd::ZERO,
        reserved_nanousd: NanoUsd::ZERO,
        outcome: Outcome::Completed,
        latency_ms: 1_000,
        time_to_first_token_ms: None,
        gateway_ms: 5,
        meters: Vec::new(),
        shadow_of: None,
    };
    price(&mut record, prices);
    Ok(record)
}

/// The id of a call made at `at`: a UUID of version 7.
pub fn call_id(at: Timestamp, number: u64) -> String {
    format!("{:012x}7000{number:016x}", at.as_millisecond())
}

/// Gives `record` the cost that `prices` say.
pub fn price(record: &mut UsageRecord, prices: &impl UnitPrices) {
    let pico: u128 = quantities(&record.usage)
        .map(|(class, quantity)| {
            let price = prices.unit_price(record, class).unwrap_or(PicoUsd(0));
            u128::from(quantity) * u128::from(price.0)
        })
        .sum();
    record.cost_nanousd = NanoUsd(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX));
}

/// What AWS bills for `calls`: per hour, caller and usage type one line, in thousands of tokens. What the
/// table has no name for is not billed, so use models that it has.
pub fn bill(
    calls: &[Call],
    gateway: &Gateway,
    usage_types: &UsageTypes,
    prices: &impl UnitPrices,
) -> Vec<LineItem> {
    let mut lines: BTreeMap<(i64, String, String), LineItem> = BTreeMap::new();
    for call in calls {
        let record = &call.record;
        let hour = called_at(record).as_second().div_euclid(3_600) * 3_600;
        let terms = Terms::new(&record.region, record.service_tier, record.profile_scope);
        let principal = call.principal(gateway);
        for (class, quantity) in quantities(&record.usage) {
            let model = base_model(&record.provider_model_id);
            let Some(usage_type) = usage_types.name(model, class, &terms) else { continue };
            let cost = prices.unit_price(record, class).unwrap_or_default();
            let (quantity, cost) = (i128::from(quantity), i128::from(cost.0));
            let (pricing_unit, one) = match class {
                TokenClass::Image => ("Images", 1_000_000_000_000),
                TokenClass::SearchUnit => ("Search Units", 1_000_000_000_000),
                _ => ("1K tokens", 1_000_000_000),
            };
            let line =
                lines.entry((hour, principal.clone(), usage_type.clone())).or_insert_with(|| {
                    LineItem {
                        usage_start: Timestamp::from_second(hour).unwrap_or_default(),
                        product_code: "AmazonBedrock".into(),
                        usage_type,
                        pricing_unit: pricing_unit.into(),
                        principal: Some(principal.clone())
                            .filter(|principal| !principal.is_empty()),
                        ..LineItem::default()
                    }
                });
            line.amount += Amount(quantity * one);
            line.cost += Amount(quantity * cost);
        }
    }
    lines.into_values().collect()
}

/// A file of an export.
pub fn cur_csv_gz(items: &[LineItem]) -> Result<Vec<u8>, csv::Error> {
    let gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut writer = csv::Writer::from_writer(gzip);
    writer.write_record(COLUMNS)?;
    for (number, item) in items.iter().enumerate() {
        writer.write_record(COLUMNS.iter().map(|column| value(item, number, column)))?;
    }
    let gzip = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(gzip.finish()?)
}

fn value(item: &LineItem, number: usize, column: &str) -> String {
    let kind = match item.kind {
        LineKind::Usage => "Usage",
        LineKind::Credit => "Credit",
        LineKind::Fee => "Tax",
        LineKind::Other => "SomethingNew",
    };
    match column {
        "bill_bill_type" => "Anniversary".into(),
        "bill_billing_entity" => "AWS".into(),
        "identity_line_item_id" => format!("line-{number}"),
        "line_item_currency_code" | "pricing_currency" => "USD".into(),
        "line_item_iam_principal" => item.principal.clone().unwrap_or_default(),
        "line_item_line_item_description" => "$0.0033 per 1K tokens, \"input\"\nand more".into(),
        "line_item_line_item_type" => kind.into(),
        "line_item_product_code" => item.product_code.clone(),
        "line_item_unblended_cost" | "line_item_blended_cost" => item.cost.to_string(),
        "line_item_usage_account_id" | "bill_payer_account_id" => "123456789012".into(),
        "line_item_usage_amount" => item.amount.to_string(),
        "line_item_usage_start_date" => format!("{:.3}", item.usage_start),
        "line_item_usage_type" | "product_usagetype" => item.usage_type.clone(),
        "pricing_unit" => item.pricing_unit.clone(),
        "product" => match &item.product_name {
            Some(name) => json!({"product_name": name}).to_string(),
            None => "{}".into(),
        },
        "tags" => serde_json::to_string(&item.tags).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A file of the log of invocations of `calls`.
pub fn invocation_log_gz(calls: &[Call], gateway: &Gateway) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for call in calls {
        let UsageRecord { usage, region, provider_model_id, .. } = &call.record;
        let line = json!({
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": called_at(&call.record).to_string(),
            "accountId": "123456789012",
            "identity": {"arn": call.principal(gateway)},
            "region": region,
            "requestId": call.record.provider_request_id,
            "operation": "Converse",
            "modelId": provider_model_id,
            "input": {
                "inputContentType": "application/json",
                "inputTokenCount": usage.input + usage.input_audio,
                "cacheReadInputTokenCount": usage.cache_read,
                "cacheWriteInputTokenCount": usage.cache_write_5m + usage.cache_write_1h,
            },
            "output": {
                "outputContentType": "application/json",
                "outputTokenCount": usage.output + usage.output_audio,
            },
        });
        writeln!(gzip, "{line}")?;
    }
    gzip.finish()
}

/// The columns of a Parquet file of an export that are looked at, and one that is not.
const SCHEMA: [(&str, &str); 12] = [
    ("identity_line_item_id", "OPTIONAL BYTE_ARRAY identity_line_item_id (UTF8);"),
    (
        "line_item_usage_start_date",
        "OPTIONAL INT64 line_item_usage_start_date (TIMESTAMP(MILLIS, true));",
    ),
    ("line_item_line_item_type", "OPTIONAL BYTE_ARRAY line_item_line_item_type (UTF8);"),
    ("line_item_product_code", "OPTIONAL BYTE_ARRAY line_item_product_code (UTF8);"),
    ("line_item_usage_type", "OPTIONAL BYTE_ARRAY line_item_usage_type (UTF8);"),
    ("line_item_usage_amount", "OPTIONAL DOUBLE line_item_usage_amount;"),
    ("line_item_unblended_cost", "OPTIONAL DOUBLE line_item_unblended_cost;"),
    ("line_item_currency_code", "OPTIONAL BYTE_ARRAY line_item_currency_code (UTF8);"),
    ("line_item_iam_principal", "OPTIONAL BYTE_ARRAY line_item_iam_principal (UTF8);"),
    ("pricing_unit", "OPTIONAL BYTE_ARRAY pricing_unit (UTF8);"),
    (
        "product",
        "OPTIONAL GROUP product (MAP) { REPEATED GROUP key_value { REQUIRED BYTE_ARRAY key (UTF8); OPTIONAL BYTE_ARRAY value (UTF8); } }",
    ),
    (
        "tags",
        "OPTIONAL GROUP tags (MAP) { REPEATED GROUP key_value { REQUIRED BYTE_ARRAY key (UTF8); OPTIONAL BYTE_ARRAY value (UTF8); } }",
    ),
];

/// A Parquet file of an export, without the columns `left_out`.
pub fn cur_parquet(
    items: &[LineItem],
    left_out: &[&str],
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    use parquet::data_type::{ByteArrayType, DoubleType, Int64Type};
    let columns: Vec<_> = SCHEMA.iter().filter(|(name, _)| !left_out.contains(name)).collect();
    let schema: String = columns.iter().map(|(_, column)| *column).collect();
    let schema =
        parquet::schema::parser::parse_message_type(&format!("message cur {{ {schema} }}"))?;
    let mut file = Vec::new();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(
        &mut file,
        std::sync::Arc::new(schema),
        std::sync::Arc::default(),
    )?;
    let mut group = writer.next_row_group()?;
    let every = vec![1; items.len()];
    for (name, _) in columns {
        if matches!(*name, "product" | "tags") {
            let maps: Vec<_> = items.iter().map(|item| map_of(item, name)).collect();
            for is_value in [false, true] {
                let (values, definitions, repetitions) = levels(&maps, is_value);
                let mut column = group.next_column()?.ok_or("a column is missing")?;
                column.typed::<ByteArrayType>().write_batch(
                    &values,
                    Some(&definitions),
                    Some(&repetitions),
                )?;
                column.close()?;
            }
            continue;
        }
        let mut column = group.next_column()?.ok_or("a column is missing")?;
        let texts = || items.iter().enumerate().map(|(number, item)| value(item, number, name));
        match *name {
            "line_item_usage_start_date" => {
                let values: Vec<_> =
                    items.iter().map(|item| item.usage_start.as_millisecond()).collect();
                column.typed::<Int64Type>().write_batch(&values, Some(&every), None)?;
            }
            "line_item_usage_amount" | "line_item_unblended_cost" => {
                let values = texts().map(|text| text.parse()).collect::<Result<Vec<f64>, _>>()?;
                column.typed::<DoubleType>().write_batch(&values, Some(&every), None)?;
            }
            _ => {
                let values: Vec<_> = texts().map(|text| text.into_bytes().into()).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&every), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

fn map_of(item: &LineItem, column: &str) -> BTreeMap<String, String> {
    match column {
        "tags" => item.tags.clone(),
        _ => {
            item.product_name.iter().map(|name| ("product_name".to_owned(), name.clone())).collect()
        }
    }
}

/// The keys or values of maps as Parquet stores them: an empty map is there, and has no entry.
fn levels(
    maps: &[BTreeMap<String, String>],
    is_value: bool,
) -> (Vec<parquet::data_type::ByteArray>, Vec<i16>, Vec<i16>) {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    for map in maps {
        if map.is_empty() {
            definitions.push(1);
            repetitions.push(0);
        }
        for (number, (key, value)) in map.iter().enumerate() {
            values.push(if is_value { value } else { key }.as_bytes().to_vec().into());
            definitions.push(if is_value { 3 } else { 2 });
            repetitions.push(i16::from(number > 0));
        }
    }
    (values, definitions, repetitions)
}
