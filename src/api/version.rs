// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use axum::http::HeaderMap;
use semver::Version;

use super::version_range::Range;
use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::ApiVersion;

const ACCEPT_VERSION: &str = "accept-version";

/// The longest range that is parsed.
const MAX_RANGE: usize = 256;

/// Returns the version for the request's `Accept-Version`, a range in npm's notation.
///
/// Without the header the range is `~1`. An empty header means the value of `X-Api-Version` if that is sent, and otherwise `*`.
pub(super) fn negotiate(headers: &HeaderMap) -> ApiResult<ApiVersion> {
    if !headers.contains_key(ACCEPT_VERSION) {
        return Ok(ApiVersion::V1);
    }
    let requested = requested(headers);
    let invalid =
        || ApiError::new(Code::InvalidVersion, format!("{requested:?} is not supported by this server"));
    if requested.len() > MAX_RANGE {
        return Err(invalid());
    }
    let range = Range::parse(&requested).ok_or_else(invalid)?;
    let satisfied = |major| range.contains(&Version::new(major, 0, 0));
    match (satisfied(2), satisfied(1)) {
        (true, _) => Ok(ApiVersion::V2),
        (false, true) => Ok(ApiVersion::V1),
        (false, false) => Err(invalid()),
    }
}

/// Returns the range as the client sent it, or the default.
pub(super) fn requested(headers: &HeaderMap) -> String {
    let text = |name| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        // Node.js joins a header that is sent several times.
        let text = values.collect::<Vec<_>>().join(", ").trim().to_owned();
        headers.contains_key(name).then_some(text)
    };
    match text(ACCEPT_VERSION) {
        None => "~1".into(),
        Some(range) if range.is_empty() => text("x-api-version").unwrap_or_else(|| "*".into()),
        Some(range) => range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(range: Option<&'static str>) -> Result<ApiVersion, Code> {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert("accept-version", range.parse().unwrap());
        }
        negotiate(&headers).map_err(|error| error.code())
    }

    #[test]
    fn ranges_choose_the_highest_version() {
        assert_eq!(version(None), Ok(ApiVersion::V1));
        for range in ["*", "~2", ">=1", "2.0.0", "", "1.x || 2.x", "^2"] {
            assert_eq!(version(Some(range)), Ok(ApiVersion::V2), "{range:?}");
        }
        for range in ["~1", "1", "1.0.0", "<2", "^1.0.0"] {
            assert_eq!(version(Some(range)), Ok(ApiVersion::V1), "{range:?}");
        }
        for range in ["~99", "~3", "garbage", "1.5.0", "%", "1.0.0 2.0.0"] {
            assert_eq!(version(Some(range)), Err(Code::InvalidVersion), "{range:?}");
        }
    }

    #[test]
    fn several_ranges_are_none() {
        let mut headers = HeaderMap::new();
        headers.append("accept-version", "~1".parse().unwrap());
        headers.append("accept-version", "~2".parse().unwrap());
        assert_eq!(negotiate(&headers).map_err(|error| error.code()), Err(Code::InvalidVersion));
    }

    #[test]
    fn an_empty_range_gives_way_to_the_older_header() {
        let mut headers = HeaderMap::new();
        headers.insert("accept-version", "".parse().unwrap());
        headers.insert("x-api-version", "~1".parse().unwrap());
        assert_eq!(negotiate(&headers).unwrap(), ApiVersion::V1);
    }
}
