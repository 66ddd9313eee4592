//! Whole-program tests, in one binary.

mod crash;
mod faults;
mod pond;
mod tidy;
mod up;
