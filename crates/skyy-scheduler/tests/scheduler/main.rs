//! The scheduler from outside: rules as cases, then as laws.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of it is test code")]
#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod cases;
mod laws;
mod text;
