//! What many figures come to.

/// Middle, lowest and highest of several rounds.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub rounds: usize,
}

impl Spread {
    pub fn of(rounds: &[f64]) -> Self {
        Self {
            median: percentile(rounds, 50.0),
            low: percentile(rounds, 0.0),
            high: percentile(rounds, 100.0),
            rounds: rounds.len(),
        }
    }

    /// A figure that isn't taken in rounds.
    pub const fn once(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
            rounds: 1,
        }
    }
}

/// Round by round, so that a slow minute of the machine weighs on both sides.
pub fn ratios(of: &[f64], to: &[f64]) -> Spread {
    let each: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    Spread::of(&each)
}

/// The nearest rank: a value that was measured, not one between two.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a small count"
)]
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub const fn float(count: usize) -> f64 {
    count as f64
}

/// With commas, as people read large numbers.
pub fn grouped(count: &impl ToString) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
