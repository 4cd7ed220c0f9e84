// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use time::OffsetDateTime;

use crate::images::lifecycle::delete::delete_if;
use crate::images::{ApiError, ApiResult, Code, CurrentApp, Precondition};
use crate::manifest::{Image, View, times};
use crate::telemetry::err;
use crate::workers::{Failure, Next, Progress, Worker};

const INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Deletes expired placeholders, at the start and then every half hour.
#[derive(Debug)]
pub struct Expiry(CurrentApp);

impl Expiry {
    /// The expiry of the placeholders of `app`.
    pub fn new(app: CurrentApp) -> Expiry {
        Expiry(app)
    }
}

impl Worker for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        let app = self.0.get();
        let now = OffsetDateTime::now_utc();
        for view in app.db.filtered(is_placeholder).await? {
            let Some(stored) = app.db.get(view.uuid()).await? else { continue };
            if !is_expired(&stored.image, now) {
                continue;
            }
            match delete_if(&app, view.uuid(), Precondition::new(move |image| still_expired(image, now)))
                .await
            {
                Ok(()) => {
                    tracing::info!(uuid = %view.uuid(), "deleted a placeholder whose time was over");
                    progress.done(1);
                }
                // The placeholder became an image meanwhile, or was deleted.
                Err(error) if matches!(error.code(), Code::PreconditionFailed | Code::ResourceNotFound) => {}
                // An operator has to decide about the images that depend on it.
                Err(error) if error.code() == Code::ImageHasDependentImages => {
                    tracing::warn!(uuid = %view.uuid(), err.json = %err(&error), "a placeholder whose time is over stays");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Next::After(INTERVAL))
    }
}

fn is_placeholder(view: &View) -> bool {
    view.state().is_placeholder()
}

/// Returns whether the placeholder has expired. Without `expires_at` it never expires.
fn is_expired(image: &Image, now: OffsetDateTime) -> bool {
    let expires = image.expires_at().and_then(times::parse_js_date);
    image.state().is_placeholder() && expires.is_some_and(|expires| expires <= now)
}

fn still_expired(image: &Image, now: OffsetDateTime) -> ApiResult<()> {
    if is_expired(image, now) {
        return Ok(());
    }
    Err(ApiError::new(Code::PreconditionFailed, "it is no placeholder whose time is over"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::{Mode, Rules};

    fn image(changes: Value) -> Image {
        let mut record = json!({
            "v": 2, "uuid": "3560c262-fc65-0242-a446-7c6d1fb482e3", "owner": "930896af-bf8c-48d4-885c-6573a94b1853",
            "name": "small", "version": "1", "state": "creating", "type": "null", "os": "null", "activated": false,
            "disabled": false, "public": false,
        });
        let Value::Object(changes) = changes else { panic!() };
        record.as_object_mut().unwrap().extend(changes);
        let Value::Object(record) = record else { panic!() };
        Image::load(record, Rules { mode: Mode::Dc, channels_configured: false }).unwrap()
    }

    #[test]
    fn only_placeholders_expire_and_only_when_they_say_so() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let (before, after) = ("2024-10-03T23:59:59.999Z", "2024-10-04T00:00:00.001Z");
        let cases = [
            (json!({"expires_at": before}), true),
            (json!({"expires_at": before, "state": "failed"}), true),
            (json!({"expires_at": after}), false),
            (json!({"expires_at": "soon"}), false),
            (json!({}), false),
            (json!({"expires_at": before, "state": "unactivated", "type": "other", "os": "other"}), false),
        ];
        for (changes, expected) in cases {
            assert_eq!(is_expired(&image(changes.clone()), now), expected, "{changes}");
            assert_eq!(still_expired(&image(changes.clone()), now).is_ok(), expected, "{changes}");
        }
    }
}
