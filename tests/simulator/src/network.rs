//! The networks that are played.

use crate::Error;
use crate::data::{self, Facts};
use chrono_tz::Tz;

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    Awin,
    Cj,
    Rakuten,
    TradeTracker,
    ShareAsale,
    /// One by data, by its place among the facts files.
    Data(usize),
}

impl Network {
    /// Those with code of their own, in the order of their ports.
    pub(crate) const ALL: [Self; 5] = [Self::Awin, Self::Cj, Self::Rakuten, Self::TradeTracker, Self::ShareAsale];

    /// Its slug.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Awin => "awin",
            Self::Cj => "cj",
            Self::Rakuten => "rakuten",
            Self::TradeTracker => "tradetracker",
            Self::ShareAsale => "shareasale",
            Self::Data(_) => self.facts().map_or("", |facts| &facts.slug),
        }
    }

    /// The network of a slug.
    pub(crate) fn of(slug: &str) -> Result<Self, Error> {
        let by_data = (0..data::all().len()).map(Self::Data);
        let found = Self::ALL.into_iter().chain(by_data).find(|it| it.slug() == slug);
        found.ok_or_else(|| Error::UnknownNetwork(slug.to_owned()))
    }

    /// The facts of a network by data.
    pub(crate) fn facts(self) -> Option<&'static Facts> {
        match self {
            Self::Data(place) => data::all().get(place),
            _ => None,
        }
    }

    /// The network that has this path, of those with code of their own: their paths don't collide.
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
    pub(crate) fn zone(self) -> Tz {
        match self {
            Self::TradeTracker => chrono_tz::Europe::Amsterdam,
            Self::ShareAsale => chrono_tz::America::Chicago,
            Self::Data(_) => self.facts().map_or(chrono_tz::UTC, |facts| facts.zone),
            _ => chrono_tz::UTC,
        }
    }
}
