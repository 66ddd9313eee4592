//! Whole-program tests, in one binary.

mod crash;
mod faults;
mod http;
mod kafka;
mod pond;
mod services;
mod tidy;
mod up;
