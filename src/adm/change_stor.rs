// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

use super::client::{Client, PATIENCE, run};
use crate::console;
use crate::manifest::{Stor, Uuid};

/// The time limit of a request, because moving a large file takes long. The service itself aborts a storage operation
/// that stalls.
const MOVING: Duration = Duration::from_secs(24 * 3600);

/// How many images one request asks for.
const PAGE: usize = 1000;

/// The most images in a list. The largest known installation of 4.13.1 has a tenth of it.
const MOST: usize = 1_000_000;

/// Move files of images to another storage.
///
/// The command skips files that are there already, so it may be repeated. The exit status is 0 if all files are there now, and 1
/// otherwise.
#[derive(Debug, Args)]
pub(super) struct ChangeStor {
    /// The storage to move files to: local or manta.
    stor: Stor,
    /// The images whose files to move.
    #[arg(required_unless_present_any = ["all", "owner", "name", "from"])]
    uuids: Vec<Uuid>,
    /// Move the files of all images.
    #[arg(long, conflicts_with_all = ["uuids", "owner", "name", "from"])]
    all: bool,
    /// Only images of this account.
    #[arg(long, conflicts_with = "uuids")]
    owner: Option<Uuid>,
    /// Only images with this name; with a leading ~, images whose name contains it.
    #[arg(long, conflicts_with = "uuids")]
    name: Option<String>,
    /// Only files in this storage.
    #[arg(long, conflicts_with = "uuids")]
    from: Option<Stor>,
    /// Only list the files that the command would move.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many files to move at a time.
    #[arg(short, long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
}

/// An image whose file has to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    uuid: Uuid,
    name: String,
    size: u64,
}

/// Moves the files that the command line selects, and reports failures. Returns whether all files are now in the storage.
pub(super) fn move_all(client: &Client, options: &ChangeStor) -> Result<bool, String> {
    run(move_them(client, options))?
}

async fn move_them(client: &Client, options: &ChangeStor) -> Result<bool, String> {
    let images = if options.uuids.is_empty() {
        matching(client, options).await?
    } else {
        named(client, &options.uuids).await?
    };
    let moves: Vec<Move> = images.iter().filter_map(|image| to_be_moved(image, options)).collect();
    let bytes = moves.iter().map(|image| image.size).sum();
    let settled = images.len() - moves.len();
    if options.dry_run {
        let lines = moves.iter().map(|Move { uuid, name, size }| format!("{uuid} {name} {size} bytes\n"));
        let mut text: String = lines.collect();
        text.push_str(&format!(
            "{} files with {bytes} bytes would be moved to {}, {settled} images need not\n",
            moves.len(),
            options.stor
        ));
        return console::print(text).map(|()| true);
    }
    let bar = progress(bytes);
    let moving = stream::iter(&moves).map(|image| async {
        let target = format!("/images/{}?action=change-stor&stor={}", image.uuid, options.stor);
        let moved = client.ask(Method::POST, &target, MOVING).await;
        bar.inc(image.size);
        moved.map_err(|error| format!("{} {}: {error}", image.uuid, image.name))
    });
    let mut moving = moving.buffer_unordered(options.jobs.into());
    let mut failures = Vec::new();
    while let Some(moved) = moving.next().await {
        failures.extend(moved.err());
    }
    bar.finish_and_clear();
    let moved = moves.len() - failures.len();
    let mut text: String = failures.iter().map(|failure| format!("{failure}\n")).collect();
    text.push_str(&format!(
        "{moved} files moved to {}, {settled} images left alone, {} failed\n",
        options.stor,
        failures.len()
    ));
    console::print(text)?;
    Ok(failures.is_empty())
}

/// Makes a progress bar, which is hidden if standard error is not a terminal.
fn progress(bytes: u64) -> ProgressBar {
    let style = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::new(bytes);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns the image if it has a file and that is in another storage.
fn to_be_moved(image: &Value, options: &ChangeStor) -> Option<Move> {
    let file = image.get("files")?.as_array()?.first()?;
    let stor = file.get("stor").and_then(Value::as_str).unwrap_or_default();
    let is_wanted = stor != options.stor.as_str() && options.from.is_none_or(|from| stor == from.as_str());
    is_wanted.then_some(())?;
    Some(Move {
        uuid: uuid_of(image)?,
        name: image.get("name").and_then(Value::as_str).unwrap_or_default().replace(char::is_control, " "),
        size: file.get("size").and_then(Value::as_u64).unwrap_or_default(),
    })
}

fn uuid_of(image: &Value) -> Option<Uuid> {
    image.get("uuid")?.as_str()?.parse().ok()
}

async fn named(client: &Client, uuids: &[Uuid]) -> Result<Vec<Value>, String> {
    let mut images = Vec::with_capacity(uuids.len());
    for uuid in uuids {
        let image = client.ask(Method::GET, &format!("/images/{uuid}?inclAdminFields=true"), PATIENCE).await;
        images.push(image.map_err(|error| format!("{uuid}: {error}"))?);
    }
    Ok(images)
}

/// Returns all images that match the filters, in any state, page by page. Each page begins with the last image of the
/// previous one. Images that were never published cannot be markers: for them the page is enlarged instead.
async fn matching(client: &Client, options: &ChangeStor) -> Result<Vec<Value>, String> {
    let mut filter = form_urlencoded::Serializer::new("state=all&inclAdminFields=true".to_owned());
    if let Some(owner) = options.owner {
        filter.append_pair("owner", &owner.to_string());
    }
    if let Some(name) = &options.name {
        filter.append_pair("name", name);
    }
    let filter = filter.finish();
    let (mut images, mut seen) = (Vec::new(), HashSet::new());
    let (mut limit, mut marker) = (PAGE, String::new());
    loop {
        let page =
            client.ask(Method::GET, &format!("/images?{filter}&limit={limit}{marker}"), PATIENCE).await?;
        let Value::Array(page) = page else {
            return Err("the service does not answer with a list".to_owned());
        };
        let (is_last, last) = (page.len() < limit, page.last().cloned());
        let before = seen.len();
        images.extend(page.into_iter().filter(|image| uuid_of(image).is_some_and(|uuid| seen.insert(uuid))));
        if is_last {
            return Ok(images);
        }
        let published = last.as_ref().filter(|last| last.get("published_at").is_some()).and_then(uuid_of);
        match published {
            Some(last) if seen.len() > before => marker = format!("&marker={last}"),
            _ if limit < MOST => limit *= 2,
            _ => return Err("there are too many images".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: ChangeStor,
    }

    const A: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";

    fn parse(words: &[&str]) -> Result<ChangeStor, clap::Error> {
        Line::try_parse_from([&["x"], words].concat()).map(|line| line.options)
    }

    #[test]
    fn what_is_moved_has_to_be_said() {
        for words in [
            &["manta"][..],
            &["manta", "x"],
            &["attic", "--all"],
            &["manta", A, "--all"],
            &["manta", "--all", "-j", "0"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        for words in [&["manta", A][..], &["local", "--all"], &["local", "--from", "manta", "--owner", A]] {
            assert!(parse(words).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn only_files_in_another_storage_are_moved() {
        let options = parse(&["manta", "--all"]).unwrap();
        let image = |files: Value| json!({"uuid": A, "name": "a\u{7}", "files": files});
        let found = to_be_moved(&image(json!([{"stor": "local", "size": 5}])), &options).unwrap();
        assert_eq!((found.name.as_str(), found.size), ("a ", 5));
        for files in [json!([{"stor": "manta", "size": 5}]), json!([]), Value::Null] {
            assert_eq!(to_be_moved(&image(files), &options), None);
        }
    }
}
