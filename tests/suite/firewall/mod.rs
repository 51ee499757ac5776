//! The firewall kinds, end to end.

mod brakes;
mod faults;
mod hands;
mod ownership;
mod pool;
mod reach;
mod refusals;
mod slice;
mod steady;
