// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Concurrent requests: memory stays bounded, and of several requests for the same thing one succeeds.

use coal::Datacenter;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Client, TestFile, resident_bytes, start_datacenter, wait_until_swept};

const MIB: usize = 1 << 20;

/// The client keeps nothing of what it sends and receives, so only the server's memory can grow. The datacenter runs on several
/// threads, because generating the bytes occupies one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_uploads_and_eight_downloads_at_once_keep_memory_bounded() {
    const GROWTH: u64 = 64 << 20;
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let files: Vec<_> = (0..16).map(|seed| TestFile { seed, size: 24 * MIB }).collect();
    // One upload and one download come first, so that memory that is allocated once does not count as growth.
    let stored = client.uploaded(files[0]).await;
    client.assert_holds(&stored, files[0]).await;

    let before = resident_bytes(&datacenter);
    let transfers = async {
        let uploads = join_all(files[8..].iter().map(|file| client.uploaded(*file)));
        let downloads = join_all((0..8).map(|_| client.download(&stored)));
        tokio::join!(uploads, downloads)
    };
    let ((uploaded, downloaded), peak) = peak_during(&datacenter, transfers).await;
    let growth = peak.saturating_sub(before);
    assert!(growth <= GROWTH, "memory grew by {growth} bytes");

    let expected = (files[0].size as u64, files[0].sha1());
    assert!(downloaded.iter().all(|got| *got == expected), "{downloaded:?}");
    for (uuid, file) in uploaded.iter().zip(&files[8..]) {
        client.assert_holds(uuid, *file).await;
    }
    wait_until_swept(&datacenter).await;
}

/// A parsed body takes many times its size in memory; so did an answer that named each of its errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_bodies_full_of_mistakes_keep_memory_bounded() {
    const GROWTH: u64 = 400 << 20;
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let manifest = |mistakes: usize| {
        json!({
            "name": "large", "version": "1", "os": "smartos", "type": "zone-dataset", "owner": client.owner(),
            "requirements": {"networks": vec![json!({"name": 1}); mistakes]},
        })
    };
    let before = resident_bytes(&datacenter);
    for (mistakes, status) in [(90_000, 422), (300_000, 413)] {
        let manifest = manifest(mistakes);
        let work = join_all((0..12).map(|_| client.post("/images", &manifest)));
        let (answers, peak) = peak_during(&datacenter, work).await;
        let growth = peak.saturating_sub(before);
        assert!(growth <= GROWTH, "memory grew by {growth} bytes");
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
        // Requests that wait too long for their turn are told to try again later.
        assert!(answers.contains(&status), "{answers:?}");
        assert!(answers.iter().all(|answer| [status, 503].contains(answer)), "{answers:?}");
    }
}

/// Runs `work` and samples the memory meanwhile.
async fn peak_during<T>(datacenter: &Datacenter, work: impl Future<Output = T>) -> (T, u64) {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    let mut peak = 0;
    loop {
        tokio::select! {
            done = &mut work => return (done, peak.max(resident_bytes(datacenter))),
            _ = ticks.tick() => peak = peak.max(resident_bytes(datacenter)),
        }
    }
}

#[tokio::test]
async fn of_uploads_to_one_image_one_wins_with_all_of_its_bytes() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for round in 0..6 {
        let uuid = client.created().await;
        let files = [0, 1, 2].map(|index| TestFile { seed: 100 * round + index, size: 2 * MIB + 1000 });
        let answers = join_all(files.map(|file| client.upload(&uuid, file))).await;
        for answer in answers {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{:?}", answer.body);
        }
        let named = client.image(&uuid).await.unwrap().json()["files"][0]["sha1"].clone();
        let winner = files.into_iter().find(|file| named == file.sha1()).unwrap();
        client.assert_holds(&uuid, winner).await;
    }
    wait_until_swept(&datacenter).await;
}

#[tokio::test]
async fn of_many_activations_of_one_image_exactly_one_succeeds() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for seed in 0..5 {
        let uuid = client.uploaded(TestFile { seed, size: 1000 }).await;
        let answers = join_all((0..24).map(|_| client.activate(&uuid))).await;
        let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().outcome()).collect();
        let refused = (422, "ImageAlreadyActivated".to_owned());
        assert_eq!(outcomes.iter().filter(|(status, _)| *status == 200).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == refused).count(), 23, "{outcomes:?}");
    }
}

#[tokio::test]
async fn an_activation_and_an_upload_at_once_leave_an_image_with_the_bytes_it_names() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let mut activated_with = [0, 0];
    for round in 0..12 {
        let files = [0, 1].map(|index| TestFile { seed: 10 * round + index, size: 300_000 });
        let uuid = client.uploaded(files[0]).await;
        let (uploaded, activated) = tokio::join!(client.upload(&uuid, files[1]), client.activate(&uuid));
        assert_eq!(activated.unwrap().status, 200);
        let uploaded = uploaded.unwrap();
        let kept = usize::from(uploaded.is_success());
        if kept == 0 {
            let (status, code) = uploaded.outcome();
            assert_eq!(status, 422);
            assert!(["ImageFilesImmutable", "ImageAlreadyActivated"].contains(&&*code), "{code}");
        }
        client.assert_holds(&uuid, files[kept]).await;
        activated_with[kept] += 1;
    }
    assert_eq!(activated_with.iter().sum::<u32>(), 12);
    wait_until_swept(&datacenter).await;
}
