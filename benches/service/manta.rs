// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files in Manta, beside a curl that does the same PUT and GET with Manta itself.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use coal::datacenter::MantaMode;
use http_signature::{Head, PrivateKey, Signer};
use reqwest::header::{DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Version};
use serde_json::{Value, json};

use crate::figure::{Figure, Outcome, Pair, mebibytes, megabytes_per_second, rate};
use crate::memory::{peak, reset_peak, resident};
use crate::payload::{FILE_SIZE, Payload};
use crate::stage::{Stage, blocking};
use crate::{Failure, curl};

/// The least part of curl's rate.
const TARGET: f64 = 0.5;
/// Most bytes that the process may grow by.
const MEMORY: u64 = 64 << 20;
/// Where curl puts its objects.
const DIRECTORY: &str = "/admin/stor/bench";

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Upload,
    Download,
    Clone,
    Export,
    ToLocal,
    ToManta,
}

/// The service, curl, and what they work with.
struct Bench {
    stage: Stage,
    manta: String,
    signer: Signer,
    client: manta::Client,
    /// The bytes of all files.
    file: PathBuf,
    /// Has its file in Manta.
    image: String,
    /// May clone it.
    account: String,
}

pub(crate) async fn measure(data: &std::path::Path, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let bench = Bench::start(data).await?;
    let figures = bench.figures(rounds).await;
    bench.stage.stop().await;
    figures
}

impl Bench {
    async fn start(data: &std::path::Path) -> Result<Bench, Failure> {
        let stage = Stage::start(data, MantaMode::Local).await?;
        stage.need_space(6 * FILE_SIZE)?;
        let server = stage.datacenter().manta().ok_or("there is no Manta")?.url();
        let pem = fs::read_to_string(stage.datacenter().key_file("admin"))?;
        let key = PrivateKey::from_pem(&pem)?;
        let signer = Signer::new(format!("/admin/keys/{}", key.md5_fingerprint()), key.clone())?;
        let client = manta::Client::new(manta::Config::new(&server, "admin", key))?;
        client.mkdirp(&manta::Path::new(DIRECTORY)?).await?;
        let file = stage.local_dir().join("bench.file");
        let (path, payload) = (file.clone(), Payload::random());
        blocking(move || {
            let file = File::create(path)?;
            payload.write_to(&file)?;
            Ok(file.sync_all()?)
        })
        .await?;
        let account = stage.account.clone();
        let mut bench = Bench { manta: server, signer, client, file, image: String::new(), account, stage };
        bench.image = bench.create().await?;
        curl::put(&bench.file_url(&bench.image), &[], &bench.file).await?;
        let activated = format!("/images/{}?action=activate", bench.image);
        bench.stage.call(Method::POST, &activated, json!(null)).await?;
        curl::put(&bench.object("source"), &bench.headers()?, &bench.file).await?;
        Ok(bench)
    }

    async fn figures(&self, rounds: usize) -> Result<Vec<Figure>, Failure> {
        use Operation::{Clone, Download, Export, ToLocal, ToManta, Upload};
        let operations = [
            (Upload, "AddImageFile to Manta, 1 GiB", "curl PUT"),
            (Download, "GetImageFile from Manta, 1 GiB", "curl GET"),
            (Clone, "CloneImage in Manta, 1 GiB", "curl GET | curl PUT"),
            (Export, "ExportImage, 1 GiB", "curl GET | curl PUT"),
            (ToLocal, "change-stor to local, 1 GiB", "curl GET to a file, fsync"),
            (ToManta, "change-stor to Manta, 1 GiB", "curl PUT"),
        ];
        let pid = self.stage.pid()?;
        let before = resident(pid)?;
        reset_peak(pid)?;
        let mut figures = Vec::new();
        for (operation, name, peer) in operations {
            let mut pairs = Vec::new();
            for _ in 0..rounds {
                let ours = rate(FILE_SIZE, self.ours(operation).await?);
                let peer = rate(FILE_SIZE, self.curl(operation).await?);
                pairs.push(Pair { ours, peer });
            }
            figures.push(Figure::of_pairs(name, peer, &pairs, Some(TARGET), megabytes_per_second));
        }
        let growth = peak(pid)?.saturating_sub(before);
        figures.push(Figure {
            name: "memory, all of these one after the other".into(),
            ours: mebibytes(growth),
            peer: Some(("before", mebibytes(before))),
            outcome: Outcome::Bytes(growth, MEMORY),
        });
        Ok(figures)
    }

    /// Does it once with the service. What has to be there before, or away after, does not count.
    async fn ours(&self, operation: Operation) -> Result<Duration, Failure> {
        match operation {
            Operation::Upload => {
                let image = self.create().await?;
                let time = curl::put(&self.file_url(&image), &[], &self.file).await?;
                self.delete(&image).await?;
                Ok(time)
            }
            Operation::Download => curl::get(&self.file_url(&self.image), &[]).await,
            Operation::Clone => {
                let path = format!("/images/{}/clone?account={}", self.image, self.account);
                let (time, clone) = self.timed(&path).await?;
                self.delete(clone["uuid"].as_str().ok_or("the clone has no uuid")?).await?;
                Ok(time)
            }
            Operation::Export => {
                let path = format!("/images/{}?action=export&manta_path={DIRECTORY}/export", self.image);
                let (time, exported) = self.timed(&path).await?;
                let path = exported["image_path"].as_str().ok_or("there is no image_path")?;
                self.client.delete(&manta::Path::new(path)?, None).await?;
                Ok(time)
            }
            Operation::ToLocal => {
                let time = self.move_to("local").await?;
                self.move_to("manta").await?;
                Ok(time)
            }
            Operation::ToManta => {
                self.move_to("local").await?;
                self.move_to("manta").await
            }
        }
    }

    async fn move_to(&self, stor: &str) -> Result<Duration, Failure> {
        let path = format!("/images/{}?action=change-stor&stor={stor}", self.image);
        let (time, image) = self.timed(&path).await?;
        if image["files"][0]["stor"] != stor {
            return Err(format!("the file is not in {stor}").into());
        }
        Ok(time)
    }

    async fn curl(&self, operation: Operation) -> Result<Duration, Failure> {
        let (source, target, headers) = (self.object("source"), self.object("target"), self.headers()?);
        let time = match operation {
            Operation::Download => return curl::get(&source, &headers).await,
            Operation::ToLocal => {
                let file = self.file.with_extension("copy");
                let time = curl::save(&source, &headers, &file).await?;
                fs::remove_file(file)?;
                return Ok(time);
            }
            Operation::Upload | Operation::ToManta => curl::put(&target, &headers, &self.file).await?,
            Operation::Clone | Operation::Export => curl::copy(&source, &target, &headers).await?,
        };
        self.client.delete(&manta::Path::new(format!("{DIRECTORY}/target"))?, None).await?;
        Ok(time)
    }

    /// The service's answer to a POST, and how long it took.
    async fn timed(&self, path: &str) -> Result<(Duration, Value), Failure> {
        let start = Instant::now();
        let answer = self.stage.call(Method::POST, path, json!(null)).await?;
        Ok((start.elapsed(), answer))
    }

    /// An image that others may clone.
    async fn create(&self) -> Result<String, Failure> {
        let owner = self.stage.account_of("imgapitestluke")?;
        let manifest = json!({"name": "bench", "version": "1.0.0", "os": "smartos", "type": "zone-dataset",
            "owner": owner, "acl": [self.account]});
        let created = self.stage.call(Method::POST, "/images", manifest).await?;
        Ok(created["uuid"].as_str().ok_or("the answer has no uuid")?.to_owned())
    }

    async fn delete(&self, uuid: &str) -> Result<(), Failure> {
        self.stage.call(Method::DELETE, &format!("/images/{uuid}"), json!(null)).await.map(drop)
    }

    fn file_url(&self, uuid: &str) -> String {
        self.stage.url(&format!("/images/{uuid}/file?compression=none"))
    }

    fn object(&self, name: &str) -> String {
        format!("{}{DIRECTORY}/{name}", self.manta)
    }

    /// Those that sign a request to Manta, whichever it is.
    fn headers(&self) -> Result<Vec<String>, Failure> {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let headers: HeaderMap = [(DATE, HeaderValue::try_from(&date)?)].into_iter().collect();
        let head = Head { method: "", target: "", version: Version::HTTP_11, headers: &headers };
        let authorization = self.signer.sign(&head, &["date"])?;
        Ok(vec![format!("Date: {date}"), format!("Authorization: {}", authorization.to_str()?)])
    }
}
