//! Whole-program tests, in one binary.

mod beats;
mod clients;
mod crash;
mod elasticsearch;
mod es_api;
mod faults;
mod fickle;
mod front;
mod http;
mod http_output;
mod kafka;
mod kafka_input;
mod logstash;
mod loki;
mod nemesis;
mod operate;
mod pond;
mod proxy;
mod push;
mod receiver;
mod redis;
mod reload;
mod scenarios;
mod services;
mod tidy;
mod up;
