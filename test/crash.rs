//! SIGKILL at any time: no image with wrong bytes, no acknowledged write lost, nothing left behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coal::Datacenter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

const PATIENCE: Duration = Duration::from_secs(60);
const UPLOADS: usize = 100;
const CLIENTS: u64 = 3;
const SMALLEST: usize = 256 << 10;
const LARGEST: usize = 4 << 20;

/// What one client knows about one image.
#[derive(Debug, Clone, Default)]
struct Known {
    /// SHA-1 of every file that was sent, in order.
    sent: Vec<String>,
    /// How many of them, from the first, were over when the last acknowledgement came.
    acknowledged: usize,
    /// SHA-1 of the file in the answer to the activation.
    activated: Option<String>,
}

type Ledger = Arc<Mutex<HashMap<String, Known>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_and_mixes_nothing_up() {
    let mut datacenter = Datacenter::builder().imgapi(env!("CARGO_BIN_EXE_imgapi")).start().await.unwrap();
    let owner = datacenter.account("admin").unwrap().uuid.clone();
    let ledger = Ledger::default();
    let http = Client::new();
    let mut random = StdRng::seed_from_u64(20);
    let one_upload = time_of_one(&http, &datacenter.imgapi_url().unwrap(), &owner).await;
    let mut uploads = 0;
    let mut seed = 0;
    while uploads < UPLOADS {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (http, url) = (http.clone(), datacenter.imgapi_url().unwrap());
                tokio::spawn(upload_until_it_dies(
                    http,
                    url,
                    owner.clone(),
                    Arc::clone(&ledger),
                    seed + client,
                ))
            })
            .collect();
        seed += CLIENTS;
        // Somewhere within a few uploads, however long these take here.
        tokio::time::sleep(one_upload.mul_f64(random.random_range(0.1..6.0))).await;
        datacenter.kill_imgapi().await;
        for client in clients {
            client.await.unwrap();
        }
        datacenter.restart_imgapi().await.unwrap();
        wait_for_the_sweep(&datacenter).await;
        let known = ledger.lock().unwrap().clone();
        for (uuid, known) in &known {
            check(&http, &datacenter.imgapi_url().unwrap(), uuid, known).await;
        }
        uploads = ledger.lock().unwrap().values().map(|known| known.sent.len()).sum();
    }
    assert!(ledger.lock().unwrap().values().any(|known| known.activated.is_some()));
    only_files_are_there(&datacenter);
    datacenter.stop().await;
}

async fn time_of_one(http: &Client, url: &str, owner: &str) -> Duration {
    let started = Instant::now();
    let uuid = create(http, url, owner).await.unwrap();
    upload(http, url, &uuid, vec![7; LARGEST / 2]).await.unwrap();
    started.elapsed()
}

/// Makes images, uploads one or two files to each, activates some; ends when the server does.
async fn upload_until_it_dies(http: Client, url: String, owner: String, ledger: Ledger, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    while let Some(uuid) = create(&http, &url, &owner).await {
        ledger.lock().unwrap().insert(uuid.clone(), Known::default());
        for _ in 0..random.random_range(1..=2) {
            let mut bytes = vec![0; random.random_range(SMALLEST..LARGEST)];
            random.fill(&mut bytes[..]);
            let sha1 = hex::encode(Sha1::digest(&bytes));
            ledger.lock().unwrap().get_mut(&uuid).unwrap().sent.push(sha1);
            if upload(&http, &url, &uuid, bytes).await.is_none() {
                return;
            }
            let mut ledger = ledger.lock().unwrap();
            let known = ledger.get_mut(&uuid).unwrap();
            known.acknowledged = known.sent.len();
        }
        if random.random_bool(0.6) {
            let activate = format!("{url}/images/{uuid}?action=activate");
            let Some(image) = call(&http, Method::POST, &activate, Vec::new()).await else { return };
            ledger.lock().unwrap().get_mut(&uuid).unwrap().activated = Some(sha1_of(&image).unwrap());
        }
    }
}

async fn create(http: &Client, url: &str, owner: &str) -> Option<String> {
    let body = json!({"owner": owner, "name": "crash", "version": "1", "type": "other", "os": "other"});
    let image = call(http, Method::POST, &format!("{url}/images"), body.to_string().into_bytes()).await?;
    Some(image["uuid"].as_str().unwrap().to_owned())
}

async fn upload(http: &Client, url: &str, uuid: &str, bytes: Vec<u8>) -> Option<Value> {
    call(http, Method::PUT, &format!("{url}/images/{uuid}/file?compression=none"), bytes).await
}

/// The answer to a request that nothing but the end of the server may spoil: `None` then.
async fn call(http: &Client, method: Method, url: &str, body: Vec<u8>) -> Option<Value> {
    let request = http.request(method, url).header("content-type", "application/json").body(body);
    let response = request.send().await.ok()?;
    let status = response.status();
    let text = response.text().await.ok()?;
    assert_eq!(status, StatusCode::OK, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

fn sha1_of(image: &Value) -> Option<String> {
    image["files"][0]["sha1"].as_str().map(str::to_owned)
}

async fn wait_for_the_sweep(datacenter: &Datacenter) {
    let incoming = datacenter.local_dir().join("incoming");
    let started = Instant::now();
    while std::fs::read_dir(&incoming).unwrap().next().is_some() {
        assert!(started.elapsed() < PATIENCE, "the sweep leaves something in {}", incoming.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn check(http: &Client, url: &str, uuid: &str, known: &Known) {
    let image = call(http, Method::GET, &format!("{url}/images/{uuid}"), Vec::new()).await.unwrap();
    let Some(sha1) = sha1_of(&image) else {
        assert_eq!(known.acknowledged, 0, "{uuid}: an acknowledged file is gone");
        assert_eq!(known.activated, None, "{uuid}");
        return;
    };
    let position = known.sent.iter().position(|sent| *sent == sha1).unwrap();
    assert!(position + 1 >= known.acknowledged, "{uuid}: an older file than the acknowledged one");
    let response = http.get(format!("{url}/images/{uuid}/file")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{uuid}");
    let bytes = response.bytes().await.unwrap();
    assert_eq!(hex::encode(Sha1::digest(&bytes)), sha1, "{uuid}: wrong bytes");
    if let Some(activated) = &known.activated {
        assert_eq!(image["state"], "active", "{uuid}: an acknowledged activation is gone");
        assert_eq!(*activated, sha1, "{uuid}");
    }
}

fn only_files_are_there(datacenter: &Datacenter) {
    let mut open = vec![datacenter.local_dir().join("images")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert!(path.ends_with("file0"), "{} was left behind", path.display());
        }
    }
}
