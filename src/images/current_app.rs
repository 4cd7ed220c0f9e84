// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::images::App;

/// The [`App`] in force. A change of the configuration puts another one in its place; who has begun with the former one
/// goes on with that.
#[derive(Debug, Clone)]
pub struct CurrentApp(Arc<ArcSwap<App>>);

impl CurrentApp {
    /// This one, for the time being.
    pub fn new(app: Arc<App>) -> CurrentApp {
        CurrentApp(Arc::new(ArcSwap::new(app)))
    }

    /// The one in force now.
    pub fn get(&self) -> Arc<App> {
        self.0.load_full()
    }

    /// Puts another one in its place.
    pub fn set(&self, app: Arc<App>) {
        self.0.store(app);
    }
}
