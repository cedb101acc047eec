//! Percentiles of many values in little room: buckets whose bounds grow by a constant factor, so that every answer is
//! within one per cent of a value that was there (the sketch of Masson, Rim and Lee, VLDB 2019). Sketches of parts, put
//! together, are the sketch of the whole.

/// How far an answer may be from the value, as a share of it. The bound that is promised is one per cent.
const ERROR: f64 = 0.009;

/// What is larger counts as this: values are milliseconds or kilobits per second.
const LARGEST: u64 = 1 << 40;

/// Weighted values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// Bucket and weight, by bucket. The first holds nothing but zero. At most 1,542 of them.
    buckets: Vec<(u16, u64)>,
    weight: u64,
    sum: f64,
}

impl Sketch {
    /// Adds a value that counts `weight` times.
    pub fn add(&mut self, value: u64, weight: u64) {
        if weight == 0 {
            return;
        }
        let value = value.min(LARGEST);
        self.put(bucket(value), weight);
        self.sum += value as f64 * weight as f64;
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, weight) in &other.buckets {
            self.put(*bucket, *weight);
        }
        self.sum += other.sum;
    }

    fn put(&mut self, bucket: u16, weight: u64) {
        self.weight = self.weight.saturating_add(weight);
        match self.buckets.binary_search_by_key(&bucket, |(index, _)| *index) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(weight),
            Err(at) => self.buckets.insert(at, (bucket, weight)),
        }
    }

    /// What it takes beside itself, in bytes.
    pub(super) const fn room(&self) -> usize {
        self.buckets.capacity() * size_of::<(u16, u64)>()
    }

    /// The weight of all values together.
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// The sum of all values, each times its weight.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.weight == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The value below which this share of the weight lies; `None`: it holds nothing.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (share.clamp(0.0, 1.0) * self.weight as f64).ceil().max(1.0) as u64;
        let mut below = 0_u64;
        let found = self.buckets.iter().find(|(_, weight)| {
            below = below.saturating_add(*weight);
            below >= wanted
        });
        found.or(self.buckets.last()).map(|(bucket, _)| value(*bucket))
    }

    /// The weight between one bound and the next, the last one beyond all of them. `unit`: what bounds are counted in.
    pub fn between(&self, bounds: &[f64], unit: f64) -> Vec<u64> {
        let mut between = vec![0; bounds.len() + 1];
        for (bucket, weight) in &self.buckets {
            let value = value(*bucket) as f64 / unit;
            let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            between[at] += weight;
        }
        between
    }
}

/// The factor from one bound to the next.
fn growth() -> f64 {
    (1.0 + ERROR) / (1.0 - ERROR)
}

fn bucket(value: u64) -> u16 {
    if value == 0 {
        return 0;
    }
    // No more than 1,541 for the largest value.
    ((value as f64).ln() / growth().ln()).ceil() as u16 + 1
}

fn value(bucket: u16) -> u64 {
    let Some(power) = bucket.checked_sub(1) else { return 0 };
    (2.0 * growth().powi(i32::from(power)) / (growth() + 1.0)).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[(u64, u64)]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|(value, weight)| sketch.add(*value, *weight));
        sketch
    }

    #[test]
    fn nothing_has_no_percentiles_and_zero_is_zero() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(of(&[(5, 0)]).quantile(0.5), None);
        assert_eq!(of(&[(0, 3), (100, 1)]).quantile(0.5), Some(0));
        assert_eq!(of(&[(1, 1)]).quantile(0.5), Some(1));
    }

    #[test]
    fn what_is_seen_longer_weighs_more() {
        let sketch = of(&[(2_000, 9_000), (8_000, 1_000)]);
        let near = |share, value: f64| (sketch.quantile(share).unwrap() as f64 / value - 1.0).abs() <= 0.01;
        assert!(near(0.5, 2_000.0) && near(0.9, 2_000.0) && near(0.95, 8_000.0));
        assert_eq!(sketch.between(&[1.0, 5.0], 1_000.0), [0, 9_000, 1_000]);
    }

    proptest! {
        #[test]
        fn every_percentile_is_within_one_per_cent(
            mut values in prop::collection::vec(0..10_000_000_u64, 1..300), share in 0.0..1.0_f64,
        ) {
            let sketch = of(&values.iter().map(|value| (*value, 1)).collect::<Vec<_>>());
            values.sort_unstable();
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1] as f64;
            let told = sketch.quantile(share).unwrap() as f64;
            // Half a unit is what rounding takes of small values.
            prop_assert!((told - exact).abs() <= exact * 0.01 + 0.5, "{told} for {exact}");
        }

        #[test]
        fn parts_put_together_are_the_whole(values in prop::collection::vec((0..1_u64 << 41, 0..1000_u64), 0..100), cut in 0..100_usize) {
            let cut = cut.min(values.len());
            let mut parts = of(&values[cut..]);
            parts.merge(&of(&values[..cut]));
            let whole = of(&values);
            prop_assert_eq!(&parts.buckets, &whole.buckets);
            prop_assert_eq!(parts.weight(), whole.weight());
            prop_assert!((parts.sum() - whole.sum()).abs() <= whole.sum() * 1e-9);
            prop_assert!(whole.buckets.len() <= 1_542);
        }
    }
}
