//! Whole-program tests, in one binary.

mod crash;
mod elasticsearch;
mod faults;
mod http;
mod kafka;
mod pond;
mod proxy;
mod services;
mod tidy;
mod up;
