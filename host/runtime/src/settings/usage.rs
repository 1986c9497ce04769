//! `[usage]` of `sluice.toml`: what use costs.

use bigdecimal::BigDecimal;
use serde::{Deserialize, Deserializer, de};

/// The section: rates in one currency. What it leaves out costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageRates {
    /// ISO 4217 code.
    pub currency: String,
    /// The price of a thousand requests.
    #[serde(default, deserialize_with = "decimal")]
    pub per_thousand_requests: BigDecimal,
    /// A GiB received from networks, as it came.
    #[serde(default, deserialize_with = "decimal")]
    pub per_gib_received: BigDecimal,
    /// An hour of processor time, of guests or of the host.
    #[serde(default, deserialize_with = "decimal")]
    pub per_cpu_hour: BigDecimal,
    /// A GiB in raw for a month of 30 days.
    #[serde(default, deserialize_with = "decimal")]
    pub per_gib_month_stored: BigDecimal,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rate {
    Text(String),
    Whole(u32),
    #[expect(dead_code, reason = "a number with a point isn't exact")]
    Float(f64),
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BigDecimal, D::Error> {
    let rate = match Rate::deserialize(deserializer)? {
        Rate::Text(text) => text.parse::<BigDecimal>().ok(),
        Rate::Whole(number) => Some(BigDecimal::from(number)),
        Rate::Float(_) => None,
    };
    let is_rate = |rate: &BigDecimal| *rate >= BigDecimal::default() && rate.digits() <= 20;
    rate.filter(is_rate).ok_or_else(|| de::Error::custom("a rate is a decimal in quotes, such as \"0.023\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rate_is_an_exact_decimal() {
        let of = |text: &str| toml::from_str::<UsageRates>(&format!("currency = \"EUR\"\n{text}"));
        let rates = of("per_cpu_hour = \"0.1\"\nper_gib_received = 2").unwrap();
        assert_eq!(rates.per_cpu_hour.to_string(), "0.1");
        assert_eq!(rates.per_gib_received, BigDecimal::from(2));
        assert_eq!(rates.per_thousand_requests, BigDecimal::default());
        for wrong in ["per_cpu_hour = 0.1", "per_cpu_hour = \"-1\"", "per_cpu_hour = \"much\"", "per_month = 1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<UsageRates>("per_cpu_hour = 1").is_err(), "of which currency?");
    }
}
