//! The question for messages of a template. The index has words alone, so it tells only which
//! messages may be meant: of these, what is stored is read and compared.

use crate::search::{term, words};
use crate::stored::{bytes_of, unpack};
use crate::template::{Template, message};
use crate::view::Seen;
use std::fmt;
use tantivy::query::{AllQuery, BooleanQuery, EnableScoring, Explanation, Occur, Query, Scorer, Weight};
use tantivy::schema::Field;
use tantivy::store::StoreReader;
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyDocument};

/// Blocks of stored documents that are kept, each for one reader.
const BLOCKS: usize = 10;

/// Finds events whose message is of a template.
pub(crate) struct TemplateQuery {
    template: Template,
    /// What has all words of the template.
    maybe: Box<dyn Query>,
    stored: Field,
}

impl TemplateQuery {
    pub(crate) fn new(template: &Template, index: &Seen) -> Self {
        let mut own: Vec<String> = template.words().flat_map(|word| words(index, word)).collect();
        own.sort_unstable();
        own.dedup();
        let maybe: Box<dyn Query> = if own.is_empty() {
            Box::new(AllQuery)
        } else {
            Box::new(BooleanQuery::new(
                own.iter().map(|word| (Occur::Must, term(&index.fields, word))).collect(),
            ))
        };
        Self { template: template.clone(), maybe, stored: index.fields.stored }
    }
}

impl Clone for TemplateQuery {
    fn clone(&self) -> Self {
        Self { template: self.template.clone(), maybe: self.maybe.box_clone(), stored: self.stored }
    }
}

impl fmt::Debug for TemplateQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}", self.template)
    }
}

impl Query for TemplateQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let maybe = self.maybe.weight(scoring)?;
        Ok(Box::new(TemplateWeight { template: self.template.clone(), maybe, stored: self.stored }))
    }
}

struct TemplateWeight {
    template: Template,
    maybe: Box<dyn Weight>,
    stored: Field,
}

impl Weight for TemplateWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = Checked {
            maybe: self.maybe.scorer(reader, boost)?,
            documents: reader.get_store_reader(BLOCKS)?,
            template: self.template.clone(),
            stored: self.stored,
            docs: reader.max_doc(),
        };
        found.settle();
        Ok(Box::new(found))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("the message is of the template", 1.0))
    }
}

/// Reads only what it comes upon, so that other parts of the question can leave out most.
struct Checked {
    maybe: Box<dyn Scorer>,
    documents: StoreReader,
    template: Template,
    stored: Field,
    docs: u32,
}

impl Checked {
    /// Whether the event it stands at is one. What cannot be read is none.
    fn is_one(&self) -> bool {
        let Ok(document) = self.documents.get::<TantivyDocument>(self.maybe.doc()) else { return false };
        let Some(bytes) = bytes_of(&document, self.stored) else { return false };
        message(unpack(&bytes).1).is_some_and(|message| self.template.takes(&message))
    }

    /// Goes on from where it stands to the next that is one.
    fn settle(&mut self) -> DocId {
        while self.maybe.doc() != TERMINATED && !self.is_one() {
            self.maybe.advance();
        }
        self.maybe.doc()
    }
}

impl DocSet for Checked {
    fn advance(&mut self) -> DocId {
        self.maybe.advance();
        self.settle()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.maybe.seek(target);
        self.settle()
    }

    fn doc(&self) -> DocId {
        self.maybe.doc()
    }

    /// Others are to be asked first: reading is what costs.
    fn size_hint(&self) -> u32 {
        self.docs
    }
}

impl Scorer for Checked {
    fn score(&mut self) -> Score {
        self.maybe.score()
    }
}
