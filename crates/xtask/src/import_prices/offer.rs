//! The shape of AWS's bulk price files ("offers"), as far as prices need it.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An offer file, such as
/// `https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrock/current/index.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Offer {
    #[serde(rename = "offerCode")]
    pub(super) code: String,
    #[serde(default)]
    pub(super) version: String,
    pub(super) products: Unique<Product>,
    pub(super) terms: Terms,
}

/// What is sold: one usage type in one Region.
#[derive(Debug, Deserialize)]
pub(super) struct Product {
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Value>,
}

/// Of all ways to pay only the one by use.
#[derive(Debug, Deserialize)]
pub(super) struct Terms {
    #[serde(rename = "OnDemand", default)]
    pub(super) on_demand: Unique<Unique<Term>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Term {
    pub(super) price_dimensions: Unique<Dimension>,
}

/// A price. What a file may have wrong in it is looked at when the row is, so that one bad row does not
/// hide the others: hence values of any type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dimension {
    #[serde(default)]
    pub(super) unit: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) begin_range: Option<String>,
    #[serde(default)]
    pub(super) end_range: Option<String>,
    pub(super) price_per_unit: Unique<Value>,
}

impl Product {
    /// An attribute that is text.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A map whose names occur once. In JSON they may occur twice, and then the second would be taken for
/// the first without a word.
#[derive(Debug)]
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if unique.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` occurs twice")));
                    }
                    unique.insert(name, value);
                }
                Ok(Unique(unique))
            }
        }

        deserializer.deserialize_map(Names(PhantomData))
    }
}
