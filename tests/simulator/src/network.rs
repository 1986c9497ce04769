//! The five networks that are played.

use crate::Error;
use chrono_tz::Tz;

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    Awin,
    Cj,
    Rakuten,
    TradeTracker,
    ShareAsale,
}

impl Network {
    /// All of them, in the order of their ports.
    pub(crate) const ALL: [Self; 5] = [Self::Awin, Self::Cj, Self::Rakuten, Self::TradeTracker, Self::ShareAsale];

    /// Its slug.
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::Awin => "awin",
            Self::Cj => "cj",
            Self::Rakuten => "rakuten",
            Self::TradeTracker => "tradetracker",
            Self::ShareAsale => "shareasale",
        }
    }

    /// The network of a slug.
    pub(crate) fn of(slug: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|it| it.slug() == slug).ok_or_else(|| Error::UnknownNetwork(slug.to_owned()))
    }

    /// The network that has this path; their paths don't collide.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match first {
            "publishers" | "accounts" => Some(Self::Awin),
            "query" => Some(Self::Cj),
            "token" | "events" | "advancedreports" => Some(Self::Rakuten),
            "soap" => Some(Self::TradeTracker),
            "x.cfm" => Some(Self::ShareAsale),
            _ if path.contains("/reports/") => Some(Self::Rakuten),
            _ => None,
        }
    }

    /// The zone in which it counts its days.
    pub(crate) const fn zone(self) -> Tz {
        match self {
            Self::TradeTracker => chrono_tz::Europe::Amsterdam,
            Self::ShareAsale => chrono_tz::America::Chicago,
            _ => chrono_tz::UTC,
        }
    }
}
