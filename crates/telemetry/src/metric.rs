//! Metrics as log lines, in CloudWatch's embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Weir";

/// What a metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Milliseconds,
}

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, for example `ProviderLatency`.
    pub name: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// The value.
    pub value: f64,
}

/// Writes one line with `metrics` under `dimensions`, and `properties` beside them.
///
/// Every combination of dimensions is a metric that is paid for, so a tenant is a property (found
/// by a query), never a dimension. `now_ms` is Unix milliseconds.
#[expect(clippy::print_stdout, reason = "CloudWatch reads metrics off the standard output")]
pub fn emit(
    now_ms: i64,
    dimensions: &[(&'static str, &str)],
    metrics: &[Metric],
    properties: &[(&'static str, &str)],
) {
    println!("{}", line(now_ms, dimensions, metrics, properties));
}

fn line(
    now_ms: i64,
    dimensions: &[(&'static str, &str)],
    metrics: &[Metric],
    properties: &[(&'static str, &str)],
) -> Value {
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|metric| {
            let unit = match metric.unit {
                Unit::Count => "Count",
                Unit::Milliseconds => "Milliseconds",
            };
            json!({ "Name": metric.name, "Unit": unit })
        })
        .collect();
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut fields = Map::new();
    fields.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions }],
        }),
    );
    for (name, value) in dimensions.iter().chain(properties) {
        fields.insert((*name).to_owned(), Value::from(*value));
    }
    for metric in metrics {
        fields.insert(metric.name.to_owned(), Value::from(metric.value));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_property_and_not_a_dimension() {
        let metric = Metric { name: "GatewayLatency", unit: Unit::Milliseconds, value: 1.5 };
        let line = line(7, &[("Service", "invoke")], &[metric], &[("tenant_id", "acme")]);
        assert_eq!(
            line,
            json!({
                "_aws": { "Timestamp": 7, "CloudWatchMetrics": [{
                    "Namespace": "Weir", "Dimensions": [["Service"]],
                    "Metrics": [{ "Name": "GatewayLatency", "Unit": "Milliseconds" }],
                }]},
                "Service": "invoke", "tenant_id": "acme", "GatewayLatency": 1.5,
            })
        );
    }
}
