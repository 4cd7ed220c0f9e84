// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/docs/`, `/` and `/favicon.ico`: the paths that browsers request.

use std::sync::OnceLock;

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::redirect::moved;
use super::static_content::StaticContent;
use crate::images::{ApiError, ApiResult, Code};

/// A page of the documentation. Its name below `/docs/`, without `.html`, is also the name of its file, without `.md`.
struct Page {
    name: &'static str,
    title: &'static str,
    markdown: &'static str,
    rendered: OnceLock<StaticContent>,
}

static PAGES: [Page; 4] = [
    Page::new("index", "Image API", include_str!("../../docs/index.md")),
    Page::new("compatibility", "Differences from 4.13.1", include_str!("../../docs/compatibility.md")),
    Page::new("configuration", "Configuration", include_str!("../../docs/configuration.md")),
    Page::new("operator-guide", "Operator guide", include_str!("../../docs/operator-guide.md")),
];

const STYLE: &str = "body{max-width:60em;margin:2em auto;padding:0 1em;font-family:sans-serif;line-height:1.4}\
    table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left;vertical-align:top}\
    code,pre{background:#f4f4f4}pre{overflow:auto}";

/// `GET /docs/…` — PublicDocs: serves pages by their exact names. No files are read.
pub(super) async fn public_docs(uri: Uri, headers: HeaderMap) -> ApiResult<Response> {
    let name = match uri.path().strip_prefix("/docs/") {
        Some("") | None => Some(PAGES[0].name),
        Some(file) => file.strip_suffix(".html"),
    };
    let Some(page) = PAGES.iter().find(|page| Some(page.name) == name) else {
        return Err(ApiError::new(Code::ResourceNotFound, format!("{} does not exist", uri.path())));
    };
    page.rendered.get_or_init(|| page.render()).respond(&headers)
}

impl Page {
    const fn new(name: &'static str, title: &'static str, markdown: &'static str) -> Page {
        Page { name, title, markdown, rendered: OnceLock::new() }
    }

    fn render(&self) -> StaticContent {
        let mut events: Vec<Event<'_>> = Parser::new_ext(self.markdown, Options::ENABLE_TABLES).collect();
        let contents = add_anchors(&mut events);
        events.iter_mut().for_each(lead_to_pages);
        let after_title = events.iter().position(|event| matches!(event, Event::End(TagEnd::Heading(_))));
        let rest = events.split_off(after_title.map_or(0, |title| title + 1));
        let mut text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style></head>\n<body>\n",
            self.title
        );
        let pages: Vec<_> =
            PAGES.iter().map(|page| format!("[{}]({}.html)", page.title, page.name)).collect();
        html::push_html(&mut text, Parser::new(&pages.join(" · ")));
        html::push_html(&mut text, events.into_iter());
        html::push_html(&mut text, Parser::new(&contents));
        html::push_html(&mut text, rest.into_iter());
        text.push_str("</body>\n</html>\n");
        StaticContent::new(text, "text/html; charset=utf-8", "public, max-age=3600")
    }
}

/// Adds an anchor to each heading, and returns a table of contents in Markdown.
fn add_anchors(events: &mut [Event<'_>]) -> String {
    let mut contents = String::new();
    let (mut start, mut title) = (0, String::new());
    for index in 0..events.len() {
        match &events[index] {
            Event::Start(Tag::Heading { .. }) => (start, title) = (index, String::new()),
            Event::Text(text) | Event::Code(text) => title.push_str(text),
            Event::End(TagEnd::Heading(level)) => {
                let (anchor, level) = (anchor_of(&title), *level);
                match level {
                    HeadingLevel::H2 => contents.push_str(&format!("- [{title}](#{anchor})\n")),
                    HeadingLevel::H3 => contents.push_str(&format!("  - [{title}](#{anchor})\n")),
                    _ => {}
                }
                if let Event::Start(Tag::Heading { id, .. }) = &mut events[start] {
                    *id = Some(anchor.into());
                }
            }
            _ => {}
        }
    }
    contents
}

/// Returns the anchor of a heading, in the same way as other renderers of Markdown, so that links work everywhere.
fn anchor_of(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Replaces a link to the file of a page by a link to the page.
fn lead_to_pages(event: &mut Event<'_>) {
    let Event::Start(Tag::Link { dest_url, .. }) = event else { return };
    let (file, anchor) = dest_url.split_at(dest_url.find('#').unwrap_or(dest_url.len()));
    if let Some(page) = PAGES.iter().find(|page| file.strip_suffix(".md") == Some(page.name)) {
        *dest_url = format!("{}.html{anchor}", page.name).into();
    }
}

/// `GET /` and `GET /docs`.
pub(super) async fn to_docs() -> Response {
    moved("/docs/")
}

/// `GET /favicon.ico` — Favicon.
pub(super) async fn favicon(headers: HeaderMap) -> ApiResult<Response> {
    static FAVICON: OnceLock<StaticContent> = OnceLock::new();
    let icon: &'static [u8] = include_bytes!("../../etc/favicon.ico");
    FAVICON
        .get_or_init(|| StaticContent::new(icon, "image/x-icon", "public, max-age=86400"))
        .respond(&headers)
}
