// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The differences between operating systems that concern this program: it serves on SmartOS (illumos) and is developed
//! on Linux. The rest of the program calls these functions and is the same everywhere.

mod directory;
mod disk;
mod memory;
mod processors;

pub use directory::remove_if_empty;
pub use disk::{FLUSH_EVERY, forget, preallocate, write_uncached};
pub use memory::{resident_memory, share_memory};
pub use processors::processors;
