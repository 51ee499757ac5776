//! Holds the integration suite; nothing to link against.
