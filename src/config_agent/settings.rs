// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The agent's own configuration.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::files;
use crate::manifest::Uuid;
use crate::telemetry::{Level, mask_url};

const DEFAULT_POLL: u64 = 120_000;
const MIN_POLL: u64 = 100;
const MAX_POLL: u64 = 24 * 3600 * 1000;
const DEFAULT_POST_CMD_TIMEOUT: u64 = 60_000;
const MAX_POST_CMD_TIMEOUT: u64 = 3600 * 1000;
const DEFAULT_STATE_DIR: &str = "/var/config-agent/pending";

/// The largest file that is read, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// More instances than a datacenter has.
const MAX_INSTANCES: usize = 64;
const MAX_DIRS: usize = 64;

/// The agent's settings. The keys are those of 4.13.1's agent, except for the last two.
#[derive(Debug)]
pub(super) struct Settings {
    /// `logLevel`.
    pub log_level: Level,
    /// `pollInterval`, in milliseconds in the file: the average time between two passes.
    pub poll_interval: Duration,
    /// `sapi.url`.
    pub sapi_url: Url,
    /// `localManifestDirs`.
    pub dirs: ManifestDirs,
    /// `localMetadata`: takes precedence over SAPI's metadata.
    pub local_metadata: Map<String, Value>,
    /// `autoMetadata`: takes precedence over the zone's own data. For systems without zones.
    pub auto_metadata: Map<String, Value>,
    /// `instances`; by default the one named like the zone.
    pub instances: Vec<Uuid>,
    /// `stateDir`: the directory of data that must survive the process.
    pub state_dir: PathBuf,
    /// `postCmdTimeout`, in milliseconds in the file.
    pub post_cmd_timeout: Duration,
}

/// The directories of an instance's local manifests.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ManifestDirs {
    /// The directories of the only instance.
    One(Vec<PathBuf>),
    /// The directories of each of several instances.
    Each(BTreeMap<Uuid, Vec<PathBuf>>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    log_level: Option<Value>,
    poll_interval: Option<u64>,
    #[serde(default)]
    sapi: SapiFile,
    local_manifest_dirs: Option<ManifestDirs>,
    #[serde(default)]
    local_metadata: Map<String, Value>,
    #[serde(default)]
    auto_metadata: Map<String, Value>,
    #[serde(default)]
    instances: Vec<Uuid>,
    state_dir: Option<PathBuf>,
    post_cmd_timeout: Option<u64>,
}

#[derive(Default, Deserialize)]
struct SapiFile {
    url: Option<String>,
}

impl Settings {
    /// Reads `file`. `sapi_url` overrides SAPI's URL in the file.
    ///
    /// # Errors
    /// What is wrong with the file, with the name of the key.
    pub(super) fn load(file: &Path, sapi_url: Option<&str>) -> Result<Settings, String> {
        let name = file.display();
        let text = files::read_linked(file, MAX_SIZE)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        Settings::parse(&text, sapi_url).map_err(|problem| format!("{name}: {problem}"))
    }

    fn parse(text: &str, sapi_url: Option<&str>) -> Result<Settings, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let url = sapi_url.or(file.sapi.url.as_deref()).ok_or("sapi.url is required")?;
        let dirs = file.local_manifest_dirs.unwrap_or(ManifestDirs::One(Vec::new()));
        let count = match &dirs {
            ManifestDirs::One(dirs) => dirs.len(),
            ManifestDirs::Each(each) => each.values().map(Vec::len).sum(),
        };
        if count > MAX_DIRS {
            return Err(format!("localManifestDirs has more than {MAX_DIRS} directories"));
        }
        if file.instances.len() > MAX_INSTANCES {
            return Err(format!("instances has more than {MAX_INSTANCES} members"));
        }
        if file.instances.len() > 1 && matches!(&dirs, ManifestDirs::One(dirs) if !dirs.is_empty()) {
            return Err(
                "localManifestDirs must name the instance of each directory, for there are several".into()
            );
        }
        Ok(Settings {
            log_level: log_level(file.log_level.as_ref())?,
            poll_interval: millis("pollInterval", file.poll_interval, DEFAULT_POLL, MIN_POLL, MAX_POLL)?,
            sapi_url: sapi(url)?,
            dirs,
            local_metadata: file.local_metadata,
            auto_metadata: file.auto_metadata,
            instances: file.instances,
            state_dir: file.state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            post_cmd_timeout: millis(
                "postCmdTimeout",
                file.post_cmd_timeout,
                DEFAULT_POST_CMD_TIMEOUT,
                1,
                MAX_POST_CMD_TIMEOUT,
            )?,
        })
    }
}

impl ManifestDirs {
    /// Returns the directories of `instance`.
    pub(super) fn of(&self, instance: Uuid) -> &[PathBuf] {
        match self {
            ManifestDirs::One(dirs) => dirs,
            ManifestDirs::Each(each) => each.get(&instance).map_or(&[], Vec::as_slice),
        }
    }
}

fn log_level(level: Option<&Value>) -> Result<Level, String> {
    let text = match level {
        None => return Ok(Level::Info),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    text.parse().map_err(|_| "logLevel must be a Bunyan level, by name or number".to_owned())
}

fn millis(key: &str, given: Option<u64>, default: u64, min: u64, max: u64) -> Result<Duration, String> {
    let millis = given.unwrap_or(default);
    if !(min..=max).contains(&millis) {
        return Err(format!("{key} must be from {min} to {max} milliseconds"));
    }
    Ok(Duration::from_millis(millis))
}

fn sapi(url: &str) -> Result<Url, String> {
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        .ok_or_else(|| format!("sapi.url must be an http or https URL, not {:?}", mask_url(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "4f4a3b64-7e0c-4f24-9b04-6b8a3b1c0001";

    #[test]
    fn what_the_zones_setup_writes_is_enough() {
        let text = r#"{"logLevel": "info", "pollInterval": 120000, "sapi": {"url": "http://10.0.0.2"},
            "localManifestDirs": ["/opt/smartdc/imgapi"]}"#;
        let settings = Settings::parse(text, None).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_secs(120));
        assert_eq!(settings.sapi_url.as_str(), "http://10.0.0.2/");
        assert_eq!(settings.dirs.of(Uuid::NIL), [PathBuf::from("/opt/smartdc/imgapi")]);
        assert!(settings.instances.is_empty());
        let settings = Settings::parse("{}", Some("http://sapi")).unwrap();
        assert_eq!(settings.sapi_url.as_str(), "http://sapi/");
        assert_eq!(settings.log_level, Level::Info);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert!(Settings::load(&path, Some("http://sapi")).unwrap_err().contains("agent.json"));
    }

    #[test]
    fn directories_may_be_told_by_instance() {
        let text = format!(
            r#"{{"sapi": {{"url": "http://s"}}, "instances": ["{INSTANCE}", "{}"],
                "localManifestDirs": {{"{INSTANCE}": ["/a", "/b"]}}}}"#,
            Uuid::NIL
        );
        let settings = Settings::parse(&text, None).unwrap();
        assert_eq!(settings.dirs.of(INSTANCE.parse().unwrap()).len(), 2);
        assert!(settings.dirs.of(Uuid::NIL).is_empty());
    }

    #[test]
    fn mistakes_name_the_key() {
        let table = [
            ("{}".to_owned(), "sapi.url is required"),
            (r#"{"sapi": {"url": "sapi.dc"}}"#.to_owned(), "sapi.url must be an http or https URL"),
            (r#"{"sapi": {"url": "http://s"}, "pollInterval": 0}"#.to_owned(), "pollInterval must be from"),
            (r#"{"sapi": {"url": "http://s"}, "logLevel": "loud"}"#.to_owned(), "logLevel must be"),
            (
                format!(
                    r#"{{"sapi": {{"url": "http://s"}}, "instances": ["{INSTANCE}", "{}"], "localManifestDirs": ["/a"]}}"#,
                    Uuid::NIL
                ),
                "localManifestDirs must name the instance",
            ),
        ];
        for (text, expected) in table {
            let problem = Settings::parse(&text, None).unwrap_err();
            assert!(problem.starts_with(expected), "{text}: {problem}");
        }
    }
}
