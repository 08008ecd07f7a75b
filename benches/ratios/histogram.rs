//! A histogram of latencies, and the middle of a few numbers. It knows nothing of what is measured.

/// Each power of two is cut into this many buckets, as a power of two: an error of 1.6 % at most.
const CUT: u32 = 6;
/// Above 2^40 ns (18 minutes) everything falls into the last bucket.
const LARGEST: u64 = 1 << 40;

/// Counts of latencies in nanoseconds, in buckets whose width grows with the value.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; bucket(LARGEST) + 1], total: 0 }
    }

    /// Counts one latency.
    pub fn record(&mut self, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds.min(LARGEST))) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The value below or at which `share` (0 to 1) of the latencies lie, in nanoseconds; 0 if there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_edge(index);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(CUT + 1);
    ((u64::from(shift) << CUT) + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index >> CUT).saturating_sub(1);
    let cut = index - (shift << CUT);
    ((cut + 1) << shift) - 1
}

/// The middle value; of an even number the mean of the two in the middle; `None` of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}
