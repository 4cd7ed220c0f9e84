// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The configuration of jobs: the services that carry them out, and the rules for images of VMs.

use std::cmp::Ordering;
use std::time::Duration;

use url::Url;

use super::read::Reader;

const MAX_LIFESPAN_DAYS: u64 = 36_500;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The names in `wfapi.workflows`, without their versions.
const WORKFLOWS: [&str; 2] = ["create-from-vm", "import-remote-image"];

/// Settings of jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// `wfapi`: where jobs run. Without it there are no jobs.
    pub wfapi: Option<Wfapi>,
    /// `vmapi.url`.
    pub vmapi: Option<Url>,
    /// `cnapi.url`.
    pub cnapi: Option<Url>,
    /// `allowLocalCreateImageFromVm`: images of VMs without Manta.
    pub allow_local: bool,
    /// `minImageCreationPlatform`: the lowest platform of servers whose VMs can be made images of.
    pub min_platform: Platform,
    /// `placeholderImageLifespanDays`: how long the placeholder of an unfinished image is kept.
    pub placeholder_lifespan: Duration,
}

/// The Workflow API of the datacenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wfapi {
    /// `wfapi.url` as configured. Clients get it to poll their jobs.
    pub text: String,
    /// `wfapi.url`, parsed.
    pub url: Url,
    /// `wfapi.workflows`: the supported tasks without duplicates; all of them if the key is absent.
    pub workflows: Vec<&'static str>,
    /// `wfapi.forceMd5Check`: replaces a stored workflow whose content differs.
    pub force_md5_check: bool,
    /// `wfapi.forceReplace`: replaces the stored workflows at each start.
    pub force_replace: bool,
}

/// The platform of a compute node: a version such as `7.0`, and the time stamp of its platform image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    version: Vec<u64>,
    text: String,
    stamp: String,
}

impl Platform {
    /// Returns `None` if `version` does not consist of numbers and dots.
    pub fn new(version: &str, stamp: &str) -> Option<Platform> {
        let parts: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
        Some(Platform { version: parts.ok()?, text: version.to_owned(), stamp: stamp.to_owned() })
    }

    /// Returns the version and the time stamp, for messages.
    pub fn describe(&self) -> String {
        format!("{} {}", self.text, self.stamp)
    }
}

impl PartialOrd for Platform {
    fn partial_cmp(&self, other: &Platform) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Platform {
    /// Compares versions by number, so that 10 is greater than 7, and then time stamps.
    fn cmp(&self, other: &Platform) -> Ordering {
        (&self.version, &self.stamp).cmp(&(&other.version, &other.stamp))
    }
}

impl Jobs {
    pub(super) fn read(root: &mut Reader<'_>) -> Jobs {
        let days = root.integer("placeholderImageLifespanDays", 0..=MAX_LIFESPAN_DAYS).unwrap_or_default();
        Jobs {
            wfapi: root.has("wfapi").then(|| wfapi(&mut root.section("wfapi"))).flatten(),
            vmapi: service(root, "vmapi"),
            cnapi: service(root, "cnapi"),
            allow_local: root.flag("allowLocalCreateImageFromVm"),
            min_platform: min_platform(root),
            placeholder_lifespan: DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)),
        }
    }
}

/// Reads the section of the Workflow API; `None` if a template has rendered an empty URL.
fn wfapi(section: &mut Reader<'_>) -> Option<Wfapi> {
    let named = section.texts("workflows");
    let has_all = !section.has("workflows");
    for name in named.iter().filter(|name| !WORKFLOWS.contains(&name.as_str())) {
        let problem = format!("has {name:?}, which is not one of {}", WORKFLOWS.join(", "));
        section.problem("workflows", problem);
    }
    let workflows =
        WORKFLOWS.into_iter().filter(|name| has_all || named.iter().any(|named| named == name)).collect();
    let (force_md5_check, force_replace) = (section.flag("forceMd5Check"), section.flag("forceReplace"));
    let text = section.text("url")?;
    let url = http_url(section, "url")?;
    Some(Wfapi { text, url, workflows, force_md5_check, force_replace })
}

fn service(root: &mut Reader<'_>, key: &str) -> Option<Url> {
    http_url(&mut root.section(key), "url")
}

/// Reads the `http` or `https` URL under `key`. It must not have a password, because it may be logged, and Triton's
/// services need none.
pub(super) fn http_url(reader: &mut Reader<'_>, key: &str) -> Option<Url> {
    let text = reader.text(key)?;
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.password().is_none());
    if url.is_none() {
        reader.problem(key, "must be an http or https URL without a password");
    }
    url
}

fn min_platform(root: &mut Reader<'_>) -> Platform {
    let parts = root.texts("minImageCreationPlatform");
    let platform = match parts.as_slice() {
        [version, stamp] => Platform::new(version, stamp),
        _ => None,
    };
    platform.unwrap_or_else(|| {
        root.problem("minImageCreationPlatform", "must be a version and a platform's time stamp");
        Platform { version: Vec::new(), text: String::new(), stamp: String::new() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_compared_by_number_and_then_by_time() {
        let platform = |version: &str, stamp: &str| Platform::new(version, stamp).unwrap();
        let least = platform("7.0", "20130917T001310Z");
        for newer in [
            platform("7.0", "20130917T001310Z"),
            platform("10.0", "20130101T000000Z"),
            platform("7.0", "2026"),
        ] {
            assert!(newer >= least, "{newer:?}");
        }
        for older in [platform("6.5", "20260101T000000Z"), platform("7.0", "20130917T001309Z")] {
            assert!(older < least, "{older:?}");
        }
        assert_eq!(Platform::new("7.x", "20130917T001310Z"), None);
    }
}
