// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi inspect`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::support::{TestApp, tests, within};

tests! {
    a_stream_is_described_for_people_and_programs,
    a_compound_stream_is_described_by_its_parts,
    damage_is_another_status,
    what_follows_the_end_is_named,
    what_is_no_stream_is_told_as_it_is,
    what_cannot_be_read_is_a_failure,
    a_large_file_is_read_with_little_memory,
}

const BASE: &str = "big-endian-all-drr-types-base-NATIVE";
const INCREMENTAL: &str = "little-endian-all-drr-types-incr-NATIVE";

fn packed(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(format!("crates/zfs-stream/tests/data/{name}.zsend.bz2"))
}

fn stream(name: &str) -> Vec<u8> {
    let mut stream = Vec::new();
    let file = fs::File::open(packed(name)).unwrap();
    bzip2::read::BzDecoder::new(file).read_to_end(&mut stream).unwrap();
    stream
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.arg("inspect").args(words).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(mut command: Command) -> Output {
    within("imgapi inspect", command.output()).await.unwrap()
}

/// Inspects these bytes through a pipe, and returns the status and the JSON.
async fn inspected(bytes: &[u8]) -> (i32, Value) {
    let mut child = command(&["-j", "-"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let written = async {
        input.write_all(bytes).await.unwrap();
        drop(input);
    };
    let (output, ()) =
        within("imgapi inspect", async { tokio::join!(child.wait_with_output(), written) }).await;
    let output = output.unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

async fn a_stream_is_described_for_people_and_programs(_app: &TestApp) {
    let file = packed(BASE);
    let output = run(command(&[file.to_str().unwrap()])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "Compression   bzip2",
        "Uncompressed  68696 bytes",
        "Contents      ZFS stream",
        "Snapshot      test/source@baseline",
        "Type          file system",
        "Dataset GUID  11722431361444779991",
        "Origin GUID   none (the stream is full)",
        "Features      sa-spill, embedded-data, lz4, redacted, compressed",
        "Byte order    big-endian",
        "Sums          right",
        "Warning       the stream is redacted: parts of the data are missing by intention",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
    }
    let (status, report) = inspected(&gzipped(&stream(BASE))).await;
    assert_eq!((status, &report["damaged"], &report["compression"]), (0, &false.into(), &"gzip".into()));
    assert_eq!(report["uncompressed_size"], 68_696);
    let part = &report["stream"]["parts"][0];
    assert_eq!((&part["guid"], &part["type"]), (&"11722431361444779991".into(), &"zfs".into()));
    assert!(part.get("from_guid").is_none() && part["incremental"] == false, "{part}");
    assert_eq!(
        (&report["stream"]["records"]["WRITE"], &report["stream"]["sums_right"]),
        (&8.into(), &true.into())
    );
}

async fn a_compound_stream_is_described_by_its_parts(_app: &TestApp) {
    let (status, report) = inspected(&stream(INCREMENTAL)).await;
    let parts = report["stream"]["parts"].as_array().unwrap();
    assert_eq!((status, report["stream"]["compound"].as_bool(), parts.len()), (0, Some(true), 2));
    assert_eq!(
        (&parts[0]["guid"], &parts[0]["from_guid"]),
        (&"10829275695595115161".into(), &"4763970001506133364".into())
    );
    assert_eq!((&parts[0]["incremental"], &parts[0]["clone"]), (&true.into(), &true.into()));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("compound") && warnings.contains("raw"), "{warnings}");
}

async fn damage_is_another_status(_app: &TestApp) {
    let whole = stream(BASE);
    let mut flipped = whole.clone();
    flipped[40_000] ^= 4;
    let packed = gzipped(&whole);
    for (bytes, expected) in [
        (&flipped[..], "the sum of"),
        (&gzipped(&flipped), "the sum of"),
        (&whole[..60_000], "cut off after 60000 bytes"),
        (&packed[..packed.len() - 9], "cannot be decompressed with gzip"),
    ] {
        let (status, report) = inspected(bytes).await;
        assert_eq!((status, &report["damaged"]), (1, &true.into()));
        assert_eq!(report["damage"].as_array().unwrap().len(), 1, "{report}");
        assert!(report["damage"][0].as_str().unwrap().contains(expected), "{report}");
        assert_eq!(report["stream"]["sums_right"], false);
    }
}

async fn what_follows_the_end_is_named(_app: &TestApp) {
    let packed = gzipped(&stream(BASE));
    let then = |more: &[u8]| [&packed[..], more].concat();
    let (status, report) = inspected(&then(&[0; 512])).await;
    assert_eq!(
        (status, report.get("following"), report["size"].as_u64()),
        (0, None, Some(packed.len() as u64 + 512))
    );
    let (status, report) = inspected(&then(&[&[0; 8][..], &packed].concat())).await;
    assert_eq!((status, &report["following"]["kind"]), (0, &"hidden-member".into()));
    assert_eq!(report["following"]["offset"], packed.len() as u64);
    let (status, report) = inspected(&[&stream(BASE)[..], b"more"].concat()).await;
    assert_eq!(status, 0);
    assert!(report["warnings"].to_string().contains("4 bytes follow the end of the ZFS stream"), "{report}");
}

async fn what_is_no_stream_is_told_as_it_is(_app: &TestApp) {
    for (bytes, contents) in [(&b""[..], "empty"), (b"<html>404</html>", "html"), (b"some text", "unknown")] {
        let (status, report) = inspected(bytes).await;
        assert_eq!((status, &report["contents"], report.get("stream")), (0, &contents.into(), None));
    }
}

async fn what_cannot_be_read_is_a_failure(_app: &TestApp) {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().await.unwrap().success());
    for (file, reason) in [
        (directory.path().join("none"), "No such file"),
        (directory.path().to_owned(), "is a directory, and no regular file"),
        (fifo, "is a FIFO, and no regular file"),
        ("/dev/zero".into(), "is a device, and no regular file"),
    ] {
        let output = run(command(&[file.to_str().unwrap()])).await;
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.starts_with("imgapi: cannot read ") && message.contains(reason), "{message}");
    }
    let mut from_device = command(&["-"]);
    from_device.stdin(Stdio::from(fs::File::open("/dev/zero").unwrap()));
    assert_eq!(run(from_device).await.status.code(), Some(2));
    assert_eq!(run(command(&[])).await.status.code(), Some(2));
}

/// The address space that the command may have is smaller than the file.
async fn a_large_file_is_read_with_little_memory(_app: &TestApp) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sparse");
    let sparse = fs::File::create(&file).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let mut shell = Command::new("sh");
    let script = "ulimit -v 524288; exec \"$0\" inspect -j \"$1\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_imgapi")]).arg(&file).kill_on_drop(true);
    let output = run(shell).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!((&report["size"], &report["contents"]), (&(1_u64 << 30).into(), &"unknown".into()));
}
