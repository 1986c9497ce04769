//! Exact amounts: an integer of millionths, so that no float ever touches money.

const UNIT: i64 = 1_000_000;

/// An amount in millionths of the major unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Money(i64);

impl Money {
    /// From hundredths.
    pub(crate) const fn cents(cents: i64) -> Self {
        Self(cents * 10_000)
    }

    pub(crate) const fn negated(self) -> Self {
        Self(-self.0)
    }

    pub(crate) const fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    /// `per_mille` thousandths of it, rounded towards zero at `places` decimals.
    pub(crate) fn part(self, per_mille: i64, places: u32) -> Self {
        let exact = i128::from(self.0) * i128::from(per_mille) / 1000;
        let step = 10_i128.pow(6_u32.saturating_sub(places));
        Self(i64::try_from(exact / step * step).unwrap_or(0))
    }

    /// The shortest plain decimal: `8`, `0.1`, `-19.99`.
    pub(crate) fn plain(self) -> String {
        self.fixed(0)
    }

    /// As a JSON number is often written: at least one decimal (`8.0`).
    pub(crate) fn json(self) -> String {
        self.fixed(1)
    }

    /// The whole number of its parts, so many of their digits being behind the point; what is smaller is cut off.
    pub(crate) fn parts(self, digits: u32) -> String {
        (self.0 / 10_i64.pow(6_u32.saturating_sub(digits))).to_string()
    }

    /// A plain decimal of at least `places` decimals, and as many as it needs.
    pub(crate) fn fixed(self, places: usize) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = (self.0 / UNIT).abs();
        let mut decimals = format!("{:06}", (self.0 % UNIT).abs());
        while decimals.len() > places && decimals.ends_with('0') {
            decimals.pop();
        }
        if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn prints_exact_decimals() {
        assert_eq!(Money::cents(10).plain(), "0.1");
        assert_eq!(Money::cents(-1999).plain(), "-19.99");
        assert_eq!(Money::cents(800).json(), "8.0");
        assert_eq!(Money::cents(800).plain(), "8");
        assert_eq!(Money::cents(123_450).part(3, 6).fixed(2), "3.7035");
        assert_eq!(Money::cents(-50).fixed(2), "-0.50");
        assert_eq!(Money::cents(0).negated().plain(), "0");
        assert_eq!([Money::cents(1999).parts(4), Money::cents(-50).parts(2)], ["199900", "-50"]);
    }
}
