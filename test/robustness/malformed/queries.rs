// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Invalid paths and parameters.

use super::{Case, Images};
use crate::support::raw::Exchange;

/// Parameters of ListImages that may occur only once.
const SINGLE: [&str; 11] =
    ["account", "owner", "name", "version", "os", "type", "state", "public", "sort", "limit", "marker"];

/// Values that are invalid for the ListImages parameter of that name.
const LIST_VALUES: [&str; 24] = [
    "limit=-1",
    "limit=1.5",
    "limit=abc",
    "limit=1e999",
    "limit=0x",
    "limit=%00",
    "sort=name",
    "sort=published_at.up",
    "sort=%ff",
    "sort=published_at.up.asc",
    "state=ACTIVE",
    "state=gone",
    "state=%00",
    "public=maybe",
    "public=TRUE",
    "public=1",
    "public=",
    "marker=yesterday",
    "marker=00000000-0000-0000-0000-000000000001",
    "marker=%ff%fe",
    "inclAdminFields=yes",
    "inclAdminFields[]=true",
    "tag.a=1&tag.a=2",
    "tag.a[b]=1",
];

/// Texts that are not UUIDs.
const NO_UUIDS: [&str; 14] = [
    "x",
    "C58161C0-2547-11E2-A75E-9FDCA1940570",
    "c58161c0254711e2a75e9fdca1940570",
    "{c58161c0-2547-11e2-a75e-9fdca1940570}",
    "urn:uuid:c58161c0-2547-11e2-a75e-9fdca1940570",
    "c58161c0-2547-11e2-a75e-9fdca194057",
    "c58161c0-2547-11e2-a75e-9fdca19405700",
    "c58161c0-2547-11e2-a75e-9fdca194057g",
    "%00",
    "%c3%a9",
    "..%2f..%2fetc%2fpasswd",
    "*)(uuid=*",
    "null",
    "[object%20Object]",
];

const BAD_ESCAPES: [&str; 7] = ["%", "%2", "%zz", "%ff", "%c3%28", "a%", "%u0041"];

/// Methods and rests of paths that begin with `/images/`.
const IMAGE_ROUTES: [(&str, &str); 6] = [
    ("GET", ""),
    ("POST", "?action=activate"),
    ("DELETE", ""),
    ("GET", "/file"),
    ("PUT", "/file?compression=gzip"),
    ("POST", "?action=update"),
];

pub(super) fn cases(images: &Images) -> Vec<Case> {
    let mut lines = listing();
    for text in NO_UUIDS.into_iter().chain(BAD_ESCAPES) {
        for (method, rest) in IMAGE_ROUTES {
            lines.push(format!("{method} /images/{text}{rest}"));
        }
    }
    lines.extend(accounts(images));
    lines.extend(actions(images));
    lines.extend(uploads(images));
    lines
        .extend(["GET //x//", "GET /images/a/b/c/d", "GET /ping/", "GET /ping?error[]=x"].map(str::to_owned));
    let case = |line: String| {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        Case::new(line, Exchange::of(request).kept_open())
    };
    lines.into_iter().map(case).collect()
}

fn listing() -> Vec<String> {
    let mut queries: Vec<String> = LIST_VALUES.map(str::to_owned).into();
    for name in SINGLE {
        for form in ["{}=a&{}=b", "{}[]=a", "{}[a]=b", "{}%5Ba%5D=b", "{}[a][b]=c", "{}=a&{}[0]=a"] {
            queries.push(form.replace("{}", name));
        }
    }
    queries.into_iter().map(|query| format!("GET /images?{query}")).collect()
}

/// Returns requests with invalid accounts, on every route that checks them. A list treats such an account as one without images.
fn accounts(images: &Images) -> Vec<String> {
    let Images { open, active } = images;
    let targets = [
        format!("GET /images/{active}?"),
        format!("GET /images/{active}/file?"),
        format!("PUT /images/{open}/file?compression=gzip&"),
        format!("POST /images/{open}?action=activate&"),
        format!("DELETE /images/{open}?"),
    ];
    let owner = "930896af-bf8c-48d4-885c-6573a94b1853";
    let values = [
        "account=x".to_owned(),
        "account=%00".to_owned(),
        format!("account={}", owner.to_uppercase()),
        format!("account={owner}&account={owner}"),
        format!("account[]={owner}"),
        format!("account={owner}%20"),
        "account=*".to_owned(),
    ];
    targets.iter().flat_map(|target| values.iter().map(move |value| format!("{target}{value}"))).collect()
}

/// Returns requests with actions that are unknown, missing, or not possible for this image.
fn actions(images: &Images) -> Vec<String> {
    let Images { open, active } = images;
    let queries = [
        "",
        "?action=",
        "?action=x",
        "?action=Activate",
        "?action=activate&action=activate",
        "?action[]=activate",
        "?action=activate%00",
        "?action=import",
        "?action=export",
        "?action=update",
        "?actions=activate",
        "?action=toString",
        "?action=__proto__",
        "?action=%ff",
        "?action=add-acl",
    ];
    let mut lines = Vec::new();
    for query in queries {
        let targets = ["/images", &format!("/images/{open}"), &format!("/images/{active}")];
        lines.extend(targets.map(|target| format!("POST {target}{query}")));
    }
    lines.push(format!("POST /images/{active}?action=activate"));
    lines.push(format!("POST /images/{open}?action=activate"));
    lines
}

fn uploads(images: &Images) -> Vec<String> {
    let Images { open, active } = images;
    let queries = [
        "",
        "?compression",
        "?compression=",
        "?compression=zip",
        "?compression=GZIP",
        "?compression=gzip&compression=gzip",
        "?compression[]=gzip",
        "?compression=gzip%00",
        "?compression=gzip&sha1=a&sha1=b",
        "?compression=gzip&sha1[]=a",
        "?compression=gzip&storage=tape",
        "?compression=gzip&storage[]=local",
        "?compression=gzip&dataset_guid=1&dataset_guid=2",
        "?compression=gzip",
    ];
    let targets = [open, active].map(|uuid| format!("PUT /images/{uuid}/file"));
    let mut lines: Vec<_> =
        targets.iter().flat_map(|target| queries.map(|query| format!("{target}{query}"))).collect();
    for query in ["?index=5", "?index=99999999999999999999999", "?index[]=0", "?index=0&index=0"] {
        lines.push(format!("GET /images/{active}/file{query}"));
    }
    lines.push(format!("GET /images/{open}/file"));
    lines
}
