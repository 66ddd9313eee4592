//! Filter `drop`: ends the event, by rule; with `when` or inside `if`.

use crate::random::Random;
use crate::{BuildError, Outcome, Provider};
use serde::{Deserialize, Serialize};

/// Options of the filter `drop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of how many events in a hundred it ends; which ones is left to chance.
    #[serde(skip_serializing_if = "is_all")]
    pub percentage: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { percentage: 100.0 }
    }
}

fn is_all(percentage: &f64) -> bool {
    *percentage >= 100.0
}

/// The filter.
pub struct Drop {
    /// Below which number of 0 to 1 an event ends; none: always.
    share: Option<(f64, Random)>,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Drop, BuildError> {
        let wrong = |message| BuildError { option: "percentage", message };
        if !(0.0..=100.0).contains(&self.percentage) {
            return Err(wrong(format!("{} is not between 0 and 100", self.percentage)));
        }
        if is_all(&self.percentage) {
            return Ok(Drop { share: None });
        }
        let seed = provider.random().map_err(wrong)?;
        Ok(Drop { share: Some((self.percentage / 100.0, Random::new(seed))) })
    }
}

impl Drop {
    /// Whether an event ends here. On others there was nothing to do.
    pub fn apply(&mut self) -> Outcome {
        let ends = self.share.as_mut().is_none_or(|(share, random)| random.fraction() < *share);
        Outcome { drop: ends, idle: !ends, ..Outcome::OK }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply_built, build_with, mistake};

    #[test]
    fn shares() {
        #[track_caller]
        fn dropped(config: &str) -> usize {
            let mut filter = build_with(config, &[]);
            (0..1000).filter(|_| apply_built(&mut filter, "{}").1.drop).count()
        }
        assert_eq!(dropped(r#"{"drop":{}}"#), 1000);
        assert_eq!(dropped(r#"{"drop":{"percentage":0}}"#), 0);
        let some = dropped(r#"{"drop":{"percentage":30}}"#);
        assert!((250..350).contains(&some), "{some}");
        mistake(r#"{"drop":{"percentage":101}}"#, "101 is not between");
    }
}
