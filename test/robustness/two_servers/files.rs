// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Two processes on one Moray and one Manta, which change the files of one image at the same time.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use coal::Datacenter;
use coal::datacenter::MantaMode;
use futures_util::future::join_all;
use futures_util::stream;
use rand::random_range;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use crate::support::{Answer, Client, IMGAPI, PATIENCE, Remote, SecondServer, TestFile, scaled, wait_for};

/// Number of rounds, and of images at a time. A round takes a minute if one of its files waits for the sweep.
const ROUNDS: usize = 1;
const AT_A_TIME: usize = 18;
/// Number of concurrent operations on an image.
const DEEDS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Upload(TestFile),
    AddIcon,
    DeleteIcon,
    Rename,
    Delete,
}

struct Pair {
    clients: [Client; 2],
    remote: Remote,
}

impl Deed {
    /// Returns an operation that changes the UUID, or the files that move with it.
    fn of_a_rename() -> Deed {
        if random_range(0..3) == 0 { Deed::AddIcon } else { Deed::Rename }
    }

    fn random() -> Deed {
        match random_range(0..12) {
            0..6 => Deed::Upload(TestFile { seed: random_range(0..9), size: random_range(1..900_000) }),
            6 | 7 => Deed::AddIcon,
            8 => Deed::DeleteIcon,
            9 | 10 => Deed::Rename,
            _ => Deed::Delete,
        }
    }

    fn file(self) -> Option<TestFile> {
        match self {
            Deed::Upload(file) => Some(file),
            _ => None,
        }
    }

    async fn carry_out(self, client: &Client, uuid: &str, new: &str) -> Answer {
        let answer = match self {
            Deed::Upload(file) => client.upload(uuid, file).await,
            Deed::AddIcon => client.add_icon(uuid).await,
            Deed::DeleteIcon => client.delete_icon(uuid).await,
            Deed::Rename => client.rename(uuid, new).await,
            Deed::Delete => client.delete(uuid).await,
        };
        answer.unwrap()
    }
}

impl Pair {
    fn any(&self) -> &Client {
        &self.clients[random_range(0..2)]
    }

    /// Runs several operations on one image at once, each through one of the servers.
    async fn live(&self) {
        let old = TestFile { seed: 77, size: 300_000 };
        let (uuid, new) = (self.any().created().await, Uuid::new_v4().to_string());
        let had = (random_range(0..3) > 0).then_some(old);
        if let Some(file) = had {
            assert_eq!(self.any().upload(&uuid, file).await.unwrap().status, 200);
        }
        let any = if random_range(0..3) == 0 { Deed::of_a_rename } else { Deed::random };
        let deeds: Vec<_> = (0..DEEDS).map(|_| any()).collect();
        let outcomes = join_all(deeds.iter().map(async |deed| {
            sleep(Duration::from_millis(random_range(0..60))).await;
            (*deed, deed.carry_out(self.any(), &uuid, &new).await)
        }))
        .await;
        let told: Vec<_> = outcomes.iter().map(|(deed, answer)| (deed, answer.outcome())).collect();
        let is_done =
            |wanted: fn(&Deed) -> bool| outcomes.iter().any(|(deed, it)| wanted(deed) && it.is_success());
        for (deed, answer) in &outcomes {
            // Other results are allowed, too: the image is gone or was changed first; a UUID is in use, or the image has no file.
            let is_expected = answer.is_success()
                || matches!((deed, answer.status), (_, 404 | 503) | (Deed::Rename, 409 | 422));
            assert!(is_expected, "{uuid}: {told:?}, {}", answer.json());
        }
        let is_renamed = is_done(|deed| *deed == Deed::Rename);
        let is_deleted = is_done(|deed| *deed == Deed::Delete);
        assert!(!(is_renamed && is_deleted), "{uuid}: {told:?}");
        // If several changes were acknowledged, it is unknown which one was the last.
        let mut files: BTreeSet<_> =
            outcomes.iter().filter_map(|(deed, it)| acknowledged(*deed, it)).collect();
        if files.is_empty() {
            // A change without an acknowledgment may have been made nevertheless.
            files = deeds.iter().filter_map(|deed| deed.file()).chain(had).map(TestFile::sha1).collect();
        }
        let gone: &[_] = match (is_renamed, is_deleted) {
            (true, _) => &[&uuid],
            (false, true) => &[&uuid, &new],
            (false, false) => &[&new],
        };
        for uuid in gone {
            self.is_gone(uuid, &told).await;
        }
        if !is_deleted {
            self.is_whole(if is_renamed { &new } else { &uuid }, &files, &told).await;
        }
    }

    /// Checks that no image has the UUID, and that nothing is stored for it.
    async fn is_gone(&self, uuid: &str, told: &impl Debug) {
        for client in &self.clients {
            wait_for("a deletion is seen", PATIENCE, async || {
                match client.image(uuid).await.unwrap().status {
                    404 => Ok(()),
                    status => Err((status, told)),
                }
            })
            .await;
        }
        let objects = self.remote.objects(uuid).await;
        assert!(objects.is_empty(), "{uuid}: {objects:?} after {told:?}");
    }

    /// Checks that both servers return one of these files, or none if there is none, and that nothing else is stored.
    async fn is_whole(&self, uuid: &str, files: &BTreeSet<String>, told: &impl Debug) {
        let (image, named) =
            wait_for("both know the same, and nothing else is stored", PATIENCE, async || {
                let [first, second] = [self.image(0, uuid).await, self.image(1, uuid).await];
                let assets = [("file0", &first["files"][0]), ("icon", &first["icon"])];
                let named: BTreeSet<_> = assets
                    .into_iter()
                    .filter(|(_, entry)| entry.is_object() || **entry == true)
                    .map(|(name, _)| name.to_owned())
                    .collect();
                let stored = self.remote.objects(uuid).await;
                // A file that replaces another one has a name of its own for a moment.
                match first == second && stored == named {
                    true => Ok((first, named)),
                    false => Err((uuid.to_owned(), stored, named, told)),
                }
            })
            .await;
        if !named.contains("file0") {
            return;
        }
        let sha1 = image["files"][0]["sha1"].as_str().unwrap();
        assert!(files.contains(sha1), "{uuid}: {sha1} of {files:?} after {told:?}");
        for client in &self.clients {
            assert_eq!(client.download(uuid).await.1, sha1, "{uuid}: after {told:?}");
        }
    }

    async fn image(&self, server: usize, uuid: &str) -> Value {
        self.clients[server].image(uuid).await.unwrap().json()
    }
}

fn acknowledged(deed: Deed, answer: &Answer) -> Option<String> {
    deed.file().filter(|_| answer.is_success()).map(TestFile::sha1)
}

async fn start() -> (Datacenter, SecondServer, Pair) {
    let datacenter = Datacenter::builder().imgapi(IMGAPI).manta(MantaMode::Local).start().await.unwrap();
    let second = SecondServer::start(&datacenter).await;
    let clients = [Client::new(&datacenter), Client::of(&datacenter, second.url().to_owned())];
    let pair = Pair { clients, remote: Remote::new(&datacenter) };
    (datacenter, second, pair)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_and_nothing_else_is_stored() {
    let (_datacenter, second, pair) = start().await;
    for _ in 0..scaled(ROUNDS) {
        join_all((0..AT_A_TIME).map(|_| pair.live())).await;
    }
    second.stop().await;
}

/// The upload is in transit to a directory in Manta that is removed with the old image.
#[tokio::test]
async fn an_upload_that_another_server_makes_the_image_anew_beside_is_told_so() {
    let (_datacenter, second, pair) = start().await;
    let [first, other] = &pair.clients;
    let (file, uuid) = (TestFile { seed: 1, size: 1000 }, first.created().await);
    assert!(first.upload_with(&uuid, file, "&storage=manta").await.unwrap().is_success());
    let (sender, receiver) = mpsc::channel(1);
    let chunks = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Bytes>| {
        Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
    });
    let (client, image) = (first.clone(), uuid.clone());
    let upload = tokio::spawn(async move {
        client.upload_to_manta(&image, reqwest::Body::wrap_stream(chunks)).await.unwrap()
    });
    // More than the buffers between both ends hold, so Manta has begun to receive it.
    for _ in 0..32 {
        sender.send(vec![b'x'; 1 << 20].into()).await.unwrap();
    }
    assert_eq!(other.delete(&uuid).await.unwrap().status, 204);
    let manifest = json!({"v": 2, "uuid": uuid, "name": "anew", "version": "1", "os": "smartos", "type": "zone-dataset",
        "owner": first.owner(), "public": false, "published_at": "2024-01-02T03:04:05Z",
        "files": [{"sha1": file.sha1(), "size": file.size, "compression": "none"}]});
    let import = format!("/images/{uuid}?action=import");
    assert_eq!(other.post(&import, &manifest).await.unwrap().outcome(), (200, String::new()));
    drop(sender);
    let answer = upload.await.unwrap();
    assert_eq!(answer.outcome(), (503, "ServiceUnavailableError".to_owned()));
    other.assert_has_no_file(&uuid).await;
    assert!(first.upload_with(&uuid, file, "&storage=manta").await.unwrap().is_success());
    first.assert_holds(&uuid, file).await;
    second.stop().await;
}
