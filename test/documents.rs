// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks that the files, log messages and metrics in the documents exist. It needs no network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Documents outside `docs/`.
const OTHERS: [&str; 4] = ["README.md", "CHANGES.md", "CONTRIBUTING.md", "test/conformance/README.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let in_docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let in_docs = in_docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    in_docs.chain(OTHERS.map(|name| root().join(name))).collect()
}

/// Link targets of a page, and the anchors of its headings in the style of GitHub and mdBook.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut page = Page::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.to_string()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => page.add_anchor(&heading.take().unwrap_or_default()),
                _ => {}
            }
        }
        page
    }

    fn add_anchor(&mut self, heading: &str) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }
}

#[test]
fn links_lead_to_files_and_headings_that_there_are() {
    for document in documents() {
        for link in Page::read(&document).links {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !anchor.is_empty() {
                let has_it = Page::read(&target).anchors.contains(anchor);
                assert!(has_it, "{}: there is no heading for {link}", document.display());
            }
        }
    }
}

#[test]
fn the_table_of_contents_has_every_page() {
    let summary = Page::read(&root().join("docs/SUMMARY.md")).links;
    for document in documents().iter().filter(|path| path.parent().unwrap().ends_with("docs")) {
        let name = document.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.iter().any(|link| link == name), "{name}");
    }
}

/// Returns the cells of the rows of the first table after a heading.
fn table_after(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs").join(document)).unwrap();
    let rest = text.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let lines =
        rest.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn sources() -> Vec<String> {
    let mut texts = Vec::new();
    let mut open = vec![root().join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// Returns the levels at which a message is logged, from the macros before the message.
fn levels(sources: &[String], message: &str) -> BTreeSet<&'static str> {
    let mut levels = BTreeSet::new();
    for text in sources {
        for (at, _) in text.match_indices(&format!("\"{message}\"")) {
            let before = &text[..at];
            let macros = [("tracing::error!(", "50"), ("tracing::warn!(", "40"), ("tracing::info!(", "30")];
            let nearest = macros.iter().filter_map(|(name, level)| Some((before.rfind(name)?, *level))).max();
            levels.extend(nearest.map(|(_, level)| level));
        }
    }
    levels
}

#[test]
fn the_log_messages_of_the_guide_are_logged_at_the_levels_that_it_says() {
    let sources = sources();
    let rows = table_after("operator-guide.md", "### Log messages");
    assert!(rows.len() > 10);
    for row in rows {
        let message = code(&row[0])[0];
        assert!(levels(&sources, message).contains(&*row[1]), "{message} is not logged at level {}", row[1]);
    }
}

#[test]
fn the_metrics_of_the_guide_are_exported() {
    let sources = sources();
    let rows = table_after("operator-guide.md", "## Alarms and log messages");
    let names = rows.iter().flat_map(|row| code(&row[0]));
    let names: Vec<&str> =
        names.filter(|name| name.starts_with("imgapi_") || name.starts_with("http_")).collect();
    assert!(names.len() > 10);
    for name in names {
        assert!(sources.iter().any(|text| text.contains(&format!("\"{name}\""))), "{name}");
    }
}

#[test]
fn the_codes_of_the_api_are_those_of_the_source() {
    let source = fs::read_to_string(root().join("src/images/error_code.rs")).unwrap();
    let row = |line: &str| -> Option<(String, String)> {
        let (code, status) = line.split_once(" => (\"")?.1.split_once("\", ")?;
        Some((code.to_owned(), status.trim_end_matches("),").to_owned()))
    };
    let defined: BTreeSet<_> = source.lines().filter_map(row).collect();
    let rows = table_after("index.md", "## Codes");
    let documented =
        rows.iter().flat_map(|row| code(&row[0]).into_iter().map(|code| (code.to_owned(), row[1].clone())));
    assert!(defined.len() > 10);
    assert_eq!(documented.collect::<BTreeSet<_>>(), defined);
}

/// These routes are pages and redirects. They need no example, because other tests cover them.
const WITHOUT_EXAMPLE: [&str; 2] = ["PublicDocs", "ListDatasets, GetDataset"];

#[test]
fn every_route_has_a_section_with_an_example() {
    let text = fs::read_to_string(root().join("docs/index.md")).unwrap();
    let rows = table_after("index.md", "## Routes");
    let names =
        rows.iter().flat_map(|row| row[0].split('[').skip(1)).map(|link| link.split(']').next().unwrap());
    let names: Vec<&str> = names.filter(|name| !WITHOUT_EXAMPLE.contains(name)).collect();
    assert!(names.len() > 10);
    for name in names {
        let section =
            text.split(&format!("\n### {name}\n")).nth(1).unwrap_or_else(|| panic!("no section {name}"));
        let section = section.split("\n### ").next().unwrap();
        assert!(section.contains("\n```http"), "{name} has no example");
    }
}
