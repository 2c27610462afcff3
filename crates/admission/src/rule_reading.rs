//! Limits as an administrator writes them, read so that a mistake is named by its field.

use serde_json::{Map, Value};
use tenancy::PriorityClass;

use crate::rule_validation::InvalidRule;
use crate::{LimitRule, Metric, Period};

/// Limits of one scope at most: an item of the table holds them all.
pub const MAX_RULES: usize = 50;

type Read<T> = Result<T, InvalidRule>;

/// The limits that a JSON array holds, in the shape that [`LimitRule`] documents.
///
/// Whether they make sense together is [`crate::check_rules`]' to say.
///
/// # Errors
/// The first value that is not what its field takes, by the field's path: `limits[2].amount`.
pub fn read_rules(value: &Value) -> Result<Vec<LimitRule>, InvalidRule> {
    let rules = array("limits", value)?;
    if rules.len() > MAX_RULES {
        return Err(invalid("limits", format!("A scope has {MAX_RULES} limits at most.")));
    }
    let read = |(index, rule)| read_rule(&format!("limits[{index}]"), rule);
    rules.iter().enumerate().map(read).collect()
}

fn read_rule(path: &str, value: &Value) -> Read<LimitRule> {
    let mut object = object(path, value)?.clone();
    take_currency(path, &mut object)?;
    for (name, value) in &object {
        read_field(&format!("{path}.{name}"), name, value)?;
    }
    for name in ["id", "metric", "amount"] {
        if !object.contains_key(name) {
            return Err(invalid(format!("{path}.{name}"), format!("`{name}` is missing.")));
        }
    }
    // What is left has been looked at field by field; this makes the rule of it.
    serde_json::from_value(Value::Object(object))
        .map_err(|error| invalid(path, format!("{error}.")))
}

/// Amounts of money are in nano-USD and nothing else; who says so is not refused for it.
fn take_currency(path: &str, object: &mut Map<String, Value>) -> Read<()> {
    match object.remove("currency") {
        None => Ok(()),
        Some(Value::String(currency)) if currency == "USD" => Ok(()),
        Some(_) => Err(invalid(
            format!("{path}.currency"),
            "Amounts of money are in nano-USD (1 USD = 1000000000); no other currency is converted. Leave `currency` out, or say \"USD\".",
        )),
    }
}

fn read_field(path: &str, name: &str, value: &Value) -> Read<()> {
    match name {
        "id" => text(path, value).map(drop),
        "metric" => one_of::<Metric>(
            path,
            value,
            "`cost`, `requests`, `input_tokens`, `output_tokens`, `total_tokens` or `concurrency`",
        ),
        "period" => one_of::<Period>(
            path,
            value,
            "`minute`, `hour`, `day`, `week`, `month`, `quarter`, `year` or `total`",
        ),
        "amount" => whole(path, value, "nano-USD of cost, else a count").map(drop),
        "models" => models(path, value),
        "enforcement" => one_of::<crate::Enforcement>(path, value, "`hard` or `soft`"),
        "reserved" => reserved(path, value),
        "max_share" => percent(path, value),
        "valid_from" | "valid_until" => moment(path, value),
        "thresholds" => {
            let thresholds = array(path, value)?;
            let read = |(index, value)| percent(&format!("{path}[{index}]"), value);
            thresholds.iter().enumerate().try_for_each(read)
        }
        "on_exhausted" => on_exhausted(path, value),
        "raises" => {
            let raises = array(path, value)?;
            let read = |(index, raise)| read_raise(&format!("{path}[{index}]"), raise);
            raises.iter().enumerate().try_for_each(read)
        }
        _ => Err(unknown(path, name)),
    }
}

fn models(path: &str, value: &Value) -> Read<()> {
    let object = object(path, value)?;
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((name, id)), None) if name == "model" || name == "family" => {
            model(&format!("{path}.{name}"), id)
        }
        _ => Err(invalid(
            path,
            "Say `{\"model\": ...}` or `{\"family\": ...}`, or leave `models` out for all models.",
        )),
    }
}

fn model(path: &str, value: &Value) -> Read<()> {
    let id: Result<tenancy::ModelId, _> = text(path, value)?.parse();
    id.map(drop).map_err(|error| invalid(path, format!("{error}.")))
}

fn reserved(path: &str, value: &Value) -> Read<()> {
    for (class, share) in object(path, value)? {
        let path = format!("{path}.{class}");
        if serde_json::from_value::<PriorityClass>(Value::String(class.clone())).is_err() {
            return Err(invalid(path, "A class is `batch`, `standard` or `interactive`."));
        }
        percent(&path, share)?;
    }
    Ok(())
}

fn on_exhausted(path: &str, value: &Value) -> Read<()> {
    match value {
        Value::String(word) if word == "approval" => Ok(()),
        Value::Object(object) if object.len() == 1 && object.contains_key("fallback") => {
            model(&format!("{path}.fallback"), value.get("fallback").unwrap_or(&Value::Null))
        }
        _ => Err(invalid(
            path,
            "Say `\"approval\"` or `{\"fallback\": \"<model>\"}`, or leave it out to refuse calls.",
        )),
    }
}

fn read_raise(path: &str, value: &Value) -> Read<()> {
    for (name, value) in object(path, value)? {
        let path = format!("{path}.{name}");
        match name.as_str() {
            "id" | "granted_by" | "reason" => text(&path, value).map(drop)?,
            "amount" => whole(&path, value, "nano-USD of cost, else a count").map(drop)?,
            "valid_from" | "valid_until" => moment(&path, value)?,
            _ => return Err(unknown(&path, name)),
        }
    }
    Ok(())
}

/// A whole number of `unit`. Text is none, nor is a fraction, even one that is whole.
///
/// # Errors
/// It is something else.
pub fn whole(path: &str, value: &Value, unit: &str) -> Result<u64, InvalidRule> {
    value.as_u64().filter(|_| value.is_u64()).ok_or_else(|| {
        invalid(path, format!("This is a whole number ({unit}), not negative, without quotes, fraction or exponent."))
    })
}

/// A moment in RFC 3339.
///
/// # Errors
/// It is something else.
pub fn timestamp(path: &str, value: &Value) -> Result<jiff::Timestamp, InvalidRule> {
    let moment = text(path, value)?.parse();
    moment.map_err(|_| invalid(path, "This is a moment in RFC 3339, such as 2026-11-25T00:00:00Z."))
}

fn moment(path: &str, value: &Value) -> Read<()> {
    timestamp(path, value).map(drop)
}

fn percent(path: &str, value: &Value) -> Read<()> {
    let percent = whole(path, value, "percent")?;
    if (1..=100).contains(&percent) { Ok(()) } else { Err(invalid(path, "Percent are 1 to 100.")) }
}

fn one_of<T: for<'de> serde::Deserialize<'de>>(path: &str, value: &Value, names: &str) -> Read<()> {
    let read = value.is_string().then(|| serde_json::from_value::<T>(value.clone()).ok()).flatten();
    read.map(drop).ok_or_else(|| invalid(path, format!("This is one of {names}.")))
}

fn text<'a>(path: &str, value: &'a Value) -> Read<&'a str> {
    value.as_str().ok_or_else(|| invalid(path, "This is a text."))
}

fn array<'a>(path: &str, value: &'a Value) -> Read<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| invalid(path, "This is an array."))
}

fn object<'a>(path: &str, value: &'a Value) -> Read<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| invalid(path, "This is an object."))
}

fn unknown(path: &str, name: &str) -> InvalidRule {
    let name: String = name.chars().take(64).collect();
    invalid(
        path,
        format!("There is no field `{name}` here. Amounts are called `amount`, in nano-USD."),
    )
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> InvalidRule {
    InvalidRule { field: field.into(), message: message.into() }
}
