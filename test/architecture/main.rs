// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The structure that `docs/architecture.md` describes, checked against the source.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from top to bottom. A room uses only rooms below it.
const ROOMS: [&str; 23] = [
    "adm",
    "manta_setup",
    "config_agent",
    "inspect",
    "server",
    "api",
    "auth",
    "images",
    "jobs",
    "import",
    "db",
    "storage",
    "accounts",
    "sapi",
    "answers",
    "workers",
    "config",
    "console",
    "telemetry",
    "contents",
    "files",
    "platform",
    "manifest",
];

/// Maximum number of lines of a source file, and of a test file.
const MAX_LINES: usize = 500;
const MAX_LINES_OF_TESTS: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms of `images`, from top to bottom. The files beside them are below all rooms.
const ROOMS_OF_IMAGES: [&str; 7] =
    ["integrity", "jobs", "foreign", "lifecycle", "files", "record", "archive"];

/// Returns every Rust file below these folders of the repository, as path and text.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let skipped = ["target", "node_modules"].iter().any(|name| path.ends_with(name));
            if !skipped {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty());
    found
}

/// Returns the room of a file; `None` for `main.rs` and `lib.rs`, which are above all rooms.
fn room_of(path: &Path) -> Option<&str> {
    let name = path.strip_prefix("src").unwrap().components().next()?.as_os_str().to_str()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    if matches!(name, "main" | "lib") { None } else { Some(name) }
}

/// Removes the comments of a source text, because comments may mention any room.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.find("//").map_or(line, |start| &line[..start]));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the rooms that a file refers to, as `crate::room` or in a list after `crate::{`.
fn used_rooms(code: &str) -> Vec<&'static str> {
    let compact: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut used = Vec::new();
    for (start, _) in compact.match_indices("crate::") {
        let rest = &compact[start + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split([',', '}', '{', ' ']).take_while(|part| *part != ";").collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            used.extend(ROOMS.iter().find(|room| **room == &name[..end]));
        }
    }
    used
}

fn height(room: &str) -> usize {
    ROOMS.iter().position(|name| *name == room).unwrap_or_else(|| panic!("{room} is not a room of the list"))
}

#[test]
fn calls_go_down_the_list_of_rooms() {
    for (path, text) in sources(&["src"]) {
        let Some(room) = room_of(&path) else { continue };
        for used in used_rooms(&code(&text)) {
            assert!(
                height(used) >= height(room),
                "{}: {room} uses {used}, which is above it",
                path.display()
            );
        }
    }
}

#[test]
fn within_images_calls_go_down_too() {
    for (path, text) in sources(&["src/images"]) {
        let folder = path.iter().nth(2).unwrap();
        let Some(room) = ROOMS_OF_IMAGES.iter().position(|room| *room == folder) else { continue };
        for above in &ROOMS_OF_IMAGES[..room] {
            let used = code(&text).contains(&format!("crate::images::{above}::"));
            assert!(!used, "{} uses {above}, which is above it", path.display());
        }
    }
}

#[test]
fn every_room_says_what_it_is_for() {
    for room in ROOMS {
        let text = fs::read_to_string(root().join("src").join(room).join("mod.rs")).unwrap();
        let (_license, text) = text.split_once("\n\n").unwrap();
        assert!(text.starts_with("//! "), "{room}");
        let listed = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
        assert!(listed.contains(&format!("`{room}`")), "{room} is missing in docs/architecture.md");
    }
}

#[test]
fn only_images_uses_database_and_storage_together() {
    let uses = |room: &str, used: &str| {
        let files = sources(&["src"]).into_iter().filter(|(path, _)| room_of(path) == Some(room));
        files.into_iter().any(|(_, text)| used_rooms(&code(&text)).contains(&used))
    };
    // The server creates both and passes them on.
    for room in ROOMS.iter().filter(|room| !matches!(**room, "images" | "server")) {
        assert!(!(uses(room, "db") && uses(room, "storage")), "{room}");
    }
    assert!(uses("images", "db") && uses("images", "storage"));
}

#[test]
fn protocols_stay_in_their_rooms() {
    let http = ["axum", "hyper", "http_body", "reqwest"];
    let rules: [(&str, &[&str]); 9] = [
        ("manifest", &["axum", "hyper", "http_body", "moray", "ldap3", "tokio"]),
        ("config", &["axum", "hyper", "http_body", "moray::", "ldap3"]),
        ("images", &http),
        ("jobs", &["axum", "moray::", "ldap3"]),
        ("import", &["axum", "moray::", "ldap3"]),
        ("db", &http),
        ("storage", &http),
        ("accounts", &http),
        ("sapi", &["axum", "moray::", "ldap3"]),
    ];
    for (path, text) in sources(&["src"]) {
        let code = code(&text);
        for (_, words) in rules.iter().filter(|(room, _)| room_of(&path) == Some(room)) {
            for word in *words {
                let used = code.contains(&format!("use {word}")) || code.contains(&format!(" {word}::"));
                assert!(!used, "{} uses {word}", path.display());
            }
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let limits = [
        (MAX_LINES, &["src", "crates"][..]),
        (MAX_LINES_OF_TESTS, &["test", "benches", "fuzz/fuzz_targets"]),
    ];
    for (limit, folders) in limits {
        for (path, text) in sources(folders) {
            let lines = text.lines().count();
            assert!(lines <= limit, "{}: {lines} lines", path.display());
        }
    }
}

#[test]
fn the_service_does_not_contain_the_datacenter_for_tests() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(!dependencies.contains("coal"), "coal is for tests only");
}

#[test]
fn the_check_sees_every_form_of_import() {
    assert_eq!(used_rooms("use crate::api::reply;"), ["api"]);
    assert_eq!(used_rooms("use crate::{\n    api::x,\n    db,\n};"), ["api", "db"]);
    assert_eq!(used_rooms("fn f() { crate::storage::x() }"), ["storage"]);
    assert!(used_rooms(&code("// see crate::api")).is_empty());
}
