// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The archive of manifests in Manta. Whatever happens to the process, the archive finally contains the last version of every
//! image.

mod life;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coal::Datacenter;
use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::future::join_all;
use rand::{RngExt, random_range};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::{
    Client, IMGAPI, PATIENCE, Remote, SecondServer, files_below, is_copy_of, randomness, scaled, wait_for,
};
use life::{Life, Step};

/// Minimum numbers of answered changes, and of kills.
const CHANGES: usize = 150;
const KILLS: usize = 6;
/// Number of workers that make changes, and of images that all of them change.
const WORKERS: usize = 4;
const COMMON: usize = 3;
/// Maximum number of changes until the process is killed, and the maximum delay of the kill after them, in milliseconds.
const MOST_OF_A_ROUND: usize = 40;
const LATEST_KILL: u64 = 15;
/// The faults that apply to a few requests to Manta before each kill.
const FAULTS: [MantaFault; 4] =
    [MantaFault::HangUp, MantaFault::InternalError, MantaFault::ConcurrentRequest, MantaFault::LostAnswer];

async fn start_with_manta() -> (Datacenter, Remote) {
    let datacenter = Datacenter::builder().imgapi(IMGAPI).manta(MantaMode::Local).start().await.unwrap();
    let remote = Remote::new(&datacenter);
    (datacenter, remote)
}

/// The shared state of the workers of a round.
struct Round {
    /// Number of changes until the kill.
    left: AtomicUsize,
    is_over: Notify,
}

#[tokio::test]
async fn changes_and_kills_leave_the_last_version_of_each() {
    let (mut datacenter, remote) = start_with_manta().await;
    let client = Client::new(&datacenter);
    let mut random = randomness(14);
    let mut common = Vec::new();
    for _ in 0..COMMON {
        common.push(client.created().await);
    }
    let (changes, most_kills) = (scaled(CHANGES), scaled(KILLS));
    let mut lives: Vec<_> = (0..WORKERS).map(|_| Life::new(random.random(), common.clone())).collect();
    let mut kills = 0;
    while kills < most_kills || lives.iter().map(Life::answered).sum::<usize>() < changes {
        let left = AtomicUsize::new(random.random_range(1..=MOST_OF_A_ROUND));
        let round = Round { left, is_over: Notify::new() };
        let delay = Duration::from_millis(random.random_range(0..=LATEST_KILL));
        let faults = datacenter.manta().unwrap().faults().clone();
        let fault = FAULTS[random.random_range(0..FAULTS.len())].clone();
        faults.set(MantaFaultRule::new(fault).method("PUT").path("/archive/").times(2));
        let kill = async {
            round.is_over.notified().await;
            // This is not a wait for a condition: the test is about the moment of the kill.
            sleep(delay).await;
            datacenter.kill_imgapi().await;
        };
        let work = lives.iter_mut().map(|life| live(life, &client, &round));
        tokio::join!(kill, join_all(work));
        kills += 1;
        faults.clear();
        datacenter.restart_imgapi().await.unwrap();
        for life in &mut lives {
            life.settle(&client).await;
        }
    }

    let answered: usize = lives.iter().map(Life::answered).sum();
    let live = current(&client).await;
    for known in lives.iter().flat_map(Life::known) {
        assert!(live.contains_key(&known), "{known} was lost");
    }
    let mut deleted = BTreeMap::new();
    lives.iter().for_each(|life| deleted.extend(life.deleted().clone()));
    println!("{answered} changes, {kills} kills, {} images deleted", deleted.len());
    everything_arrives(&[&datacenter.local_dir()], &remote, &live, &deleted).await;
    datacenter.stop().await;
}

/// Makes changes until the process is killed.
async fn live(life: &mut Life, client: &Client, round: &Round) {
    while life.step(client).await == Step::Answered {
        let before =
            round.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        if before == Ok(1) {
            round.is_over.notify_one();
        }
    }
}

/// Returns all images as clients see them.
async fn current(client: &Client) -> BTreeMap<String, Value> {
    let list = client.get("/images?state=all&limit=1000").await.unwrap().json();
    let images = list.as_array().unwrap().iter();
    images.map(|image| (image["uuid"].as_str().unwrap().to_owned(), image.clone())).collect()
}

/// Waits until the local archives are empty and every interrupted write of an existing image is settled. Then Manta must contain
/// exactly these versions.
async fn everything_arrives(
    directories: &[&Path],
    remote: &Remote,
    live: &BTreeMap<String, Value>,
    deleted: &BTreeMap<String, Value>,
) {
    let below = |name: &str| -> Vec<_> {
        directories.iter().flat_map(|directory| files_below(&directory.join(name))).collect()
    };
    wait_for("empty local archives", PATIENCE, async || {
        let (left, mut unsettled) = (below("archive"), below("incoming"));
        unsettled.retain(|path| is_copy_of(path).is_none_or(|uuid| live.contains_key(&uuid)));
        if left.is_empty() && unsettled.is_empty() { Ok(()) } else { Err((left, unsettled)) }
    })
    .await;
    let archived = remote.archived().await;
    let last: BTreeMap<_, _> = live.iter().chain(deleted).collect();
    assert!(archived.keys().eq(last.keys().copied()), "{:?}\n{:?}", archived.keys(), last.keys());
    for (uuid, version) in last {
        assert_eq!(&archived[uuid], version, "{uuid}");
    }
}

#[tokio::test]
async fn of_two_servers_the_last_version_counts() {
    /// Number of changes, and of images.
    const CHANGES: usize = 100;
    const IMAGES: usize = 6;
    let (datacenter, remote) = start_with_manta().await;
    let second = SecondServer::start(&datacenter).await;
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let urls = [datacenter.imgapi_url().unwrap(), second.url().to_owned()];
    let ask_of = async |server: usize, method: Method, path: &str, body: Option<Value>| {
        let mut request = http.request(method, format!("{}{path}", urls[server]));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(status < 300, "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        ask_of(random_range(0..2), method, path, body).await
    };
    let owner = datacenter.account("admin").unwrap().uuid.clone();
    let manifest = json!({
        "name": "shared", "version": "1.0.0", "os": "smartos", "type": "zone-dataset", "owner": owner,
    });
    let mut uuids = Vec::new();
    for _ in 0..IMAGES {
        let image = ask(Method::POST, "/images", Some(manifest.clone())).await;
        uuids.push(image["uuid"].as_str().unwrap().to_owned());
    }
    let work = async |worker: usize| {
        for number in (worker..scaled(CHANGES)).step_by(WORKERS) {
            let path = format!("/images/{}?action=update", uuids[random_range(0..IMAGES)]);
            ask(Method::POST, &path, Some(json!({"description": format!("change {number}")}))).await;
        }
    };
    join_all((0..WORKERS).map(work)).await;
    // While the versions are still in transit, half of the images are deleted, each after a last change.
    let deleted = Mutex::new(BTreeMap::new());
    let delete = async |uuid: &String| {
        let path = format!("/images/{uuid}");
        let change = json!({"description": "the last one"});
        let version = ask(Method::POST, &format!("{path}?action=update"), Some(change)).await;
        ask(Method::DELETE, &path, None).await;
        deleted.lock().unwrap().insert(uuid.clone(), version);
    };
    join_all(uuids.iter().step_by(2).map(delete)).await;
    let mut live = BTreeMap::new();
    for uuid in uuids.iter().skip(1).step_by(2) {
        let path = format!("/images/{uuid}");
        // One of the servers has made the last change, and knows it at once.
        let version = wait_for("the same through both", PATIENCE, async || {
            let one = ask_of(0, Method::GET, &path, None).await;
            let other = ask_of(1, Method::GET, &path, None).await;
            if one == other { Ok(one) } else { Err(()) }
        });
        live.insert(uuid.clone(), version.await);
    }
    let directories = [&*datacenter.local_dir(), second.local_dir()];
    everything_arrives(&directories, &remote, &live, &deleted.into_inner().unwrap()).await;
    second.stop().await;
    datacenter.stop().await;
}

/// A server has died with the last version of an image that it has deleted, or was deleting. Meanwhile another one has deleted a
/// later version.
#[tokio::test]
async fn of_two_deletions_by_two_servers_the_later_one_counts() {
    let (mut datacenter, remote) = start_with_manta().await;
    let second = SecondServer::start(&datacenter).await;
    let clients = [Client::new(&datacenter), Client::of(&datacenter, second.url().to_owned())];
    let import = async |server: &Client, uuid: &str, name: &str| {
        let manifest = json!({
            "v": 2, "uuid": uuid, "name": name, "version": "1", "os": "smartos", "type": "zone-dataset",
            "owner": server.owner(),
        });
        let answer = server.post(&format!("/images/{uuid}?action=import"), &manifest).await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.body
    };
    let delete = async |server: &Client, uuid: &str| {
        assert_eq!(server.delete(uuid).await.unwrap().status, 204);
    };
    let [spooled, unfinished] = [(); 2].map(|()| uuid::Uuid::new_v4().to_string());
    let faults = datacenter.manta().unwrap().faults().clone();
    faults.set(MantaFaultRule::new(MantaFault::HangUp).path("/archive/"));
    import(&clients[0], &spooled, "first").await;
    delete(&clients[0], &spooled).await;
    let version = import(&clients[0], &unfinished, "first").await;
    datacenter.kill_imgapi().await;
    faults.clear();
    let leftover = format!("{unfinished}.last.{}", uuid::Uuid::new_v4());
    let leftover = datacenter.local_dir().join("incoming").join(leftover);
    std::fs::write(&leftover, version).unwrap();
    std::fs::set_permissions(&leftover, Permissions::from_mode(0o744)).unwrap();

    import(&clients[1], &spooled, "second").await;
    let path = format!("/images/{unfinished}?action=update");
    assert_eq!(clients[1].post(&path, &json!({"name": "second"})).await.unwrap().status, 200);
    for uuid in [&spooled, &unfinished] {
        delete(&clients[1], uuid).await;
    }
    let names = async || {
        let archived = remote.archived().await;
        [&spooled, &unfinished].map(|uuid| archived.get(uuid).map(|version| version["name"].clone()))
    };
    let second_everywhere = [(); 2].map(|()| Some(json!("second")));
    wait_for("the second versions", PATIENCE, async || {
        let names = names().await;
        if names == second_everywhere { Ok(()) } else { Err(names) }
    })
    .await;
    datacenter.restart_imgapi().await.unwrap();
    wait_for("nothing is left", PATIENCE, async || {
        let local = datacenter.local_dir();
        let left = [files_below(&local.join("archive")), files_below(&local.join("incoming"))].concat();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(names().await, second_everywhere);
    second.stop().await;
    datacenter.stop().await;
}
