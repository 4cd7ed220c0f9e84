// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A standalone server with channels as the source of a datacenter.

use serde_json::json;

use super::support::{TestApp, tests};

tests! {
    an_image_is_taken_from_a_channel,
}

async fn an_image_is_taken_from_a_channel(far: &TestApp) {
    let near = TestApp::start_empty().await;
    let nobodys = json!({"owner": "00000000-0000-0000-0000-000000000000", "public": true});
    let uuid = far.operator().has_active_image(nobodys).await;
    let source = |channel: &str| format!("{}?channel={channel}", far.dc.imgapi_url().unwrap());
    for channel in ["release", "unknown"] {
        let refused = near.operator().import_from_source(&uuid, "", &source(channel)).await;
        refused.refused(503, "RemoteSourceError");
    }
    for channel in ["dev", "*"] {
        let image = near.operator().import_from_source(&uuid, "", &source(channel)).await.ok();
        assert_eq!(image["channels"], json!(null), "they are those of the source");
        near.operator()
            .add_file_from_source(&uuid, &source("release"))
            .await
            .refused(503, "RemoteSourceError");
        near.operator().add_file_from_source(&uuid, &source(channel)).await.ok();
        assert_eq!(near.operator().download(&uuid).await.text(), "file");
        near.operator().delete(&uuid).await.gone();
    }
    near.stop().await;
}
