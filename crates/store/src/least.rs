//! The least score that an event must have to be found. It is a part of the question and not of the
//! collector, so that totals and aggregations are of the same events as the hits.

use std::fmt;
use tantivy::query::{EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

/// Finds what another question finds with such a score at least.
pub(crate) struct LeastScore {
    pub(crate) query: Box<dyn Query>,
    pub(crate) least: Score,
}

impl Clone for LeastScore {
    fn clone(&self) -> Self {
        Self { query: self.query.box_clone(), least: self.least }
    }
}

impl fmt::Debug for LeastScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with a score of {} at least", self.query, self.least)
    }
}

impl Query for LeastScore {
    /// Scores are needed here also where nobody else asks for them.
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let with_scores = scoring.searcher().map(EnableScoring::enabled_from_searcher);
        let weight = self.query.weight(with_scores.unwrap_or(scoring))?;
        Ok(Box::new(LeastWeight { weight, least: self.least }))
    }
}

struct LeastWeight {
    weight: Box<dyn Weight>,
    least: Score,
}

impl Weight for LeastWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = LeastScorer { scorer: self.weight.scorer(reader, boost)?, least: self.least };
        found.settle();
        Ok(Box::new(found))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.weight.explain(reader, doc)
    }
}

struct LeastScorer {
    scorer: Box<dyn Scorer>,
    least: Score,
}

impl LeastScorer {
    /// Goes on from where it stands to the next that has the score.
    fn settle(&mut self) -> DocId {
        while self.scorer.doc() != TERMINATED && self.scorer.score() < self.least {
            self.scorer.advance();
        }
        self.scorer.doc()
    }
}

impl DocSet for LeastScorer {
    fn advance(&mut self) -> DocId {
        self.scorer.advance();
        self.settle()
    }

    fn doc(&self) -> DocId {
        self.scorer.doc()
    }

    fn size_hint(&self) -> u32 {
        self.scorer.size_hint()
    }
}

impl Scorer for LeastScorer {
    fn score(&mut self) -> Score {
        self.scorer.score()
    }
}
