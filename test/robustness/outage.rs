// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Backends that fail and return: answers are clear meanwhile and right again within seconds, from the same process.

mod faults;
mod load;
mod lost_answer;
mod restarts;
mod stale;

use std::time::Duration;

/// Time limit for right answers after the return of a backend.
const HEALED_WITHIN: Duration = Duration::from_secs(5);

/// Time limit of an answer while a backend is unavailable. Calls wait two seconds for a connection, and a request makes a few
/// calls. The rest is margin for a slow machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
