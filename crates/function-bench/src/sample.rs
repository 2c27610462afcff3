//! Numbers of one kind, and what they come to.

use std::time::Duration;

/// Measured values of one kind.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    values: Vec<f64>,
}

impl Sample {
    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds a time, in milliseconds.
    pub fn push_time(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1_000.0);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The smallest value that `percent` of all do not exceed (nearest rank); of no values, 0.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let rank = (values.len() * percent).div_ceil(100).clamp(1, values.len().max(1));
        values.get(rank - 1).copied().unwrap_or_default()
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The sum of all divided by their number; of no values, 0.
    pub fn mean(&self) -> f64 {
        let count = u32::try_from(self.values.len()).unwrap_or(u32::MAX).max(1);
        self.values.iter().sum::<f64>() / f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: impl IntoIterator<Item = u32>) -> Sample {
        Sample { values: values.into_iter().map(f64::from).collect() }
    }

    #[track_caller]
    fn check(sample: &Sample, percent: usize, expected: f64) {
        assert!(
            (sample.percentile(percent) - expected).abs() < 1e-9,
            "{}",
            sample.percentile(percent)
        );
    }

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let hundred = sample((1..=100).rev());
        check(&hundred, 50, 50.0);
        check(&hundred, 99, 99.0);
        check(&hundred, 100, 100.0);
        check(&sample(1..=20), 95, 19.0);
        check(&sample([7]), 1, 7.0);
        check(&sample([]), 99, 0.0);
    }

    #[test]
    fn the_mean_of_nothing_is_zero() {
        assert!((sample([1, 2, 6]).mean() - 3.0).abs() < 1e-9);
        assert!(sample([]).mean().abs() < 1e-9);
    }
}
