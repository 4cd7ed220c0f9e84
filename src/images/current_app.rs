// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::images::App;

/// The [`App`] in force. A change of the configuration replaces it; running work goes on with the app that it began with.
#[derive(Debug, Clone)]
pub struct CurrentApp(Arc<ArcSwap<App>>);

impl CurrentApp {
    /// Starts with `app`.
    pub fn new(app: Arc<App>) -> CurrentApp {
        CurrentApp(Arc::new(ArcSwap::new(app)))
    }

    /// The app in force now.
    pub fn get(&self) -> Arc<App> {
        self.0.load_full()
    }

    /// Replaces the app in force.
    pub fn set(&self, app: Arc<App>) {
        self.0.store(app);
    }
}
