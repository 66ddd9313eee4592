//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double up to a limit, each a fifth shorter or longer by chance (KIP-580), so that
/// many clients do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try.
    pub first: Duration,
    /// At most, before chance.
    pub max: Duration,
}

impl Default for Backoff {
    /// 100 ms to 5 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The wait after as many failures in a row as `failures`.
    pub fn after(&self, failures: u32, chance: &mut fastrand::Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.max).mul_f64(0.8 + 0.4 * chance.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_limit() {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let mut chance = fastrand::Rng::with_seed(1);
        for (failures, ms) in [(0, 100), (1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (u32::MAX, 1000)]
        {
            let waits: Vec<f64> =
                (0..100).map(|_| backoff.after(failures, &mut chance).as_secs_f64() * 1000.0).collect();
            let least = waits.iter().copied().fold(f64::MAX, f64::min);
            let most = waits.iter().copied().fold(0.0, f64::max);
            assert!(
                least >= 0.8 * f64::from(ms) && most <= 1.2 * f64::from(ms),
                "{failures}: {least} to {most}"
            );
            assert!(most - least > 0.3 * f64::from(ms), "no chance: {least} to {most}");
        }
    }
}
