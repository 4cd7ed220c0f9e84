// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The RPC methods of Moray, one file for each kind.

mod batch;
mod buckets;
mod find;
mod objects;
mod options;
mod wire;

pub use batch::{BatchEtag, BatchRequest};
pub use buckets::{Bucket, BucketConfig, BucketOptions, Index, IndexType};
pub use find::ObjectStream;
pub use objects::Object;
pub use options::{
    CallOptions, DeleteManyOptions, DeleteOptions, FindOptions, Order, Precondition, PutOptions, Sort,
};
pub(crate) use wire::ping_payload;

use crate::client::{Client, Effect, Request, Shape};
use crate::error::Error;

impl Client {
    /// Calls `ping`, which checks that a server process answers; with `deep`, that its database answers as well.
    ///
    /// # Errors
    ///
    /// Moray sends an error only with `deep`.
    pub async fn ping(&self, deep: bool, options: &CallOptions) -> Result<(), Error> {
        let payload = ping_payload(deep, options.req_id)?;
        let limit = options.limit(self.shared.config.read_deadline);
        let request = Request { method: "ping", payload, effect: Effect::Read, shape: Shape::Rows, limit };
        self.call(&request).await.map(drop)
    }
}
