// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! GetImageFile of a file in the page cache, beside nginx that serves the same file with `sendfile`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::figure::{Figure, Pair, megabytes_per_second, rate};
use crate::http;
use crate::nginx::Nginx;
use crate::payload::{FILE_SIZE, Payload};
use crate::stage::{Stage, blocking};

pub(crate) async fn measure(stage: &Stage, rounds: usize) -> Result<Vec<Figure>, Failure> {
    stage.need_space(FILE_SIZE)?;
    let image = stage.active_image(&Payload::random()).await?;
    let file = stage.stored_file(&image);
    let nginx = Nginx::start(file.parent().ok_or("the file has no directory")?)?;
    let ours = || download(stage.address, image.file.clone());
    let peer = || download(nginx.address, "/file0".to_owned());
    ours().await?;
    peer().await?;
    let mut pairs = Vec::new();
    for round in 0..rounds {
        // Who comes second may find a warmer machine.
        let (ours, peer) = if round % 2 == 0 {
            let ours = ours().await?;
            (ours, peer().await?)
        } else {
            let peer = peer().await?;
            (ours().await?, peer)
        };
        pairs.push(Pair { ours: rate(FILE_SIZE, ours), peer: rate(FILE_SIZE, peer) });
    }
    stage.delete(&image).await?;
    Ok(vec![Figure::of_pairs(
        "GetImageFile, 1 GiB, cached",
        "nginx",
        &pairs,
        Some(1.0),
        megabytes_per_second,
    )])
}

async fn download(server: SocketAddr, path: String) -> Result<Duration, Failure> {
    blocking(move || {
        let start = Instant::now();
        http::download(server, &path)?;
        Ok(start.elapsed())
    })
    .await
}
