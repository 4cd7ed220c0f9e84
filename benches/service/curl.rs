// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! curl, the client of both sides.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::child::Peer;
use crate::stage::blocking;

/// The words of a curl that fails when the answer is no success.
fn words(url: &str, headers: &[String]) -> Vec<String> {
    let mut words: Vec<String> = ["-sS", "-f", "--noproxy", "*"].map(String::from).into();
    words.extend(headers.iter().flat_map(|header| ["-H".to_owned(), header.clone()]));
    words.push(url.to_owned());
    words
}

/// How long it takes to get an object and throw it away.
pub(crate) async fn get(url: &str, headers: &[String]) -> Result<Duration, Failure> {
    let mut words = words(url, headers);
    words.extend(["-o".to_owned(), "/dev/null".to_owned()]);
    run(words).await
}

/// The same to a file that is durable then.
pub(crate) async fn save(url: &str, headers: &[String], file: &Path) -> Result<Duration, Failure> {
    let mut words = words(url, headers);
    words.extend(["-o".to_owned(), file.to_string_lossy().into_owned()]);
    let (got, file) = (run(words).await?, file.to_owned());
    blocking(move || {
        let start = Instant::now();
        std::fs::File::open(file)?.sync_all()?;
        Ok(got + start.elapsed())
    })
    .await
}

/// How long it takes to put a file.
pub(crate) async fn put(url: &str, headers: &[String], file: &Path) -> Result<Duration, Failure> {
    let mut words = words(url, headers);
    words.extend([
        "-o".to_owned(),
        "/dev/null".to_owned(),
        "-T".to_owned(),
        file.to_string_lossy().into_owned(),
    ]);
    run(words).await
}

/// How long it takes to get an object and put it as another one.
pub(crate) async fn copy(from: &str, to: &str, headers: &[String]) -> Result<Duration, Failure> {
    let get = words(from, headers);
    let mut put = words(to, headers);
    put.extend(["-T".to_owned(), "-".to_owned()]);
    blocking(move || {
        let start = Instant::now();
        let mut source = Peer::spawn(Command::new("curl").args(get).stdout(Stdio::piped()))?;
        let bytes = source.0.stdout.take().ok_or("curl has no output")?;
        let mut target = Peer::spawn(Command::new("curl").args(put).stdin(bytes).stdout(Stdio::null()))?;
        for curl in [&mut target, &mut source] {
            let status = curl.0.wait()?;
            if !status.success() {
                return Err(format!("curl: {status}").into());
            }
        }
        Ok(start.elapsed())
    })
    .await
}

async fn run(words: Vec<String>) -> Result<Duration, Failure> {
    blocking(move || {
        let start = Instant::now();
        let status = Peer::spawn(Command::new("curl").args(words))?.0.wait()?;
        if status.success() { Ok(start.elapsed()) } else { Err(format!("curl: {status}").into()) }
    })
    .await
}
