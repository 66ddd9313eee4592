//! Logstash's configs.

mod parse;
mod tree;
