//! Cloud on a laptop.
