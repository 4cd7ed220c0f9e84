// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A container registry for the tests, which keeps what is sent to it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use coal::datacenter::DatacenterBuilder;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::lxd::{sha256_of, uuid_of};
use super::{ADMIN, Answer, Call, Script, TestApp};

/// The media type of the manifests.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry without authentication.
pub(crate) struct RegistryServer {
    pub(crate) address: SocketAddr,
    kept: Arc<Kept>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Kept {
    /// By digest.
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    /// Media type and text, by tag.
    manifests: Mutex<HashMap<String, (String, String)>>,
    /// The heads of all requests.
    heads: Mutex<Vec<String>>,
    /// Answers to requests that begin like the key.
    faults: Mutex<HashMap<String, Script>>,
}

impl RegistryServer {
    pub(crate) async fn start() -> RegistryServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Kept>::default());
        let keeping = Arc::clone(&kept);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = Arc::clone(&keeping);
                // An error means that the client has gone, which is allowed.
                tokio::spawn(async move { serve(stream, &kept).await });
            }
        });
        RegistryServer { address, kept, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Starts a registry, and an application that may call it, in a datacenter that `build` changes.
    pub(crate) async fn start_with(
        build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder,
    ) -> (RegistryServer, TestApp) {
        let allow = |dc: DatacenterBuilder| dc.imgapi_config("registryAllow", json!(["127.0.0.1"]));
        (RegistryServer::start().await, TestApp::start_with(|dc| build(allow(dc))).await)
    }

    /// Answers every request that begins with this text by a script.
    pub(crate) fn fails(&self, request: &str, script: Script) {
        self.kept.faults.lock().unwrap().insert(request.to_owned(), script);
    }

    /// Answers all requests properly again.
    pub(crate) fn works(&self) {
        self.kept.faults.lock().unwrap().clear();
    }

    pub(crate) fn has_blob(&self, bytes: &[u8]) {
        let digest = format!("sha256:{}", sha256_of(bytes));
        self.kept.blobs.lock().unwrap().insert(digest, bytes.to_vec());
    }

    pub(crate) fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.kept.blobs.lock().unwrap().get(digest).cloned()
    }

    pub(crate) fn manifest(&self, tag: &str) -> Option<(String, String)> {
        self.kept.manifests.lock().unwrap().get(tag).cloned()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.kept.heads.lock().unwrap().clone()
    }

    /// The query of a push to the tag `1` of a repository here.
    pub(crate) fn target(&self) -> String {
        format!("repoAndTag={}/aa/b:1", self.address)
    }
}

async fn serve(mut stream: TcpStream, kept: &Kept) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    kept.heads.lock().unwrap().push(head.clone());
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let fault = {
        let faults = kept.faults.lock().unwrap();
        faults.iter().find(|(request, _)| head.starts_with(*request)).map(|(_, script)| script.clone())
    };
    if let Some(script) = fault {
        return script.play(stream).await;
    }
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    let request = head.split(" HTTP/").next().unwrap().to_owned();
    let script = answer(&request, header("content-type").unwrap_or_default(), body, kept);
    script.play(&mut stream).await?;
    stream.shutdown().await
}

fn answer(request: &str, media_type: String, body: Vec<u8>, kept: &Kept) -> Script {
    let last = request.rsplit('/').next().unwrap();
    match request.split_once(" /v2/").unwrap() {
        ("GET", "") => Script::json(200, &json!({})),
        ("HEAD", _) => {
            let status = if kept.blobs.lock().unwrap().contains_key(last) { 200 } else { 404 };
            Script::raw(status, &["Content-Length: 0"], "")
        }
        ("POST", path) => Script::answer(202, &[&format!("Location: /v2/{path}1")], ""),
        ("PUT", path) if path.contains("/blobs/uploads/") => {
            let digest = request.rsplit("digest=").next().unwrap().replace("%3A", ":");
            if digest != format!("sha256:{}", sha256_of(&body)) {
                return refusal(400, "DIGEST_INVALID");
            }
            kept.blobs.lock().unwrap().insert(digest, body);
            Script::answer(201, &[], "")
        }
        ("PUT", _) => {
            let text = String::from_utf8(body).unwrap();
            kept.manifests.lock().unwrap().insert(last.to_owned(), (media_type, text));
            Script::answer(201, &[], "")
        }
        _ => Script::answer(404, &[], ""),
    }
}

/// A refusal with the code of a registry.
pub(crate) fn refusal(status: u16, code: &str) -> Script {
    Script::json(status, &json!({"errors": [{"code": code, "message": "no"}]}))
}

/// A Docker image, as sdc-docker describes it.
pub(crate) struct DockerFiles {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) config: String,
}

impl DockerFiles {
    pub(crate) fn new(layers: &[&[u8]]) -> DockerFiles {
        let config = r#"{"os":"linux","rootfs":{"diff_ids":[]},"history":[]}"#.to_owned();
        DockerFiles { layers: layers.iter().map(|layer| layer.to_vec()).collect(), config }
    }

    pub(crate) fn digests(&self) -> Vec<String> {
        self.layers.iter().map(|layer| format!("sha256:{}", sha256_of(layer))).collect()
    }

    pub(crate) fn config_digest(&self) -> String {
        format!("sha256:{}", sha256_of(&self.config))
    }

    /// The UUID of the image of each layer.
    pub(crate) fn uuids(&self) -> Vec<String> {
        let digests = self.digests();
        (1..=digests.len()).map(|count| uuid_of(&sha256_of(digests[..count].join(" ")))).collect()
    }

    /// The text of the manifest, which is not compact.
    pub(crate) fn manifest(&self) -> String {
        let layer = |bytes: &Vec<u8>| {
            json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": bytes.len(),
                "digest": format!("sha256:{}", sha256_of(bytes))})
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": {"size": self.config.len(), "digest": self.config_digest()},
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&manifest).unwrap()
    }

    /// The body of a push.
    pub(crate) fn record(&self) -> Value {
        json!({
            "manifest_str": self.manifest(), "config_digest": self.config_digest(),
            "image": serde_json::from_str::<Value>(&self.config).unwrap(),
            "image_uuid": self.uuids().last(),
        })
    }

    /// Stores the layers as images.
    pub(crate) async fn stored(&self, app: &TestApp) {
        let uuids = self.uuids();
        for (index, (uuid, bytes)) in uuids.iter().zip(&self.layers).enumerate() {
            let origin = index.checked_sub(1).map(|below| &uuids[below]);
            has_layer(app, uuid, origin, bytes).await;
        }
    }

    /// Begins a push.
    pub(crate) fn push(&self, app: &TestApp, query: &str) -> Call {
        let target = format!("/images/{}/push?{query}", self.uuids().last().unwrap());
        app.operator().call(Method::POST, &target).json(&self.record())
    }
}

/// Stores an active image with this file.
pub(crate) async fn has_layer(app: &TestApp, uuid: &str, origin: Option<&String>, bytes: &[u8]) {
    let mut manifest = json!({
        "v": 2, "uuid": uuid, "owner": ADMIN, "name": "docker-layer", "version": "1", "type": "docker", "os": "linux",
        "published_at": "2030-01-01T00:00:00.000Z",
    });
    if let Some(origin) = origin {
        manifest["origin"] = json!(origin);
    }
    app.operator()
        .call(Method::POST, &format!("/images/{uuid}?action=import"))
        .json(&manifest)
        .send()
        .await
        .ok();
    app.operator().upload(uuid, "compression=gzip", bytes.to_vec()).await.ok();
    app.operator().activate(uuid).await.ok();
}

/// Returns the messages of a push, which have no `Content-Type`.
pub(crate) fn messages(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, None), "{answer:?}");
    let text = answer.text();
    assert!(text.ends_with("\r\n"), "{text}");
    text.split_terminator("\r\n").map(|line| serde_json::from_str(line).unwrap()).collect()
}
