// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `Accept-Version`.

use super::support::{BASE, TestApp, tests};

tests! {
    the_range_has_to_be_satisfiable,
    manifests_without_channels_are_the_same_in_both_versions,
}

async fn the_range_has_to_be_satisfiable(app: &TestApp) {
    for range in ["*", "~1", "~2", "1.0.0", "^2.0.0", ">=1", "<2", "1.x || 2.x", ""] {
        let answer = app.operator().call("GET".parse().unwrap(), "/ping").header("accept-version", range);
        answer.send().await.ok();
    }
    for range in ["~99", "~3", "0.9.0", "garbage", "1.5.0"] {
        let call = app.operator().call("GET".parse().unwrap(), &format!("/images/{BASE}"));
        call.header("accept-version", range).send().await.refused(400, "InvalidVersion");
    }
    // The older header counts only if the newer one is present and empty.
    let older = |call: super::support::Call| call.header("x-api-version", "~99");
    older(app.operator().call("GET".parse().unwrap(), "/ping")).send().await.ok();
    let empty = app.operator().call("GET".parse().unwrap(), "/ping").header("accept-version", "");
    older(empty).send().await.refused(400, "InvalidVersion");
}

async fn manifests_without_channels_are_the_same_in_both_versions(app: &TestApp) {
    let without = app.operator().get_image(BASE).await;
    without.ok();
    for range in ["*", "~1", "~2"] {
        let call = app.operator().call("GET".parse().unwrap(), &format!("/images/{BASE}"));
        let answer = call.header("accept-version", range).send().await;
        assert_eq!(
            (answer.body, answer.headers["etag"].clone()),
            (without.body.clone(), without.headers["etag"].clone())
        );
    }
}
