//! `swap` in `networks/<name>.json`: how a new version of a network's connector takes over.

use serde::{Deserialize, Deserializer};

/// How a new version takes over. In any mode, a version that wants more rights waits for the operator's decision, and
/// one that does worse on the latest responses is refused.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwapSettings {
    /// When.
    pub mode: SwapMode,
    /// Slices that a shadow maps beside the running version.
    pub slices: u32,
    /// What comes after that.
    pub promote: Promote,
    /// The share of rows, 0 to 1, that may differ for a shadow to take over by itself.
    #[serde(deserialize_with = "share")]
    pub max_diff: f64,
}

/// When a new version takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwapMode {
    /// As soon as it did well on the latest responses.
    AtOnce,
    /// After it mapped live responses beside the running version.
    Shadow,
    /// When the operator decides so.
    Manual,
}

/// What follows when a shadow has mapped enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promote {
    /// It takes over if little enough differs.
    Auto,
    /// It waits for the operator's decision.
    Wait,
}

impl Default for SwapSettings {
    fn default() -> Self {
        Self { mode: SwapMode::AtOnce, slices: 20, promote: Promote::Auto, max_diff: 0.0 }
    }
}

impl SwapSettings {
    /// What satisfies both: a connector that several networks' files name is swapped by the stricter.
    pub fn stricter(self, other: Self) -> Self {
        let rank = |settings: &Self| match settings.mode {
            SwapMode::AtOnce => 0,
            SwapMode::Shadow => 1,
            SwapMode::Manual => 2,
        };
        let mode = if rank(&self) >= rank(&other) { self.mode } else { other.mode };
        let waits = [self, other].iter().any(|settings| settings.promote == Promote::Wait);
        Self {
            mode,
            slices: self.slices.max(other.slices),
            promote: if waits { Promote::Wait } else { Promote::Auto },
            max_diff: self.max_diff.min(other.max_diff),
        }
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(serde::de::Error::custom(format!("max_diff {share} is no share from 0 to 1")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<SwapSettings, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        assert_eq!(parse("{}").unwrap(), SwapSettings::default());
        let shadow = parse(r#"{"mode": "shadow", "slices": 5, "promote": "wait", "max_diff": 0.005}"#).unwrap();
        let expected = SwapSettings { mode: SwapMode::Shadow, slices: 5, promote: Promote::Wait, max_diff: 0.005 };
        assert_eq!(shadow, expected);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for wrong in [r#"{"mode": "now"}"#, r#"{"slice": 1}"#, r#"{"max_diff": 1.5}"#, r#"{"max_diff": "1%"}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_stricter_of_two_holds() {
        let shadow = SwapSettings { mode: SwapMode::Shadow, slices: 5, ..SwapSettings::default() };
        let manual = SwapSettings { mode: SwapMode::Manual, promote: Promote::Wait, ..SwapSettings::default() };
        let both = shadow.stricter(manual);
        assert_eq!((both.mode, both.slices, both.promote), (SwapMode::Manual, 20, Promote::Wait));
        assert_eq!(both, manual.stricter(shadow));
    }
}
