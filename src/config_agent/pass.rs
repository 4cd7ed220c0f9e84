// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One pass: asks SAPI, renders the files, writes those that have changed, and runs their commands.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::contents::{Contents, contents};
use super::file::{FileAction, Target};
use super::manifests::{MAX_MANIFESTS, Manifest, read_local, resolve};
use super::order::{Order, is_named, order};
use super::pending::Pending;
use super::post_cmd::{self, CommandEnd};
use super::secrets::Secrets;
use super::settings::Settings;
use super::zone;
use crate::manifest::Uuid;
use crate::sapi::{ConfigAnswer, InstanceConfig, Sapi, SapiError};
use crate::telemetry::err;

/// The most bytes of all files of an instance together; the last one may exceed it.
const MAX_TOTAL: usize = 64 * 1024 * 1024;

/// The agent: its settings, and its memory of earlier passes.
pub(super) struct Agent {
    settings: Settings,
    sapi: Sapi,
    instances: Vec<Instance>,
    pending: Pending,
}

/// What the agent remembers of an instance.
struct Instance {
    uuid: Uuid,
    /// The etag of the metadata that all files were made from.
    etag: Option<String>,
    /// The local manifests that all files were made from.
    local: Vec<Manifest>,
    auto: Option<Map<String, Value>>,
}

/// The result of a pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Files that were written, or whose mode or owner was corrected.
    pub changed: usize,
    /// Files, manifests and instances with a problem. Each has been logged.
    pub failed: usize,
    /// Whether SAPI has a problem, so that another attempt is worthwhile.
    pub away: bool,
}

/// Everything that a pass knows of an instance.
pub(super) struct InstanceData {
    pub manifests: Vec<Manifest>,
    pub metadata: Map<String, Value>,
    pub secrets: Secrets,
    /// The number of invalid manifests.
    pub failed: usize,
    etag: Option<String>,
    local: Vec<Manifest>,
}

/// Why there is nothing to render.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingToRender {
    #[error("SAPI does not know the instance {0}: is it the UUID of a zone of this datacenter?")]
    Unknown(Uuid),
    #[error(transparent)]
    Sapi(SapiError),
    #[error("{0}")]
    Zone(String),
    #[error("the process ends")]
    End,
}

impl Agent {
    /// # Errors
    /// It is unknown which instance this is, or no HTTP client can be made.
    pub(super) async fn new(settings: Settings) -> Result<Agent, String> {
        let user_agent = concat!("config-agent/", env!("CARGO_PKG_VERSION"));
        let sapi = Sapi::new(settings.sapi_url.clone(), user_agent).map_err(|error| error.to_string())?;
        let instances = zone::instances(&settings).await?;
        let instances = instances
            .into_iter()
            .map(|uuid| Instance { uuid, etag: None, local: Vec::new(), auto: None })
            .collect();
        let pending = Pending::new(settings.state_dir.clone());
        Ok(Agent { settings, sapi, instances, pending })
    }

    pub(super) fn poll_interval(&self) -> Duration {
        self.settings.poll_interval
    }

    /// Makes one pass over all instances. A `full` pass renders everything, regardless of earlier passes.
    pub(super) async fn pass(&mut self, full: bool) -> Outcome {
        let mut outcome = Outcome::default();
        for at in 0..self.instances.len() {
            let instance = &mut self.instances[at];
            if full {
                (instance.etag, instance.auto) = (None, None);
            }
            let uuid = instance.uuid;
            match self.instance_data(at).await {
                Ok(Some(instance_data)) => {
                    let failed = outcome.failed;
                    self.apply(at, instance_data, &mut outcome).await;
                    let failed = outcome.failed - failed;
                    tracing::debug!(instance = %uuid, failed, "rendered");
                }
                Ok(None) => tracing::debug!(instance = %uuid, "nothing is new"),
                Err(error) => {
                    outcome.failed += 1;
                    outcome.away |=
                        matches!(&error, NothingToRender::Sapi(error) if error.is_of_the_service());
                    tracing::error!(instance = %uuid, err.json = %err(&error), "files stay as they are: {error}");
                }
            }
        }
        outcome
    }

    /// Returns the data for the files of every instance, whether or not it is new.
    pub(super) async fn all_instance_data(&mut self) -> Vec<(Uuid, Result<InstanceData, NothingToRender>)> {
        let mut all = Vec::new();
        for at in 0..self.instances.len() {
            let uuid = self.instances[at].uuid;
            let instance_data = self.instance_data(at).await;
            all.push((
                uuid,
                instance_data.and_then(|instance_data| instance_data.ok_or(NothingToRender::End)),
            ));
        }
        all
    }

    /// Returns the data of the instance, or `None` if nothing is new since the last pass without a failure.
    async fn instance_data(&mut self, at: usize) -> Result<Option<InstanceData>, NothingToRender> {
        let instance = &mut self.instances[at];
        let dirs: Vec<PathBuf> = self.settings.dirs.of(instance.uuid).to_vec();
        let (local, invalid) =
            tokio::task::spawn_blocking(move || read_local(&dirs)).await.map_err(|_| NothingToRender::End)?;
        for entry in &invalid {
            let path = entry.path.display();
            tracing::warn!(instance = %instance.uuid, "{path} is no manifest: {}", entry.reason);
        }
        if instance.auto.is_none() {
            let auto = zone::auto(&self.settings, instance.uuid).await.map_err(NothingToRender::Zone)?;
            instance.auto = Some(auto);
        }
        let etag = instance.etag.as_deref().filter(|_| local == instance.local);
        let answer = self.sapi.config(instance.uuid, etag).await.map_err(|error| match error {
            SapiError::Refused { status: 404, .. } => NothingToRender::Unknown(instance.uuid),
            error => NothingToRender::Sapi(error),
        })?;
        let InstanceConfig { etag, manifests, metadata } = match answer {
            ConfigAnswer::NotModified => return Ok(None),
            ConfigAnswer::Config(config) => config,
        };
        let mut failed = invalid.iter().filter(|entry| entry.missed).count();
        let (manifests, left_out) =
            resolve(manifests.into_iter().map(Manifest::from).collect(), local.clone());
        for manifest in left_out {
            let path = manifest.path.display();
            tracing::warn!(manifest = manifest.name, "another manifest has this name or the path {path}");
        }
        let (mut usable, unusable): (Vec<_>, Vec<_>) =
            manifests.into_iter().partition(|manifest| manifest.check().is_ok());
        for manifest in unusable {
            failed += 1;
            let problem = manifest.check().err().unwrap_or_default();
            tracing::error!(manifest = manifest.name, "the manifest is not usable: {problem}");
        }
        if usable.len() > MAX_MANIFESTS {
            failed += usable.len() - MAX_MANIFESTS;
            tracing::error!("only {MAX_MANIFESTS} of {} manifests are looked at", usable.len());
            usable.truncate(MAX_MANIFESTS);
        }
        let mut metadata = metadata.0;
        metadata.extend(self.settings.local_metadata.clone());
        metadata.insert("auto".to_owned(), Value::Object(instance.auto.clone().unwrap_or_default()));
        let secrets = Secrets::of(&metadata);
        Ok(Some(InstanceData { manifests: usable, metadata, secrets, failed, etag, local }))
    }

    /// Writes all files before it runs any command, so that commands find all files up to date.
    async fn apply(&mut self, at: usize, instance_data: InstanceData, outcome: &mut Outcome) {
        let InstanceData { manifests, metadata, secrets, mut failed, etag, local } = instance_data;
        let pending = self.pending.clone();
        let written = tokio::task::spawn_blocking(move || {
            let rendered = in_order(render(manifests, &metadata));
            let kept = rendered.into_iter().map(|(manifest, contents)| keep(manifest, contents, &pending));
            kept.collect::<Vec<_>>()
        });
        let Ok(written) = written.await else { return };
        for kept in written {
            failed += usize::from(kept.failed);
            outcome.changed += usize::from(kept.changed);
            if let Some(command) = kept.command {
                self.run(&kept.name, &command, &secrets).await;
                self.pending.clear(&kept.path);
            }
        }
        outcome.failed += failed;
        let instance = &mut self.instances[at];
        // As long as something failed, the next pass does everything again.
        instance.etag = etag.filter(|_| failed == 0);
        instance.local = local;
    }

    /// Runs a command once, however it ends.
    async fn run(&self, manifest: &str, command: &str, secrets: &Secrets) {
        let done = match post_cmd::run(command, self.settings.post_cmd_timeout).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(manifest, err.json = %err(&error), "cannot run post_cmd");
                return;
            }
        };
        let (command, output) = (secrets.hide(command), secrets.hide(&done.output));
        match done.end {
            CommandEnd::Exit(status) if status.success() => {
                tracing::info!(manifest, post_cmd = command, output, "post_cmd has run");
            }
            CommandEnd::Exit(status) => {
                tracing::error!(
                    manifest,
                    post_cmd = command,
                    output,
                    "post_cmd has failed, and is not repeated: {status}"
                );
            }
            CommandEnd::Timeout => {
                tracing::error!(
                    manifest,
                    post_cmd = command,
                    output,
                    "post_cmd has taken too long, and was killed"
                );
            }
        }
    }
}

/// What happened to a file.
struct FileOutcome {
    name: String,
    path: PathBuf,
    changed: bool,
    failed: bool,
    /// The command to run now.
    command: Option<String>,
}

type Rendered = (Manifest, Result<Contents, String>);

fn render(manifests: Vec<Manifest>, metadata: &Map<String, Value>) -> Vec<Rendered> {
    let mut total = 0;
    let render = |manifest: Manifest| {
        let contents = if total > MAX_TOTAL {
            Err(format!("all files together have more than {MAX_TOTAL} bytes"))
        } else {
            contents(&manifest, metadata)
        };
        total += contents.as_ref().map_or(0, |contents| contents.text.len());
        (manifest, contents)
    };
    manifests.into_iter().map(render).collect()
}

/// Sorts files into the order in which they are written. A file that cannot be rendered names no others.
fn in_order(rendered: Vec<Rendered>) -> Vec<Rendered> {
    let paths: Vec<String> =
        rendered.iter().map(|(manifest, _)| manifest.path.display().to_string()).collect();
    let named_by = |contents: &Contents| {
        (0..paths.len()).filter(|at| is_named(&paths[*at], &contents.text)).collect::<Vec<_>>()
    };
    let names: Vec<_> =
        rendered.iter().map(|(_, contents)| contents.as_ref().map(named_by).unwrap_or_default()).collect();
    let Order { files, circles } = order(&names);
    for circle in circles {
        let paths: Vec<_> = circle.iter().map(|at| paths[*at].as_str()).collect();
        tracing::warn!(
            "files name each other, so that one is written before what it names: {}",
            paths.join(", ")
        );
    }
    let mut rendered: Vec<_> = rendered.into_iter().map(Some).collect();
    files.into_iter().filter_map(|at| rendered[at].take()).collect()
}

/// Brings the file of `manifest` up to date.
fn keep(manifest: Manifest, contents: Result<Contents, String>, pending: &Pending) -> FileOutcome {
    let done = contents.and_then(|contents| bring_about(&manifest, &contents, pending));
    let Manifest { name, path, post_cmd, .. } = manifest;
    let shown = path.display().to_string();
    let (changed, wanted) = match &done {
        Ok(FileAction::Nothing) => (false, false),
        Ok(FileAction::Access) => {
            tracing::info!(manifest = name, "corrected mode and owner of {shown}");
            (true, false)
        }
        Ok(need) => {
            let verb = if *need == FileAction::Creation { "created" } else { "changed" };
            tracing::info!(manifest = name, "{verb} {shown}");
            (true, true)
        }
        Err(problem) => {
            tracing::error!(manifest = name, "{shown} stays as it is: {problem}");
            (false, false)
        }
    };
    // A file may still be marked from an earlier pass. If it fails, its command waits until the file is right.
    let left = done.is_ok() && !wanted && pending.is_marked(&path);
    if left {
        tracing::warn!(manifest = name, "the last agent has not come to run post_cmd");
    }
    FileOutcome { changed, failed: done.is_err(), command: post_cmd.filter(|_| wanted || left), name, path }
}

fn bring_about(manifest: &Manifest, contents: &Contents, pending: &Pending) -> Result<FileAction, String> {
    if !contents.escaped.is_empty() {
        let names = contents.escaped.join(", ");
        tracing::info!(manifest = manifest.name, "escaped for the file to be JSON: {names}");
    }
    let text = contents.text.as_bytes();
    let target = Target::new(&manifest.path, &manifest.access).map_err(|error| error.to_string())?;
    let need = target.need(text).map_err(|error| error.to_string())?;
    let done = match need {
        FileAction::Nothing => Ok(()),
        FileAction::Access => target.set_access(),
        FileAction::Content | FileAction::Creation => {
            if manifest.post_cmd.is_some() {
                pending.mark(&manifest.path);
            }
            target.write(text)
        }
    };
    done.map(|()| need).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_agent::manifests::Access;

    #[test]
    fn a_file_that_others_name_is_written_before_them() {
        let manifest = |path: &str, template: &str| Manifest {
            name: path.to_owned(),
            path: path.into(),
            template: template.to_owned(),
            post_cmd: None,
            access: Access::default(),
        };
        let manifests = vec![
            manifest("/etc/both", "{{k}} /etc/config"),
            manifest("/etc/config", "key: {{k}}"),
            manifest("/etc/bad", "{{"),
            manifest("/etc/key", "x"),
        ];
        let metadata = serde_json::json!({"k": "/etc/key"});
        let rendered = in_order(render(manifests, metadata.as_object().unwrap()));
        let names: Vec<&str> = rendered.iter().map(|(manifest, _)| manifest.name.as_str()).collect();
        assert_eq!(names, ["/etc/bad", "/etc/key", "/etc/config", "/etc/both"]);
        let manifests = vec![
            manifest("/etc/b", "/etc/a"),
            manifest("/etc/a", "/etc/x and /etc/y"),
            manifest("/etc/x", "x"),
            manifest("/etc/y", "y"),
        ];
        let rendered = in_order(render(manifests, &Map::new()));
        let names: Vec<&str> = rendered.iter().map(|(manifest, _)| manifest.name.as_str()).collect();
        assert_eq!(names, ["/etc/x", "/etc/y", "/etc/a", "/etc/b"]);
    }
}
