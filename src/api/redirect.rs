// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Redirects, including those of the dataset API, which preceded images.

use axum::extract::RawPathParams;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;

use crate::manifest::Uuid;

/// Makes a 301 to `location`.
pub(super) fn moved(location: &str) -> Response {
    let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `GET /datasets` — ListDatasets.
pub(super) async fn list_datasets() -> Response {
    moved("/images")
}

/// `GET /datasets/:arg` — GetDataset.
pub(super) async fn get_dataset(params: RawPathParams) -> Response {
    moved(&target(params.iter().next().map_or("", |(_, dataset)| dataset)))
}

/// Returns the path of the image for a dataset, which is named by its UUID or by a URN `[cloud:creator:]name[:version]`.
fn target(dataset: &str) -> String {
    if dataset.parse::<Uuid>().is_ok() {
        return format!("/images/{dataset}");
    }
    let parts: Vec<&str> = dataset.split(':').collect();
    let (name, version) = match parts[..] {
        [name, version] | [_, _, name, version] => (name, Some(version)),
        [_, _, name] => (name, None),
        _ => (dataset, None),
    };
    let mut query = Serializer::new(String::new());
    query.append_pair("name", name);
    if let Some(version) = version {
        query.append_pair("version", version);
    }
    format!("/images?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_an_image_by_its_uuid_or_its_urn() {
        let uuid = "930896af-bf8c-48d4-885c-6573a94b1853";
        assert_eq!(target(uuid), format!("/images/{uuid}"));
        for (urn, query) in [
            ("base", "name=base"),
            ("base:1.8.1", "name=base&version=1.8.1"),
            ("sdc:sdc:base", "name=base"),
            ("sdc:sdc:base:1.8.1", "name=base&version=1.8.1"),
            ("a:b:c:d:e", "name=a%3Ab%3Ac%3Ad%3Ae"),
            ("a b&c\r\nd", "name=a+b%26c%0D%0Ad"),
            ("", "name="),
        ] {
            assert_eq!(target(urn), format!("/images?{query}"));
        }
    }
}
