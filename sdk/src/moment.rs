//! A window's bounds as networks want them written.

use crate::{DAY_MICROS, SECOND_MICROS, Window, format_time};

/// A bound of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The first moment, UTC.
    Since,
    /// The moment behind the last one, UTC: for an end that doesn't belong to the window.
    Until,
    /// The last second, UTC: for an end that belongs to the window.
    Last,
    /// The first moment, as a clock in the stream's zone shows it.
    LocalSince,
    /// The moment behind the last one, as a clock in the stream's zone shows it.
    LocalUntil,
    /// The last second, as a clock in the stream's zone shows it.
    LocalLast,
    /// The first day in the stream's zone.
    FirstDay,
    /// The last day in the stream's zone: for a day that belongs to the window.
    LastDay,
    /// The day behind the last one in the stream's zone: for a day that doesn't belong to the window.
    EndDay,
    /// The day before the first one in the stream's zone: for windows in a zone that isn't known.
    DayBefore,
}

impl Window {
    /// A bound by a pattern of [`format_time`], or `%s` for seconds since 1970.
    ///
    /// ```
    /// use sluice_connector::{DAY_MICROS, Moment, Window};
    /// let day = Window { since: 0, until: DAY_MICROS, local_since: 0, local_until: DAY_MICROS };
    /// assert_eq!(day.text(Moment::LastDay, "%d.%m.%Y"), "01.01.1970");
    /// assert_eq!(day.text(Moment::EndDay, "%Y-%m-%d"), "1970-01-02");
    /// assert_eq!(day.text(Moment::Last, "%s"), "86399");
    /// ```
    pub fn text(&self, moment: Moment, pattern: &str) -> String {
        let micros = match moment {
            Moment::Since => self.since,
            Moment::Until => self.until,
            Moment::Last => self.since.max(self.until - SECOND_MICROS),
            Moment::LocalSince | Moment::FirstDay => self.local_since,
            Moment::LocalUntil => self.local_until,
            Moment::LocalLast => self.local_since.max(self.local_until - SECOND_MICROS),
            Moment::LastDay => self.local_since.max(self.local_until - 1),
            // The midnight that ends the last day, whatever its time.
            Moment::DayBefore => self.local_since - DAY_MICROS,
            Moment::EndDay => self.local_until + (DAY_MICROS - 1),
        };
        match pattern {
            "%s" => micros.div_euclid(SECOND_MICROS).to_string(),
            _ => format_time(micros, pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_day_has_that_day_and_ends_behind_it() {
        let hour = SECOND_MICROS * 3_600;
        let window = Window { since: hour, until: 2 * hour, local_since: 23 * hour, local_until: 24 * hour };
        let day = |moment| window.text(moment, "%d");
        assert_eq!([day(Moment::FirstDay), day(Moment::LastDay), day(Moment::EndDay)], ["01", "01", "02"]);
        assert_eq!(window.text(Moment::LocalLast, "%H:%M:%S"), "23:59:59");
        assert_eq!(window.text(Moment::Until, "%H:%M:%S"), "02:00:00");
        let shorter = Window { until: hour + 1, ..window };
        assert_eq!(shorter.text(Moment::Last, "%H:%M:%S"), "01:00:00", "never before its begin");
    }
}
