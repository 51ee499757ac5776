//! The client against recorded answers, a scripted server, and the simulated managers.
