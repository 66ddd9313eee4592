//! Aggregations as tantivy runs them, from Elasticsearch's form.

use crate::StoreError;
use crate::search::column_name;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;
use tantivy::aggregation::agg_req::{AggregationVariants, Aggregations};
use tantivy::aggregation::bucket::{FilterAggregation, QueryBuilder};
use tantivy::query::{EmptyQuery, Query};
use tantivy::schema::Schema;
use tantivy::tokenizer::TokenizerManager;

/// What a `filter` aggregation looks for, as one index understands it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Compiled {
    /// Never leaves the process, so it is not written.
    #[serde(skip)]
    query: Option<Arc<dyn Query>>,
}

#[typetag::serde]
impl QueryBuilder for Compiled {
    fn build_query(&self, _: &Schema, _: &TokenizerManager) -> tantivy::Result<Box<dyn Query>> {
        Ok(self
            .query
            .as_ref()
            .map_or_else(|| Box::new(EmptyQuery) as Box<dyn Query>, |query| query.box_clone()))
    }

    fn box_clone(&self) -> Box<dyn QueryBuilder> {
        Box::new(self.clone())
    }
}

/// Elasticsearch's aggregations, with the names of fields as the columns have them.
pub(crate) fn read(request: &Json) -> Result<Aggregations, StoreError> {
    let mut request = request.clone();
    rename_fields(&mut request);
    serde_json::from_value(request)
        .map_err(|error| StoreError::Query(format!("an aggregation that is not supported: {error}")))
}

fn rename_fields(value: &mut Json) {
    match value {
        Json::Object(object) => {
            for (key, inner) in object {
                match inner {
                    Json::String(field) if key == "field" => *field = column_name(field),
                    // The sources of a composite may have any name, that one too.
                    _ if key == "after" => {}
                    inner => rename_fields(inner),
                }
            }
        }
        Json::Array(values) => values.iter_mut().for_each(rename_fields),
        _ => {}
    }
}

/// Gives the `filter` aggregations what they look for, which `request` names by its place.
pub(crate) fn set_filters(
    aggregations: &mut Aggregations,
    request: &Json,
    filters: &[Arc<dyn Query>],
) -> Result<(), StoreError> {
    for (name, own) in aggregations {
        let request = &request[name];
        if let AggregationVariants::Filter(filter) = &mut own.agg {
            let place = request["filter"].as_str().and_then(|place| place.parse::<usize>().ok());
            let query = place.and_then(|place| filters.get(place)).ok_or_else(|| {
                StoreError::Query(format!("the aggregation {name} names no filter: {}", request["filter"]))
            })?;
            let compiled = Compiled { query: Some(query.clone()) };
            *filter = FilterAggregation::new_with_builder(Box::new(compiled));
        }
        set_filters(&mut own.sub_aggregation, &request["aggs"], filters)?;
    }
    Ok(())
}
