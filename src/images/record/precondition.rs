// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::images::ApiResult;
use crate::manifest::Image;

type Check = dyn Fn(&Image) -> ApiResult<()> + Send + Sync;

/// A condition on the version of the image that a change replaces, such as `If-Match`. The default accepts every version.
#[derive(Clone, Default)]
pub struct Precondition(Option<Arc<Check>>);

impl Precondition {
    /// A precondition that holds for the images that `check` accepts. The error of `check` becomes the operation's error.
    pub fn new(check: impl Fn(&Image) -> ApiResult<()> + Send + Sync + 'static) -> Precondition {
        Precondition(Some(Arc::new(check)))
    }

    /// Checks the precondition.
    pub fn check(&self, image: &Image) -> ApiResult<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(image))
    }
}
