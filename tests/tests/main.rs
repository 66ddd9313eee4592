//! Whole-program tests, in one binary.

mod crash;
mod faults;
mod http;
mod kafka;
mod kafka_input;
mod pond;
mod services;
mod tidy;
mod up;
