// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::{Config, Database};

impl Config {
    /// Returns the key that has changed in `next` although it cannot change without a restart; `None` if `next` can be
    /// applied to the running service.
    pub fn needs_restart_for(&self, next: &Config) -> Option<&'static str> {
        let is_local = |config: &Config| matches!(config.database, Database::Local);
        if self.mode != next.mode {
            return Some("mode");
        }
        // Manifests refer to files in the current directory.
        if self.local_base_dir != next.local_base_dir {
            return Some("localBaseDir");
        }
        if is_local(self) != is_local(next) {
            return Some("databaseType");
        }
        // The index of local manifests is built for a server with channels or for one without.
        if is_local(self) && self.channels.is_empty() != next.channels.is_empty() {
            return Some("whether there are channels");
        }
        None
    }
}
