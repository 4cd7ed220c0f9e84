// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod begin;
mod error;
mod features;
mod fletcher;
mod parser;
mod record;
mod summary;
mod wire;

pub use begin::{Begin, BeginFlags, DatasetKind};
pub use error::{Error, Reason};
pub use features::{Feature, Features};
pub use fletcher::{Fletcher4, Sum};
pub use parser::{Event, Parser, Sums};
pub use record::{Record, RecordKind};
pub use summary::{MAX_PARTS, Part, RecordCounts, Summary};
pub use wire::{ByteOrder, PREFIX_LEN, RECORD_LEN};
