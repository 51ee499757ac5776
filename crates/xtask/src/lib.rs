//! The project's own tools: a real control plane without containers, the test runner, generated files, house
//! rules, the demo. The integration suite uses [`control_plane`] and [`process`] as a library; the rest is behind
//! `cargo xtask`. Nothing here is part of the product.

pub mod commands;
pub mod control_plane;
pub mod demo;
pub mod disk;
pub mod generated;
pub mod house;
pub mod process;
pub mod testing;
pub mod ui;
pub mod workspace;
