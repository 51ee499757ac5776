//! The client against a scripted server on loopback that sees and answers bytes.

mod calls;
mod server;
mod tls;
