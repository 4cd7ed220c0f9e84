// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Changes of images, beside the writes to Moray without which there are none.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use moray::{BatchRequest, Client, Config, Precondition, PutOptions};
use serde_json::json;

use crate::Failure;
use crate::figure::{Figure, Pair, per_second};
use crate::stage::Stage;

/// Clients at the same time, where it is more than one.
const CLIENTS: usize = 8;
/// How long images live one after the other.
const LIVES: Duration = Duration::from_secs(3);

/// Lives of an image, created, given a small file, activated and deleted: one after the other beside the same writes to
/// Moray without the service, and with several clients beside one.
pub(crate) async fn measure(stage: &Stage, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let address = stage.moray();
    let client = Client::new(Config::direct(address.ip().to_string(), address.port()));
    let (mut beside_moray, mut beside_one) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let one = lives_per_second(stage, 1).await?;
        beside_moray.push(Pair { ours: one, peer: writes_per_second(&client, &stage.owner).await? });
        beside_one.push(Pair { ours: lives_per_second(stage, CLIENTS).await?, peer: one });
    }
    Ok(vec![
        Figure::of_pairs("lives of an image", "Moray alone", &beside_moray, Some(0.1), per_second),
        Figure::of_pairs("the same by 8 clients", "one client", &beside_one, Some(2.0), per_second),
    ])
}

/// Lives of images by so many clients.
pub(crate) async fn lives_per_second(stage: &Stage, clients: usize) -> Result<f64, Failure> {
    let began = Instant::now();
    let live = async || {
        let mut lives = 0u32;
        while began.elapsed() < LIVES {
            let image = stage.create().await?;
            stage.add_small_file(&image).await?;
            stage.activate(&image).await?;
            stage.delete(&image).await?;
            lives += 1;
        }
        Ok::<_, Failure>(lives)
    };
    let lives: u32 = try_join_all((0..clients).map(|_| live())).await?.iter().sum();
    Ok(f64::from(lives) / began.elapsed().as_secs_f64())
}

/// The four writes of such a life, in a bucket of its own.
async fn writes_per_second(client: &Client, owner: &str) -> Result<f64, Failure> {
    const BUCKET: &str = "bench_rows";
    client.create_bucket(BUCKET, &Default::default(), &Default::default()).await.or_else(|error| {
        // From the round before.
        if error.server_kind() == Some(moray::ServerErrorKind::BucketConflict) { Ok(()) } else { Err(error) }
    })?;
    let began = Instant::now();
    let mut lives = 0u32;
    while began.elapsed() < LIVES {
        let key = uuid::Uuid::new_v4().to_string();
        let mut precondition = Precondition::MustNotExist;
        for state in ["new", "with a file", "active"] {
            let value = json!({"uuid": key, "owner": owner, "state": state, "text": "x".repeat(600)});
            let options = PutOptions { precondition, ..PutOptions::default() };
            precondition = Precondition::Etag(client.put_object(BUCKET, &key, &value, &options).await?);
        }
        let delete = BatchRequest::delete(BUCKET, key.as_str(), precondition);
        let note = BatchRequest::put(BUCKET, "note", &json!({"uuid": key}), Precondition::Any)?;
        client.batch(&[delete, note], &Default::default()).await?;
        lives += 1;
    }
    Ok(f64::from(lives) / began.elapsed().as_secs_f64())
}
