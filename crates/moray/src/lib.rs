//! Client for Moray, the key-value store of Triton DataCenter, and its FAST protocol.

pub mod fast;
