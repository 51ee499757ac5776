//! The simulated pfsense.
