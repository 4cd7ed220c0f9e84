// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that were changed or removed behind the service's back: it never serves other bytes than a record names.

use crate::support::{Client, TestFile, image_file, start_datacenter};

const FILE: TestFile = TestFile { seed: 1, size: 100_000 };

#[tokio::test]
async fn a_file_of_another_size_than_its_manifest_says_is_not_served() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let uuid = client.uploaded(FILE).await;
    let place = image_file(&datacenter, &uuid);
    for size in [0, FILE.size - 1, FILE.size + 1] {
        // The file is replaced by a new one: downloads in progress keep the file that they have opened.
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, TestFile { seed: 2, size }.bytes()).unwrap();
        let answer = client.get(&format!("/images/{uuid}/file")).await.unwrap();
        assert_eq!(answer.outcome(), (500, "InternalError".to_owned()), "{size} bytes");
        assert_eq!(client.image(&uuid).await.unwrap().status, 200);
    }
    assert_eq!(client.upload(&uuid, FILE).await.unwrap().status, 200);
    client.assert_holds(&uuid, FILE).await;
}

#[tokio::test]
async fn a_missing_file_is_an_error_of_its_own_and_can_be_uploaded_again() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let uuid = client.uploaded(FILE).await;
    std::fs::remove_file(image_file(&datacenter, &uuid)).unwrap();
    let answer = client.get(&format!("/images/{uuid}/file")).await.unwrap();
    assert_eq!(answer.outcome(), (500, "InternalError".to_owned()));
    // An image that cannot be installed is not activated.
    assert_eq!(client.activate(&uuid).await.unwrap().outcome(), (500, "InternalError".to_owned()));
    assert_eq!(client.image(&uuid).await.unwrap().json()["state"], "unactivated");
    assert_eq!(client.upload(&uuid, FILE).await.unwrap().status, 200);
    client.assert_holds(&uuid, FILE).await;

    std::fs::remove_file(image_file(&datacenter, &uuid)).unwrap();
    assert_eq!(client.delete(&uuid).await.unwrap().status, 204);
    assert_eq!(client.image(&uuid).await.unwrap().status, 404);
}
