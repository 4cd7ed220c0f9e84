// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The images that the built-in machines were created from, with small ZFS streams as files.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::error::{DatacenterError, cannot};
use crate::net::use_ring;
use crate::vmapi::Fleet;

/// Timeout of one request.
const DEADLINE: Duration = Duration::from_secs(60);

/// The file of an image: a ZFS stream, compressed with bzip2.
struct Stream {
    bytes: &'static [u8],
    /// GUID of the snapshot in the stream.
    guid: &'static str,
}

const ALL_RECORDS: Stream =
    Stream { bytes: include_bytes!("../../data/images/all-records.zsend.bz2"), guid: "4763970001506133364" };
const COMPRESSED_BLOCKS: Stream = Stream {
    bytes: include_bytes!("../../data/images/compressed-blocks.zsend.bz2"),
    guid: "15320521698697066930",
};

/// Puts the images of the machines into IMGAPI. As in a real datacenter they are active, public, and owned by the administrator.
/// Images that are active already stay as they are.
pub(super) async fn put(imgapi: SocketAddr, fleet: &Fleet, admin: &str) -> Result<(), DatacenterError> {
    use_ring();
    // A proxy from the environment must not be used between two processes of one machine.
    let client = Client::builder().no_proxy().timeout(DEADLINE).build();
    let client = client.map_err(|error| cannot("make an HTTP client")(std::io::Error::other(error)))?;
    for uuid in fleet.images() {
        let url = format!("http://{imgapi}/images/{uuid}");
        put_one(&client, &url, &uuid, admin).await.map_err(|problem| {
            cannot(format!("put image {uuid} into IMGAPI"))(std::io::Error::other(problem))
        })?;
    }
    Ok(())
}

async fn put_one(client: &Client, url: &str, uuid: &str, admin: &str) -> Result<(), String> {
    let Some((manifest, stream)) = image(uuid, admin) else { return Ok(()) };
    let there = client.get(url).send().await.map_err(|error| error.to_string())?;
    match there.status() {
        StatusCode::OK => {
            let image: Value = there.json().await.map_err(|error| error.to_string())?;
            if image.get("state").and_then(Value::as_str) == Some("active") {
                return Ok(());
            }
        }
        StatusCode::NOT_FOUND => {
            send(client.post(format!("{url}?action=import")).json(&manifest)).await?;
        }
        other => return Err(format!("IMGAPI answered {other}")),
    }
    let file = format!("{url}/file?compression=bzip2&dataset_guid={}", stream.guid);
    send(client.put(file).body(Bytes::from_static(stream.bytes))).await?;
    send(client.post(format!("{url}?action=activate"))).await
}

async fn send(request: RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("IMGAPI answered {status}: {}", answer.text().await.unwrap_or_default()))
}

/// Returns the manifest and the file of an image of the built-in machines.
fn image(uuid: &str, admin: &str) -> Option<(Value, Stream)> {
    let number = uuid.strip_prefix("aa000000-0000-4000-8000-00000000000")?;
    let zvol = |brand: &str| {
        json!({
            "name": format!("{brand}-debian-13"), "version": "20260101", "type": "zvol", "os": "linux",
            "requirements": {"brand": brand},
            "image_size": 10_240, "cpu_type": "host", "nic_driver": "virtio", "disk_driver": "virtio",
        })
    };
    let (image, stream) = match number {
        "1" => (
            json!({"name": "base-64", "version": "26.1.0", "type": "zone-dataset", "os": "smartos"}),
            ALL_RECORDS,
        ),
        "2" => (
            json!({
                "name": "debian-13", "version": "20260101", "type": "lx-dataset", "os": "linux",
                "requirements": {"brand": "lx"}, "tags": {"kernel_version": "4.10"},
            }),
            COMPRESSED_BLOCKS,
        ),
        "3" => (zvol("kvm"), COMPRESSED_BLOCKS),
        "4" => (zvol("bhyve"), COMPRESSED_BLOCKS),
        "5" => (
            json!({"name": "docker-layer", "version": "20260101", "type": "docker", "os": "linux"}),
            ALL_RECORDS,
        ),
        _ => return None,
    };
    let mut manifest = json!({
        "v": 2, "uuid": uuid, "owner": admin, "public": true, "published_at": "2026-01-01T00:00:00.000Z",
        "description": "What built-in machines were made from.",
    });
    if let (Some(manifest), Value::Object(image)) = (manifest.as_object_mut(), image) {
        manifest.extend(image);
    }
    Some((manifest, stream))
}
