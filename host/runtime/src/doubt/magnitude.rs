//! The order of magnitude of amounts.

use serde::{Deserialize, Serialize};

use super::profile::Fill;

/// Binary digits that make a size: the amounts of one differ by less than a factor of 8, and two units are two sizes apart.
const DIGITS_OF_SIZE: u32 = 3;
/// Sizes that are distinguished: up to 2^63 millionths, more than an amount has.
const SIZES: usize = 22;

/// The order of magnitude of amounts that aren't zero, as base-2 logarithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Magnitude {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) squares: f64,
    /// Amounts that are zero.
    pub(super) zeros: u64,
    /// Of those that aren't, amounts below zero.
    #[serde(default)]
    pub(super) negatives: u64,
    /// The number of binary digits of the largest one in millionths; 0 where that isn't known.
    #[serde(default)]
    pub(super) digits: u32,
    /// How many are of each size: three binary digits are one.
    #[serde(default)]
    sizes: [u64; SIZES],
}

impl Magnitude {
    #[inline]
    pub(super) fn add(&mut self, amount: i128) {
        if amount == 0 {
            self.zeros += 1;
            return;
        }
        let size = amount.unsigned_abs();
        // No amount is larger than 64 bits, and these take a fraction of the time.
        let log = u64::try_from(size).map_or(size as f64, |size| size as f64).log2();
        self.count += 1;
        self.sum += log;
        self.squares += log * log;
        self.negatives += u64::from(amount < 0);
        let digits = u128::BITS - size.leading_zeros();
        self.digits = self.digits.max(digits);
        self.sizes[(digits / DIGITS_OF_SIZE).min(SIZES as u32 - 1) as usize] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.zeros += other.zeros;
        self.negatives += other.negatives;
        self.digits = self.digits.max(other.digits);
        self.sizes.iter_mut().zip(other.sizes).for_each(|(own, more)| *own += more);
    }

    pub(super) fn halve(&mut self) {
        let half = self.count / 2;
        let share = if self.count == 0 { 0.0 } else { half as f64 / self.count as f64 };
        let (zeros, negatives) = (self.zeros / 2, self.negatives / 2);
        let (sum, squares) = (self.sum * share, self.squares * share);
        // A size that was seen stays one that was seen.
        let sizes = self.sizes.map(|count| count.div_ceil(2));
        *self = Self { count: half, sum, squares, zeros, negatives, digits: self.digits, sizes };
    }

    /// The mean of the logarithms; none without amounts.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// How many of the amounts aren't zero.
    pub(super) fn worth(&self) -> Fill {
        Fill { of: self.count + self.zeros, filled: self.count }
    }

    /// How many of those that aren't zero are above it.
    pub(super) fn positive(&self) -> Fill {
        Fill { of: self.count, filled: self.count - self.negatives.min(self.count) }
    }

    /// Whether `least` amounts or more are of a size that has `times` its share of before, as those in another unit are, however
    /// little they move the mean.
    pub(super) fn has_more_of_a_size(&self, before: &Self, least: u64, times: u128) -> bool {
        let all = |sizes: &[u64]| u128::from(sizes.iter().sum::<u64>());
        let (all_before, all_now) = (all(&before.sizes), all(&self.sizes));
        let mut sizes = self.sizes.iter().zip(before.sizes);
        sizes.any(|(now, before)| *now >= least && u128::from(*now) * all_before > times * u128::from(before) * all_now)
    }

    /// The standard deviation of the logarithms.
    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean().unwrap_or_default();
        let variance = self.squares / (self.count.max(1) as f64) - mean * mean;
        variance.max(0.0).sqrt()
    }
}
