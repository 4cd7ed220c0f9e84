// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The zone's own data: its name, and the metadata `auto`.
//!
//! They come from the commands `zonename` and `mdata-get`. On a system without them they come from the agent's configuration.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::settings::Settings;
use crate::manifest::Uuid;

const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The exit status of `mdata-get` if there is no such metadata.
const NOT_FOUND: i32 = 1;

/// Returns the instances in `settings`, or the one of this zone.
///
/// # Errors
/// There is no instance.
pub(super) async fn instances(settings: &Settings) -> Result<Vec<Uuid>, String> {
    if !settings.instances.is_empty() {
        return Ok(settings.instances.clone());
    }
    let name = zonename(settings).await?.ok_or("instances is not set, and there is no command zonename")?;
    let instance = name
        .parse()
        .map_err(|_| format!("instances is not set, and the zone's name {name:?} is not a UUID"))?;
    Ok(vec![instance])
}

/// Returns the metadata `auto` of `instance`.
///
/// # Errors
/// An existing command has failed: a file made without its output would be wrong.
pub(super) async fn auto(settings: &Settings, instance: Uuid) -> Result<Map<String, Value>, String> {
    let mut auto = Map::new();
    let texts = [
        ("ZONENAME", zonename(settings).await?),
        ("SERVER_UUID", mdata("sdc:server_uuid").await?),
        ("DATACENTER_NAME", mdata("sdc:datacenter_name").await?),
    ];
    auto.insert("INSTANCE_UUID".to_owned(), json!(instance));
    for (key, text) in texts {
        if let Some(text) = text {
            auto.insert(key.to_owned(), text.into());
        }
    }
    if let Some(text) = mdata("sdc:nics").await? {
        auto.extend(addresses(&text).map_err(|error| format!("sdc:nics is not usable: {error}"))?);
    }
    auto.extend(settings.auto_metadata.clone());
    Ok(auto)
}

async fn zonename(settings: &Settings) -> Result<Option<String>, String> {
    if let Some(name) = settings.auto_metadata.get("ZONENAME").and_then(Value::as_str) {
        return Ok(Some(name.to_owned()));
    }
    let Some(output) = run("zonename", &[]).await? else { return Ok(None) };
    if output.status.success() { text("zonename", output) } else { Err(failed("zonename", &output)) }
}

async fn mdata(key: &str) -> Result<Option<String>, String> {
    let Some(output) = run("mdata-get", &[key]).await? else { return Ok(None) };
    match output.status.code() {
        Some(0) => text(key, output),
        Some(NOT_FOUND) => Ok(None),
        _ => Err(failed(&format!("mdata-get {key}"), &output)),
    }
}

/// Returns the output of a command, or `None` if there is no such command.
async fn run(program: &str, arguments: &[&str]) -> Result<Option<Output>, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    match timeout(COMMAND_LIMIT, command.output()).await {
        Ok(Ok(output)) => Ok(Some(output)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(format!("cannot run {program}: {error}")),
        Err(_) => Err(format!("{program} has not ended within {} s", COMMAND_LIMIT.as_secs())),
    }
}

fn failed(what: &str, output: &Output) -> String {
    format!("{what} has failed: {}", output.status)
}

fn text(what: &str, output: Output) -> Result<Option<String>, String> {
    let text =
        String::from_utf8(output.stdout).map_err(|_| format!("{what} has printed what is not UTF-8"))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[derive(Deserialize)]
struct Nic {
    nic_tag: Option<String>,
    ip: Option<String>,
    ips: Option<Vec<String>>,
}

/// Returns `PRIMARY_IP`, and `<TAG>_IP` and `<TAG>_IPS` of every tag.
fn addresses(nics: &str) -> Result<Map<String, Value>, serde_json::Error> {
    let nics: Vec<Nic> = serde_json::from_str(nics)?;
    let mut found = Map::new();
    if let Some(ip) = nics.first().and_then(|nic| nic.ip.as_deref()) {
        found.insert("PRIMARY_IP".to_owned(), bare(ip).into());
    }
    for nic in &nics {
        let (Some(tag), Some(ips)) = (&nic.nic_tag, &nic.ips) else { continue };
        let tag = tag.to_uppercase();
        // The tag of a single rack counts as the tag without the rack.
        let tag = tag.split_once("_RACK_").map_or(tag.as_str(), |(tag, _)| tag);
        if let Some(ip) = nic.ip.as_ref().or(ips.first()) {
            found.insert(format!("{tag}_IP"), bare(ip).into());
        }
        let ips: Vec<&str> = ips.iter().map(|ip| bare(ip)).collect();
        found.insert(format!("{tag}_IPS"), json!(ips));
    }
    Ok(found)
}

/// Returns an address without its prefix length.
fn bare(ip: &str) -> &str {
    ip.split('/').next().unwrap_or(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_by_the_tags_of_nics() {
        let nics = r#"[
            {"interface": "net0", "nic_tag": "admin", "ip": "10.0.0.5", "ips": ["10.0.0.5/24", "10.0.0.6/24"]},
            {"interface": "net1", "nic_tag": "external_rack_a1", "ip": "1.2.3.4", "ips": ["1.2.3.4/24"], "primary": true},
            {"interface": "net2", "nic_tag": "old", "ip": "9.9.9.9"}
        ]"#;
        let expected = json!({
            "PRIMARY_IP": "10.0.0.5",
            "ADMIN_IP": "10.0.0.5", "ADMIN_IPS": ["10.0.0.5", "10.0.0.6"],
            "EXTERNAL_IP": "1.2.3.4", "EXTERNAL_IPS": ["1.2.3.4"],
        });
        assert_eq!(Value::Object(addresses(nics).unwrap()), expected);
        assert!(addresses("[]").unwrap().is_empty());
        assert!(addresses("").is_err());
    }
}
