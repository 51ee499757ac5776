//! The client against recorded answers and against servers on loopback.
