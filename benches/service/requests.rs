// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Small requests, with logging and metrics on, beside an axum handler that returns a constant.

use crate::Failure;
use crate::bare_axum::BareAxum;
use crate::figure::{Figure, Pair, per_second};
use crate::stage::Stage;
use crate::wrk::requests_per_second;

/// Seconds per measurement.
const SECONDS: u32 = 2;
/// Images that ListImages finds.
const IMAGES: usize = 20;

pub(crate) async fn measure(stage: &Stage, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let peer = BareAxum::start()?;
    let peer = format!("http://{}/ping", peer.address);
    let mut images = Vec::new();
    for _ in 0..IMAGES {
        images.push(stage.create().await?);
    }
    let image = images.first().ok_or("there is no image")?;
    let paths = [
        ("Ping", "/ping".to_owned(), Some(0.6)),
        ("GetImage", format!("/images/{}", image.uuid), None),
        ("ListImages, 20 images", "/images?state=all".to_owned(), None),
    ];
    let mut figures = Vec::new();
    for (name, path, least) in paths {
        let url = stage.url(&path);
        requests_per_second(&url, 1).await?;
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            let ours = requests_per_second(&url, SECONDS).await?;
            pairs.push(Pair { ours, peer: requests_per_second(&peer, SECONDS).await? });
        }
        figures.push(Figure::of_pairs(name, "bare axum", &pairs, least, per_second));
    }
    for image in &images {
        stage.delete(image).await?;
    }
    Ok(figures)
}
