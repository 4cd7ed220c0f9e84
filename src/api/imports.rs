// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `POST /images/:uuid?action=import` — AdminImportImage.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use semver::Version;

use super::AppState;
use super::body::Parsed;
use super::context::Context;
use super::extract::ImagePath;
use super::fetch::{job_of, parse_source};
use super::reply::reply;
use crate::images::{self, ApiError, ApiResult, ImportOptions};
use crate::manifest::import::check_uuid;
use crate::manifest::{ApiForm, ApiVersion};

/// Imports the manifest in the body, or the one at a `source`.
pub(super) async fn import(
    state: &AppState,
    context: &Context,
    headers: &HeaderMap,
    path: ImagePath,
    body: Parsed,
) -> ApiResult<Response> {
    context.params.operator_only()?;
    if let Some(source) = context.params.one("source")? {
        return import_from_source(state, context, path, source).await;
    }
    let manifest = body.into_object()?;
    check_uuid(&manifest, path.uuid).map_err(|problem| ApiError::invalid_parameters(vec![problem]))?;
    let options = ImportOptions {
        channel: path.channel,
        skip_owner_check: context.params.flag_unless_empty("skip_owner_check")?,
        fetched: false,
        job: None,
        by_old_imgadm: is_old_imgadm(headers),
    };
    let image = images::import(state.app(), path.uuid, manifest, options).await?;
    Ok(reply(&image, &context.form(state, false))?.into_response())
}

/// Imports the manifest of another IMGAPI; the body is ignored. As in 4.13.1, the answer has the newest form, whatever
/// version the client asks for.
async fn import_from_source(
    state: &AppState,
    context: &Context,
    path: ImagePath,
    source: &str,
) -> ApiResult<Response> {
    let options = ImportOptions {
        channel: path.channel,
        skip_owner_check: context.params.flag_unless_empty("skip_owner_check")?,
        fetched: true,
        job: job_of(context)?,
        by_old_imgadm: false,
    };
    let (source, id) = (parse_source(source)?, context.id_text());
    let image = images::import_from_source(state.app(), path.uuid, &source, &id, options).await?;
    let form = ApiForm { version: ApiVersion::V2, ..context.form(state, false) };
    Ok(reply(&image, &form)?.into_response())
}

/// The first version of `imgadm` that writes the correct lowest platform of an LX image.
const FIXED: Version = Version::new(3, 7, 4);

/// Returns whether the client is `imgadm/<version> …` of a version before [`FIXED`].
fn is_old_imgadm(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let version = agent.strip_prefix("imgadm/").and_then(|rest| rest.split(' ').next());
    version.and_then(|version| version.parse::<Version>().ok()).is_some_and(|version| version < FIXED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imgadm_tells_its_version() {
        let is_old = |agent: &'static str| {
            is_old_imgadm(&HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]))
        };
        assert!(is_old("imgadm/3.7.3 (node/0.10.48; OpenSSL/1.0.2o)"));
        assert!(is_old("imgadm/2.10.0"));
        for other in ["imgadm/3.7.4 (x)", "imgadm/3.10.0", "imgadm/x", "curl/3.7.3", "imgadm", ""] {
            assert!(!is_old(other), "{other}");
        }
        assert!(!is_old_imgadm(&HeaderMap::new()));
    }
}
