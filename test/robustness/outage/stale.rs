// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers about images while Moray is unavailable.

use coal::moray::Fault;
use serde_json::json;

use super::load::{FILE, Target};
use crate::support::{Answer, PATIENCE, start_datacenter, wait_for};

/// Sends requests until the answer says that it is stale.
async fn stale(target: &Target, path: &str) -> Answer {
    wait_for("a stale answer", PATIENCE, async || {
        let answer = target.client.get(path).await.unwrap();
        if answer.stale.is_some() { Ok(answer) } else { Err(answer.outcome()) }
    })
    .await
}

#[tokio::test]
async fn reads_go_on_from_memory_and_say_so() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    let (active, open) = (target.active.as_str(), target.open.as_str());
    target.client.upload(open, FILE).await.unwrap();
    let image = target.client.image(active).await.unwrap();
    let list = target.client.get("/images?state=all").await.unwrap();
    assert_eq!((image.stale, list.stale), (None, None));

    datacenter.moray().stop().await;
    assert_eq!(stale(&target, &format!("/images/{active}")).await.body, image.body);
    assert_eq!(stale(&target, "/images?state=all").await.body, list.body);
    assert_eq!(stale(&target, &format!("/images/{active}/file")).await.body, FILE.bytes());
    // It is unknown now whether the first image exists, and what file the second one has.
    for path in ["/images/3560c262-fc65-0242-a446-7c6d1fb482e3".to_owned(), format!("/images/{open}/file")] {
        let answer = target.client.get(&path).await.unwrap();
        assert_eq!(answer.outcome(), (503, "ServiceUnavailableError".to_owned()), "{path}");
    }

    datacenter.moray().start().await.unwrap();
    let current = wait_for("a current answer", PATIENCE, async || {
        let answer = target.client.image(active).await.unwrap();
        if answer.stale.is_none() { Ok(answer) } else { Err(answer.stale) }
    })
    .await;
    assert_eq!(current.body, image.body);
}

#[tokio::test]
async fn a_moray_that_does_not_answer_is_not_waited_for_by_reads() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    let path = format!("/images/{}", target.active);
    datacenter.moray().faults().set(Fault::Stall);
    stale(&target, &path).await;
    for path in [path.as_str(), "/images"] {
        let answer = target.client.get(path).await.unwrap();
        assert!(answer.is_success() && answer.stale.is_some(), "{path}: {:?}", answer.outcome());
    }
    datacenter.moray().faults().clear();
    wait_for("a current answer", PATIENCE, async || {
        let answer = target.client.get(&path).await.unwrap();
        if answer.stale.is_none() && answer.is_success() { Ok(()) } else { Err(answer.outcome()) }
    })
    .await;
}

#[tokio::test]
async fn a_server_may_be_told_never_to_answer_from_memory() {
    let mut datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    let file = datacenter.config_file().to_owned();
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["staleReadSeconds"] = json!(0);
    std::fs::write(&file, config.to_string()).unwrap();
    datacenter.restart_imgapi().await.unwrap();
    let path = format!("/images/{}", target.active);
    wait_for("a right answer", PATIENCE, async || match target.client.get(&path).await.unwrap() {
        answer if answer.is_success() => Ok(()),
        answer => Err(answer.outcome()),
    })
    .await;

    datacenter.moray().stop().await;
    wait_for("no answer", PATIENCE, async || match target.client.get(&path).await.unwrap() {
        answer if answer.status == 503 => Ok(()),
        answer => Err((answer.outcome(), answer.stale)),
    })
    .await;
    let list = target.client.get("/images").await.unwrap();
    assert_eq!(list.outcome(), (503, "ServiceUnavailableError".to_owned()));
}
