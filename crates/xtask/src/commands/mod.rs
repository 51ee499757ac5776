//! One module per command of `cargo xtask`. They share [`crate::workspace`], [`crate::ui`] and
//! [`crate::control_plane`], and know nothing of each other.

pub mod cluster;
pub mod demo;
pub mod generate;
pub mod test;
pub mod tidy;
