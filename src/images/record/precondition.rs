// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::images::ApiResult;
use crate::manifest::Image;

type Check = dyn Fn(&Image) -> ApiResult<()> + Send + Sync;

/// What the caller demands of the very version of the image that a change replaces, as `If-Match` does. By default
/// nothing.
#[derive(Clone, Default)]
pub struct Precondition(Option<Arc<Check>>);

impl Precondition {
    /// Holds for the images that `check` passes; its error is that of the operation.
    pub fn new(check: impl Fn(&Image) -> ApiResult<()> + Send + Sync + 'static) -> Precondition {
        Precondition(Some(Arc::new(check)))
    }

    /// Whether it holds.
    pub fn check(&self, image: &Image) -> ApiResult<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(image))
    }
}
