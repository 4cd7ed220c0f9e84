// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::images::{ApiError, ApiResult};
use crate::manifest::Uuid;

/// The running uploads of this process, by image. If an image is deleted or gets another UUID, its uploads end at once and not
/// only after their last byte.
#[derive(Debug, Clone, Default)]
pub(in crate::images) struct Uploads(Arc<RunningUploads>);

/// Each image has a sender, which stays in the map as long as an upload listens to it.
type RunningUploads = Mutex<HashMap<Uuid, watch::Sender<()>>>;

/// One running upload. Dropping it removes it from the list.
struct Upload {
    uuid: Uuid,
    running: Arc<RunningUploads>,
    image: Option<watch::Receiver<()>>,
}

impl Uploads {
    /// Runs a part of an upload to `uuid`; ends it with 404 when the image is deleted meanwhile.
    pub(in crate::images) async fn unless_deleted<T>(
        &self,
        uuid: Uuid,
        part: impl Future<Output = ApiResult<T>>,
    ) -> ApiResult<T> {
        let mut upload = self.begin(uuid);
        tokio::select! {
            done = part => done,
            () = upload.cancelled() => Err(ApiError::image_not_found(uuid)),
        }
    }

    /// Returns whether this process is receiving a file for `uuid`.
    pub(in crate::images) fn is_running(&self, uuid: Uuid) -> bool {
        entries(&self.0).contains_key(&uuid)
    }

    fn begin(&self, uuid: Uuid) -> Upload {
        let image = Some(entries(&self.0).entry(uuid).or_default().subscribe());
        Upload { uuid, running: Arc::clone(&self.0), image }
    }

    /// Ends the uploads to `uuid`, because no image has this UUID any more.
    pub(in crate::images) fn cancel(&self, uuid: Uuid) {
        entries(&self.0).remove(&uuid);
    }
}

impl Upload {
    /// Waits until the image is gone.
    async fn cancelled(&mut self) {
        if let Some(image) = &mut self.image {
            while image.changed().await.is_ok() {}
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.image = None;
        let mut running = entries(&self.running);
        if running.get(&self.uuid).is_some_and(|image| image.receiver_count() == 0) {
            running.remove(&self.uuid);
        }
    }
}

fn entries(running: &RunningUploads) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
    // The map is consistent between any two statements.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_deletion_ends_the_uploads_to_the_image_and_no_others() {
        let uploads = Uploads::default();
        let (uuid, other) = (Uuid::new_v4(), Uuid::new_v4());
        let (mut first, mut second) = (uploads.begin(uuid), uploads.begin(uuid));
        let mut elsewhere = uploads.begin(other);
        assert!(first.cancelled().now_or_never().is_none());
        uploads.cancel(uuid);
        first.cancelled().await;
        second.cancelled().await;
        assert!(elsewhere.cancelled().now_or_never().is_none());
        // The image may be created again before the old uploads have ended.
        let mut third = uploads.begin(uuid);
        drop((first, second));
        assert!(third.cancelled().now_or_never().is_none());
        uploads.cancel(uuid);
        third.cancelled().await;
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let uploads = Uploads::default();
        let uuid = Uuid::new_v4();
        let (first, second) = (uploads.begin(uuid), uploads.begin(uuid));
        drop(first);
        assert_eq!(entries(&uploads.0).len(), 1);
        drop(second);
        assert!(entries(&uploads.0).is_empty());
    }
}
