// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Images that are based on origins, while the origins are removed.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, TestApp, fresh, merged, wait_until};

/// Number of rounds of each kind.
const ROUNDS: usize = 6;

/// How an image gets an origin.
#[derive(Debug, Clone, Copy)]
enum Naming {
    Create,
    Import,
    Update,
}

/// How the origin disappears.
#[derive(Debug, Clone, Copy)]
enum Going {
    Delete,
    Rename,
}

/// Gives images an origin at the moment at which it disappears, in every possible way. One of the two requests must fail.
/// `manifest` is a manifest that the server accepts from an operator.
pub(crate) async fn images_keep_their_origins(app: &TestApp, manifest: &Value) {
    for going in [Going::Delete, Going::Rename] {
        for naming in [Naming::Create, Naming::Import, Naming::Update] {
            join_all((0..ROUNDS).map(|_| one_keeps_its_origin(app, manifest, naming, going))).await;
        }
    }
}

async fn one_keeps_its_origin(app: &TestApp, manifest: &Value, naming: Naming, going: Going) {
    let operator = app.operator();
    let created = async |body: &Value| operator.create(body).await.ok()["uuid"].as_str().unwrap().to_owned();
    let origin = created(manifest).await;
    operator.upload(&origin, "compression=none", "bytes").await.ok();
    let child = match naming {
        Naming::Update => created(manifest).await,
        Naming::Create | Naming::Import => fresh(),
    };
    let with_origin = merged(manifest.clone(), json!({"origin": origin}));
    let update = async |uuid: &str, body: Value| -> Answer {
        operator.call(Method::POST, &format!("/images/{uuid}?action=update")).json(&body).send().await
    };
    let named = async {
        match naming {
            Naming::Create => operator.create(&with_origin).await,
            Naming::Update => update(&child, json!({"origin": origin})).await,
            Naming::Import => {
                let body = merged(with_origin.clone(), json!({"uuid": child, "v": 2}));
                let target = format!("/images/{child}?action=import");
                operator.call(Method::POST, &target).json(&body).send().await
            }
        }
    };
    let gone = async {
        match going {
            Going::Delete => operator.delete(&origin).await,
            Going::Rename => update(&origin, json!({"uuid": fresh()})).await,
        }
    };
    let (named, gone) = tokio::join!(named, gone);
    if named.status == 200 {
        gone.refused(422, "ImageHasDependentImages");
        assert_eq!(operator.get_image(named.ok()["origin"].as_str().unwrap()).await.ok()["uuid"], origin);
    } else {
        named.refused(422, "OriginDoesNotExist");
        assert!(gone.status < 300, "{naming:?}, {going:?}: {gone:?}");
        // On a busy machine, reads may be late.
        wait_until("its end", async || (operator.get_image(&origin).await.status == 404).then_some(())).await;
    }
}
