// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Many images at once: put straight into Moray, as 4.13.1 would have stored them.

use std::net::SocketAddr;

use moray::{BatchRequest, Client, Config, Precondition};
use serde_json::{Value, json};

use crate::Failure;

const BUCKET: &str = "imgapi_images";
/// Images per transaction.
const BATCH: usize = 500;
/// Every so many images belong to the account that lists.
const OWNED: usize = 20;
/// Images of one name: its versions.
pub(crate) const VERSIONS: usize = 10;

/// Puts images of these numbers into the Moray at `address`. Returns how many bytes their records have as JSON.
pub(crate) async fn fill(
    address: SocketAddr,
    numbers: std::ops::Range<usize>,
    admin: &str,
    account: &str,
) -> Result<u64, Failure> {
    let client = Client::new(Config::direct(address.ip().to_string(), address.port()));
    let numbers: Vec<usize> = numbers.collect();
    let mut bytes = 0;
    for batch in numbers.chunks(BATCH) {
        let mut requests = Vec::new();
        for &number in batch {
            let owner = if number.is_multiple_of(OWNED) { account } else { admin };
            let uuid = uuid_of(number);
            let record = record(number, &uuid, owner);
            bytes += serde_json::to_vec(&record)?.len() as u64;
            requests.push(BatchRequest::put(BUCKET, uuid, &record, Precondition::MustNotExist)?);
        }
        client.batch(&requests, &Default::default()).await?;
    }
    Ok(bytes)
}

/// The UUID of image `number`. The order of UUIDs is not that of numbers.
pub(crate) fn uuid_of(number: usize) -> String {
    // An odd multiplier makes every number another one.
    let spread = (number as u32).wrapping_mul(0x9e37_79b1);
    format!("{spread:08x}-1a2b-4c3d-8e4f-{number:012x}")
}

/// The name that image `number` shares with the other versions.
pub(crate) fn name_of(number: usize) -> String {
    format!("base-{}-lts", number / VERSIONS)
}

/// The stored form, as long as those of production: some 1.3 KB.
fn record(number: usize, uuid: &str, owner: &str) -> Value {
    let published =
        time::OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_500_000_000 + 60 * number as i64);
    let (date, clock) = (published.date(), published.time());
    let published = format!("{date}T{:02}:{:02}:{:02}.000Z", clock.hour(), clock.minute(), clock.second());
    let version = format!("{}.4.1", 10 + number % VERSIONS);
    json!({
        "v": 2, "uuid": uuid, "owner": owner, "name": name_of(number), "version": version,
        "description": format!(
            "A 64-bit SmartOS image with just essential packages installed, for users who are comfortable with setting \
             up their own environment and tools. This is version {version}, which gets security updates for three years."
        ),
        "homepage": "https://docs.example.com/images/smartos/base", "eula": "https://docs.example.com/eula",
        "type": "zone-dataset", "os": "smartos", "public": !number.is_multiple_of(3), "disabled": false,
        "activated": true, "state": "active", "published_at": published, "acl": [],
        "requirements": {
            "min_platform": {"7.0": "20141030T081701Z"}, "brand": "joyent",
            "networks": [{"name": "net0", "description": "public"}],
        },
        "users": [{"name": "root"}, {"name": "admin"}], "generate_passwords": true,
        "tags": ["role=os", "group=base-64-lts"], "tagsObj": {"role": "os", "group": "base-64-lts"},
        "files": [{
            "sha1": format!("{number:040x}"), "size": 110_742_036, "compression": "gzip",
            "contentMD5": "XUFAKrxLKna5cZ2REBfFkg==", "mtime": "2016-11-22T05:57:45.520Z", "stor": "local",
            "dataset_guid": "9080214691143124906",
        }],
    })
}
