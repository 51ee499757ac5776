//! The operator as a process: killed, replaced, told to end, with the rights that the chart gives it.

mod chart;
mod crash;
mod lease;
mod shutdown;
