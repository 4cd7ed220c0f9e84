//! One suite for every database: what `images` may rely on, whether manifests are in Moray or in files.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod changes;
mod lists;
mod moray_writers;
mod paging;
mod support;
