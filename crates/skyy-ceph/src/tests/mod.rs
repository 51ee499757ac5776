//! The client against recorded answers, a scripted server, and the simulated managers.

mod recorded;
mod scripted;
mod server;
mod simulated;
