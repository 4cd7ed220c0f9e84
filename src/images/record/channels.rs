// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Adds images to channels and removes them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::change::change_if;
use crate::config::{ChannelId, Channels};
use crate::images::{Access, ApiError, ApiResult, App, Precondition, run_to_completion};
use crate::manifest::{FieldError, Image, Record};

impl App {
    /// Returns whether an image with these channels is in the requested channel, if one is requested.
    pub(in crate::images) fn is_in(
        &self,
        asked: Option<ChannelId>,
        channels: Option<&[impl AsRef<str>]>,
    ) -> bool {
        let Some(asked) = asked else { return true };
        let name = self.config.channels.name(asked);
        channels.is_some_and(|channels| channels.iter().any(|channel| channel.as_ref() == name))
    }
}

/// ChannelAddImage: adds an image to one more channel, by the channel's name.
pub async fn add_channel(
    app: &Arc<App>,
    access: Access,
    precondition: Precondition,
    name: Option<&str>,
) -> ApiResult<Image> {
    let Some(channel) = name.and_then(|name| app.config.channels.find(name)) else {
        let message = format!("{:?} is not a channel", name.unwrap_or_default());
        return Err(ApiError::invalid_request(vec![FieldError::invalid("channel").because(message)]));
    };
    let app = Arc::clone(app);
    run_to_completion(async move {
        let added = |image: &Image| {
            let mut channels = image.channels().unwrap_or_default().to_vec();
            if !app.is_in(Some(channel), image.channels()) {
                channels.push(app.config.channels.name(channel).to_owned());
            }
            with_channels(image, &channels)
        };
        Ok(change_if(&app, access, &precondition, added).await?)
    })
    .await
}

/// Returns the image without the channel.
pub(in crate::images) fn without_channel(app: &App, image: &Image, channel: ChannelId) -> ApiResult<Image> {
    let name = app.config.channels.name(channel);
    let channels = image.channels().unwrap_or_default();
    let others: Vec<String> = channels.iter().filter(|channel| *channel != name).cloned().collect();
    with_channels(image, &others)
}

fn with_channels(image: &Image, channels: &[String]) -> ApiResult<Image> {
    let set = |raw: &mut Record| drop(raw.insert("channels".to_owned(), json!(channels)));
    image.with(set).map_err(ApiError::validation)
}

/// Rejects an update that leaves an image in no configured channel, because nobody could change it any more. Validation rejects
/// values of another form, and channels on a server that has none.
pub(in crate::images) fn refuse_unknown_channels(channels: &Channels, body: &Record) -> ApiResult<()> {
    let Some(Value::Array(names)) = body.get("channels").filter(|_| !channels.is_empty()) else {
        return Ok(());
    };
    let unknown = names.iter().filter_map(Value::as_str).find(|name| channels.find(name).is_none());
    let message = match unknown {
        Some(name) => format!("{name:?} is not a channel"),
        None if names.is_empty() => "an image is in at least one channel".to_owned(),
        None => return Ok(()),
    };
    Err(ApiError::validation(vec![FieldError::invalid("channels").because(message)]))
}
