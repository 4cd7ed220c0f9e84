// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The requests, of which a random one is sent.

use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Known, World, file};

/// Names of all kinds of requests.
pub(super) const ALL: [&str; 14] = [
    "activate",
    "clone",
    "create",
    "delete",
    "delete icon",
    "download",
    "icon",
    "look",
    "move",
    "rename",
    "reparent",
    "share",
    "update",
    "upload",
];

/// With this many images, fewer are created.
const MOST_IMAGES: usize = 12;

/// One in this many images may have its file on the first server's disk.
const LOCAL: u32 = 3;

/// Sends a random request.
pub(super) async fn act(world: &World, random: &mut StdRng) {
    let number = random.random_range(0..usize::MAX);
    let which = random.random_range(0..20);
    // There are only a few images, so that requests affect each other.
    let creates = which < 4 && (world.count() < MOST_IMAGES || random.random_ratio(1, 5));
    let Some((uuid, known)) = world.any(number).filter(|_| !creates) else {
        return create(world, random).await;
    };
    let server = if known.is_local { 0 } else { random.random_range(0..2) };
    let action = |action: &str| format!("/images/{uuid}?action={action}");
    match which {
        0..7 => upload(world, random, server, &uuid, &known).await,
        7 => icon(world, random, server, &uuid).await,
        8..10 => drop(
            world
                .send("delete icon", world.request(server, Method::DELETE, &format!("/images/{uuid}/icon")))
                .await,
        ),
        10..12 => activate(world, server, &uuid).await,
        12..14 if known.is_local => {
            let stor = if random.random_bool(0.5) { "manta" } else { "local" };
            let path = format!("{}&stor={stor}", action("change-stor"));
            world.send("move", world.request(server, Method::POST, &path)).await;
        }
        12..15 => {
            let change = json!({"description": format!("{number}")});
            world.send("update", world.request(server, Method::POST, &action("update")).json(&change)).await;
        }
        15 => download(world, server, &uuid).await,
        16 => rename(world, server, &uuid, known).await,
        17 => reparent(world, random, server, &uuid).await,
        18 => share_and_clone(world, server, &uuid, &known).await,
        _ => {
            world.note(&uuid, |known| known.may_be_gone = true);
            world.send("delete", world.request(server, Method::DELETE, &format!("/images/{uuid}"))).await;
        }
    }
}

/// CreateImage or AdminImportImage. In half of the cases the image gets an origin of the same owner.
async fn create(world: &World, random: &mut StdRng) {
    let (account, is_local) = (random.random_range(0..2), random.random_ratio(1, LOCAL));
    let mut manifest = json!({
        "name": "model", "version": "1.0.0", "os": "smartos", "type": "zone-dataset", "owner": world.accounts[account],
    });
    let origin = world.any(random.random_range(0..usize::MAX)).filter(|(_, known)| known.account == account);
    if let Some((origin, _)) = origin.filter(|_| random.random_bool(0.5)) {
        manifest["origin"] = json!(origin);
    }
    let server = if is_local { 0 } else { random.random_range(0..2) };
    let request = if random.random_bool(0.5) {
        world.request(server, Method::POST, "/images")
    } else {
        let uuid = Uuid::new_v4().to_string();
        manifest["uuid"] = json!(uuid);
        manifest["v"] = json!(2);
        world.request(server, Method::POST, &format!("/images/{uuid}?action=import"))
    };
    let Some(answer) = world.send("create", request.json(&manifest)).await else { return };
    if answer.is_success() {
        let known = Known { account, is_local, ..Known::default() };
        world.add(answer.json()["uuid"].as_str().unwrap(), known);
    }
}

async fn upload(world: &World, random: &mut StdRng, server: usize, uuid: &str, known: &Known) {
    // The same few files are used again, because equal bytes at the same time are the interesting case.
    let file = file(random.random_range(0..6) * 7919);
    known.files.lock().unwrap().insert(file.sha1());
    let storage = if known.is_local && random.random_bool(0.5) { "local" } else { "manta" };
    let path = format!("/images/{uuid}/file?compression=none&storage={storage}");
    let body = reqwest::Body::wrap_stream(file.stream());
    let request = world.request(server, Method::PUT, &path);
    world.send("upload", request.header("content-length", file.size).body(body)).await;
}

async fn icon(world: &World, random: &mut StdRng, server: usize, uuid: &str) {
    let request = world.request(server, Method::PUT, &format!("/images/{uuid}/icon"));
    let bytes = file(random.random_range(0..1000)).bytes();
    world.send("icon", request.header("content-type", "image/png").body(bytes)).await;
}

async fn download(world: &World, server: usize, uuid: &str) {
    world.send("download", world.request(server, Method::GET, &format!("/images/{uuid}/file"))).await;
}

/// UpdateImage with another UUID.
async fn rename(world: &World, server: usize, uuid: &str, known: Known) {
    let new = Uuid::new_v4().to_string();
    world.note(uuid, |known| known.may_be_gone = true);
    // The result of a request without an answer is unknown.
    world.add(&new, Known { may_be_gone: true, ..known });
    let request = world.request(server, Method::POST, &format!("/images/{uuid}?action=update"));
    world.send("rename", request.json(&json!({"uuid": new}))).await;
}

/// UpdateImage with another origin.
async fn reparent(world: &World, random: &mut StdRng, server: usize, uuid: &str) {
    let origin =
        world.any(random.random_range(0..usize::MAX)).map_or(Value::Null, |(origin, _)| json!(origin));
    let request = world.request(server, Method::POST, &format!("/images/{uuid}?action=update"));
    world.send("reparent", request.json(&json!({"origin": origin}))).await;
}

async fn activate(world: &World, server: usize, uuid: &str) {
    let request = world.request(server, Method::POST, &format!("/images/{uuid}?action=activate"));
    if world.send("activate", request).await.is_some_and(|answer| answer.is_success()) {
        world.note(uuid, |known| known.is_active = true);
    }
}

/// AddImageAcl for the other account. If the image is active, that account then clones it.
async fn share_and_clone(world: &World, server: usize, uuid: &str, known: &Known) {
    let other = 1 - known.account;
    activate(world, server, uuid).await;
    let acl = world.request(server, Method::POST, &format!("/images/{uuid}/acl"));
    world.send("share", acl.json(&json!([world.accounts[other]]))).await;
    let path = format!("/images/{uuid}/clone?account={}", world.accounts[other]);
    // The origin may be on the disk of the first server.
    let Some(answer) = world.send("clone", world.request(0, Method::POST, &path)).await else { return };
    if answer.is_success() {
        let known = Known { account: other, may_be_gone: false, ..known.clone() };
        world.add(answer.json()["uuid"].as_str().unwrap(), known);
    }
}
