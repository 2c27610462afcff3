//! On what terms a model has which price.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Price;
use crate::{ProfileScope, ServiceTier};

/// What the price of a call depends on beside its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceTerms<'a> {
    /// The provider's Region.
    pub region: &'a str,
    /// Where the provider may run the call.
    pub profile_scope: ProfileScope,
    /// The service tier that it runs in.
    pub service_tier: ServiceTier,
}

/// A price, and the terms that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The only Region that it is for; any if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The only scope that it is for; any if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_scope: Option<ProfileScope>,
    /// The tier that it is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_tier: ServiceTier,
    /// What the units cost.
    pub price: Price,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_default(tier: &ServiceTier) -> bool {
    *tier == ServiceTier::Default
}

/// A model's prices: the same for all, written as one price, or by terms, as a list of rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrices(pub(super) Vec<Rate>);

impl From<Price> for ModelPrices {
    fn from(price: Price) -> Self {
        let service_tier = ServiceTier::Default;
        Self(vec![Rate { region: None, profile_scope: None, service_tier, price }])
    }
}

impl From<Vec<Rate>> for ModelPrices {
    fn from(rates: Vec<Rate>) -> Self {
        Self(rates)
    }
}

impl Rate {
    /// Whether it is for calls in such a scope, and for this Region alone or for any.
    fn is_for(&self, region: Option<&str>, scope: ProfileScope) -> bool {
        self.region.as_deref() == region && self.profile_scope.is_none_or(|own| own == scope)
    }
}

impl ModelPrices {
    /// All rates, in the order of the book.
    pub fn rates(&self) -> &[Rate] {
        &self.0
    }

    /// The price on `terms`; none if nothing here is for them.
    ///
    /// Rates that name the Region go before those that name none: the latter count only where the former
    /// have none for the call's tier and none for the default tier. Of two rates of a tier, the one that
    /// names the scope goes before the one that does not.
    ///
    /// Without a rate of its own, a call in the flex or batch tier has the price of the default tier,
    /// since providers sell these at a discount: too much may be taken for it, never too little. The
    /// priority tier costs more than the default one, so it has no price until it is given one.
    pub fn on(&self, terms: &PriceTerms<'_>) -> Option<&Price> {
        self.in_region(Some(terms.region), terms).or_else(|| self.in_region(None, terms)).flatten()
    }

    /// The price by the rates for this Region alone, or for any; none if they do not say, which is not
    /// the same as that there is none.
    #[expect(clippy::option_option, reason = "no price is an answer")]
    fn in_region(&self, region: Option<&str>, terms: &PriceTerms<'_>) -> Option<Option<&Price>> {
        let in_tier = |tier| {
            self.0
                .iter()
                .filter(|rate| rate.service_tier == tier)
                .filter(|rate| rate.is_for(region, terms.profile_scope))
                .max_by_key(|rate| rate.profile_scope.is_some())
                .map(|rate| &rate.price)
        };
        in_tier(terms.service_tier).map(Some).or_else(|| {
            let default = in_tier(ServiceTier::Default)?;
            let is_discount = matches!(terms.service_tier, ServiceTier::Flex | ServiceTier::Batch);
            Some(is_discount.then_some(default))
        })
    }
}

impl Serialize for ModelPrices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [
                Rate {
                    region: None,
                    profile_scope: None,
                    service_tier: ServiceTier::Default,
                    price,
                },
            ] => price.serialize(serializer),
            rates => rates.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ModelPrices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PriceOrRates;

        impl<'de> Visitor<'de> for PriceOrRates {
            type Value = ModelPrices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a price or a list of rates")
            }

            fn visit_map<A: MapAccess<'de>>(self, price: A) -> Result<ModelPrices, A::Error> {
                Price::deserialize(MapAccessDeserializer::new(price)).map(ModelPrices::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, rates: A) -> Result<ModelPrices, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(rates)).map(ModelPrices)
            }
        }

        // Not an untagged enum: its errors would not say which field is wrong.
        deserializer.deserialize_any(PriceOrRates)
    }
}
