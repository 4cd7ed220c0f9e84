// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What operating systems differ in, as far as it concerns this program: SmartOS (illumos) is where it serves, Linux where it is
//! developed. The rest of the program asks here and does the same everywhere.

mod directory;
mod disk;
mod memory;
mod processors;

pub use directory::remove_if_empty;
pub use disk::{FLUSH_EVERY, forget, preallocate, write_uncached};
pub use memory::{resident_memory, share_memory};
pub use processors::processors;
