//! The client against recorded answers, a scripted server, and the simulator.

mod guard;
mod recorded;
mod scripted;
mod server;
mod simulated;
