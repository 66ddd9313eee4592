//! Whole-program tests, in one binary.

mod crash;
mod elasticsearch;
mod faults;
mod http;
mod kafka;
mod kafka_input;
mod logstash;
mod pond;
mod proxy;
mod scenarios;
mod services;
mod tidy;
mod up;
