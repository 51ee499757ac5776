//! Running every test of the workspace, layer by layer: what there is, running it, counting it. Prints nothing but
//! progress; [`crate::commands::test`] shows the outcome.

pub mod build;
pub mod chart;
pub mod layer;
pub mod libtest;
pub mod run;
