//! Whole-program tests, in one binary.

mod crash;
mod elasticsearch;
mod faults;
mod http;
mod http_output;
mod kafka;
mod kafka_input;
mod loki;
mod pond;
mod proxy;
mod scenarios;
mod receiver;
mod redis;
mod services;
mod tidy;
mod up;
