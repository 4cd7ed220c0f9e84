// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::config::ChannelId;
use crate::db::{Found, ListAnswer};
use crate::images::{ApiResult, App};
use crate::manifest::ApiForm;
use crate::manifest::list::ListQuery;

/// ListImages: the images of a channel that a query selects, in its order, rendered.
pub async fn list(
    app: &App,
    query: ListQuery,
    channel: Option<ChannelId>,
    form: ApiForm,
) -> ApiResult<Found<ListAnswer>> {
    let query = ListQuery { channel: app.channel_name(channel), ..query };
    Ok(app.db.list(&query, form).await?)
}
