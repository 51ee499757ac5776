//! The scheduler from outside: rules as cases, then as laws.

mod cases;
mod laws;
mod text;
