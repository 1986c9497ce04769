//! `vanish` of `sluice.toml` and of `networks/*.json`: when a transaction that a network no longer reports has vanished.

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, de};

use super::network::parse_duration_secs;

/// The section, in either file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VanishSettings {
    /// How much later than the first complete read without a transaction another one must be to confirm it.
    #[serde(deserialize_with = "duration")]
    confirm_after: Option<TimeDelta>,
}

/// Runs are hourly at most, by default: an outage that two of them fall into lasts longer than most.
const CONFIRM_AFTER: TimeDelta = TimeDelta::hours(1);

impl VanishSettings {
    /// How much later than the first read without a transaction another one must be: as this says, or else as the
    /// `general` settings do.
    pub fn confirm_after(self, general: Self) -> TimeDelta {
        self.confirm_after.or(general.confirm_after).unwrap_or(CONFIRM_AFTER)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeDelta>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let secs = if text == "0" { Some(0) } else { parse_duration_secs(&text) };
    let secs = secs.ok_or_else(|| {
        de::Error::custom(format!("`{text}` is no duration like 1h or 1d; \"0\" lets the second read decide whenever"))
    })?;
    Ok(Some(TimeDelta::seconds(secs.into())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_decides_before_the_general_settings_and_an_hour_is_the_default() {
        let of = |text: &str| toml::from_str::<VanishSettings>(text).unwrap();
        let (own, general, nothing) = (of("confirm_after = \"0\""), of("confirm_after = \"6h\""), of(""));
        assert_eq!(own.confirm_after(general), TimeDelta::zero());
        assert_eq!(nothing.confirm_after(general), TimeDelta::hours(6));
        assert_eq!(nothing.confirm_after(nothing), TimeDelta::hours(1));
        for wrong in ["confirm_after = \"soon\"", "confirm_after = 1", "hours_apart = 1"] {
            assert!(toml::from_str::<VanishSettings>(wrong).is_err(), "{wrong}");
        }
    }
}
