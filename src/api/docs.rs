// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/docs/`, `/` and `/favicon.ico`: what a browser asks a server for.

use std::sync::OnceLock;

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use pulldown_cmark::{Options, Parser, html};

use super::fixed::Fixed;
use super::redirect::moved;
use crate::images::{ApiError, ApiResult, Code};

/// A page of the documentation: its name below `/docs/`, its title, and its text in Markdown.
struct Page {
    name: &'static str,
    title: &'static str,
    markdown: &'static str,
    rendered: OnceLock<Fixed>,
}

static PAGES: [Page; 2] = [
    Page {
        name: "index.html",
        title: "Image API",
        markdown: include_str!("../../docs/index.md"),
        rendered: OnceLock::new(),
    },
    Page {
        name: "compatibility.html",
        title: "Differences from sdc-imgapi 4.13.1",
        markdown: include_str!("../../docs/compatibility.md"),
        rendered: OnceLock::new(),
    },
];

const STYLE: &str = "body{max-width:60em;margin:2em auto;padding:0 1em;font-family:sans-serif;line-height:1.4}\
    table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left;vertical-align:top}\
    code{background:#f4f4f4}";

/// `GET /docs/…` — PublicDocs: pages by their exact names; nothing is looked for in files.
pub(super) async fn public_docs(uri: Uri, headers: HeaderMap) -> ApiResult<Response> {
    let name = match uri.path().strip_prefix("/docs/") {
        Some("") | None => PAGES[0].name,
        Some(name) => name,
    };
    let Some(page) = PAGES.iter().find(|page| page.name == name) else {
        return Err(ApiError::new(Code::ResourceNotFound, format!("{} does not exist", uri.path())));
    };
    page.rendered.get_or_init(|| page.render()).respond(&headers)
}

impl Page {
    fn render(&self) -> Fixed {
        let mut text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style></head>\n<body>\n",
            self.title
        );
        html::push_html(&mut text, Parser::new_ext(self.markdown, Options::ENABLE_TABLES));
        text.push_str("</body>\n</html>\n");
        Fixed::new(text, "text/html; charset=utf-8", "public, max-age=3600")
    }
}

/// `GET /` and `GET /docs`.
pub(super) async fn to_docs() -> Response {
    moved("/docs/")
}

/// `GET /favicon.ico` — Favicon.
pub(super) async fn favicon(headers: HeaderMap) -> ApiResult<Response> {
    static FAVICON: OnceLock<Fixed> = OnceLock::new();
    let icon: &'static [u8] = include_bytes!("../../etc/favicon.ico");
    FAVICON.get_or_init(|| Fixed::new(icon, "image/x-icon", "public, max-age=86400")).respond(&headers)
}
