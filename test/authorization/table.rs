// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Parses `table.txt`.

use imgapi::api::{Route, mounted};
use imgapi::auth::AuthRequirement;
use imgapi::config::Config;
use reqwest::Method;
use serde_json::json;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) target: &'static str,
    pub(crate) image: &'static str,
    /// The status of the answer for callers who have permission.
    pub(crate) answer: u16,
    /// For each mode, the expected result of each caller.
    pub(crate) fates: [&'static str; 3],
    pub(crate) body: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Row {
        let cells: Vec<&str> = line.splitn(7, '|').map(str::trim).collect();
        let [request, image, answer, dc, public, private, rest @ ..] = cells.as_slice() else {
            panic!("a row is too short: {line}")
        };
        let fates = [*dc, *public, *private];
        assert!(fates.iter().all(|fates| fates.len() == super::cells::CALLERS.len()), "{line}");
        let (method, target) = request.split_once(' ').unwrap();
        Row {
            method: method.parse().unwrap(),
            target,
            image,
            answer: answer.parse().unwrap(),
            fates,
            body: rest.first().copied().unwrap_or_default(),
        }
    }

    /// Returns the path as in the server's table of routes.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let lines = include_str!("table.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Row::parse).collect()
}

/// Returns the routes of all modes; those outside a datacenter with channels.
fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for mode in ["dc", "public", "private"] {
        let channels = json!([{"name": "a", "description": "a", "default": true}]);
        let config = json!({"mode": mode, "authType": "none", "datacenterName": "a", "databaseType": "local",
            "channels": if mode == "dc" { json!(null) } else { channels },
            "ufds": {"url": "ldaps://a", "bindDN": "cn=a", "bindPassword": "a"}});
        let config = Config::from_instance(config.as_object().unwrap().clone()).unwrap();
        routes.extend(mounted(&config));
    }
    routes
}

#[test]
fn every_route_has_a_row() {
    let rows = rows();
    for route in routes() {
        let found = rows.iter().any(|row| row.method == route.method && row.path() == route.path);
        assert!(found, "{} {} has no row in the authorization table", route.method, route.path);
    }
}

#[test]
fn every_row_is_of_a_route() {
    let routes = routes();
    for row in rows() {
        let found = routes.iter().any(|route| row.method == route.method && row.path() == route.path);
        assert!(found, "there is no route {} {}", row.method, row.path());
    }
}

#[test]
fn only_reads_are_for_everybody() {
    for route in routes() {
        let reads = matches!(route.method, Method::GET | Method::HEAD);
        assert!(reads || route.requirement == AuthRequirement::Strict, "{route:?}");
    }
}
