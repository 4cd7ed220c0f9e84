// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Backends that go away and come back: clear answers meanwhile, right ones within seconds, by the same process.

mod faults;
mod load;
mod lost_answer;
mod restarts;
mod stale;

use std::time::Duration;

/// The time within which answers must be right again after a backend's return.
const HEALED_WITHIN: Duration = Duration::from_secs(5);

/// No answer may take longer while a backend is gone: calls wait two seconds for a connection, and a request makes a
/// few of them. The rest is room for a slow machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
