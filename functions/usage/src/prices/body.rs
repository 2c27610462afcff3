//! Overrides as a body says them.

use std::collections::BTreeMap;

use admission::{timestamp, whole};
use http_api::{ApiError, Ask, invalid, refuse_unknown, shortened};
use metering::{InvalidPrices, ModelPrices, PriceOverrides};
use serde_json::{Map, Value, json};
use tenancy::ModelId;

use crate::answer::invalid_rule;

/// Models of one version at most.
const MAX_MODELS: usize = 200;

/// Bytes of one version at most. An audit entry holds two, and has room for 400 KB.
const MAX_BYTES: usize = 180_000;

/// What else stands in a rate than prices.
const TERMS: [&str; 3] = ["region", "profile_scope", "service_tier"];

/// The overrides that the body asks for. What it does not say of their beginning is as it was, or now.
pub(super) fn wanted(
    ask: &Ask<'_>,
    version: &str,
    before: Option<&PriceOverrides>,
    now: i64,
) -> Result<PriceOverrides, ApiError> {
    let mut body = ask.object()?;
    // What GET shows may be sent back.
    for name in ["object", "is_in_force", "is_fixed"] {
        body.remove(name);
    }
    if body.remove("version").is_some_and(|other| other != version) {
        return Err(invalid("version", "The path names another version."));
    }
    if body.remove("currency").is_some_and(|currency| currency != "USD") {
        return Err(invalid("currency", "Prices are in pico-USD; no other currency is converted."));
    }
    let beginning = before.map_or(now, |before| before.valid_from);
    let valid_from = seconds(&mut body, "valid_from")?.unwrap_or(beginning);
    let valid_until = seconds(&mut body, "valid_until")?;
    let models = match body.remove("models") {
        Some(Value::Object(models)) if !models.is_empty() => models,
        _ => {
            return Err(invalid("models", "An object of at least one model with its prices."));
        }
    };
    refuse_unknown(&body)?;
    if models.len() > MAX_MODELS {
        let message = format!("{MAX_MODELS} models at most. Split them, or write a price book.");
        return Err(invalid("models", message));
    }
    let models = models.into_iter().map(read_model).collect::<Result<BTreeMap<_, _>, _>>()?;
    let wanted = PriceOverrides { version: version.to_owned(), valid_from, valid_until, models };
    wanted.validate().map_err(|error| invalid(param(&error), format!("{error}.")))?;
    if size(&wanted) > MAX_BYTES {
        let message = format!("{MAX_BYTES} bytes at most. Name fewer models, or fewer rates.");
        return Err(invalid("models", message));
    }
    Ok(wanted)
}

/// How large overrides are, as JSON; their item is smaller.
pub(super) fn size(overrides: &PriceOverrides) -> usize {
    json!(overrides).to_string().len()
}

/// A moment, as Unix seconds.
fn seconds(body: &mut Map<String, Value>, name: &str) -> Result<Option<i64>, ApiError> {
    let value = body.remove(name).filter(|value| !value.is_null());
    let Some(value) = value else { return Ok(None) };
    let moment = timestamp(name, &value).map_err(invalid_rule)?;
    if moment.subsec_nanosecond() != 0 {
        return Err(invalid(name, "Prices are valid from one whole second to another."));
    }
    Ok(Some(moment.as_second()))
}

fn read_model((id, prices): (String, Value)) -> Result<(ModelId, ModelPrices), ApiError> {
    let path = format!("models.{}", shortened(&id));
    let model: ModelId = id.try_into().map_err(|error| invalid(&*path, format!("{error}.")))?;
    if !prices.is_object() && !prices.is_array() {
        return Err(invalid(path, "This is a price, or a list of rates."));
    }
    check_numbers(&path, &prices)?;
    let prices = serde_json::from_value(prices)
        .map_err(|error| invalid(&*path, format!("These are no prices: {error}.")))?;
    Ok((model, prices))
}

/// Checks that all but terms is whole numbers, so that an error can say where they are not.
fn check_numbers(path: &str, value: &Value) -> Result<(), ApiError> {
    match value {
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !TERMS.contains(&name.as_str())).try_for_each(
                |(name, value)| check_numbers(&format!("{path}.{}", shortened(name)), value),
            )
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check_numbers(&format!("{path}[{index}]"), value)),
        _ => whole(path, value, "pico-USD: a dollar per million tokens is 1000000")
            .map(drop)
            .map_err(invalid_rule),
    }
}

fn param(error: &InvalidPrices) -> String {
    match error {
        InvalidPrices::Version(_) => "version".to_owned(),
        InvalidPrices::NeverValid => "valid_until".to_owned(),
        InvalidPrices::NoRate(model)
        | InvalidPrices::SameTerms(model)
        | InvalidPrices::Thresholds(model)
        | InvalidPrices::Absurd { model, .. } => format!("models.{}", shortened(model.as_str())),
    }
}
