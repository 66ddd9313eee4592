//! Whole-program tests: they start the binary and look at it from outside. See `tests/main.rs`.
