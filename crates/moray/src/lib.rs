//! Client for Moray.
