//! A server with users, and requests to it.

mod request;
mod server;

pub(crate) use request::{Answer, Key, Request};
pub(crate) use server::{EMPEROR, LUKE, Server, VADER};
