//! IMGAPI: Triton DataCenter's image registry.

pub mod manifest;
pub mod server;
pub mod telemetry;
