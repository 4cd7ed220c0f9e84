// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::{Map, Value};

use super::read::{Reader, member};
use crate::manifest::Mode;

const KEY: &str = "channels";

/// The channels of a server, which partition its images. On a server without channels images have none.
#[derive(Debug, Clone, Default)]
pub struct Channels(Vec<Channel>);

/// One channel.
#[derive(Debug, Clone)]
struct Channel {
    name: String,
    /// Whether the channel applies to requests that name none.
    is_default: bool,
    /// The channel as configured.
    object: Value,
}

/// A configured channel, by its index in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelId(usize);

impl Channels {
    /// Returns whether there are no channels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the channel with this name.
    pub fn find(&self, name: &str) -> Option<ChannelId> {
        self.0.iter().position(|channel| channel.name == name).map(ChannelId)
    }

    /// Returns the channel that applies to requests that name none.
    pub fn default_channel(&self) -> Option<ChannelId> {
        self.0.iter().position(|channel| channel.is_default).map(ChannelId)
    }

    /// Returns the name of a channel. For a channel of another configuration it is empty, which matches no image.
    pub fn name(&self, id: ChannelId) -> &str {
        self.0.get(id.0).map_or("", |channel| &channel.name)
    }

    /// Returns the channels as configured, including unknown members.
    pub fn objects(&self) -> Vec<&Value> {
        self.0.iter().map(|channel| &channel.object).collect()
    }

    /// Reads `channels`.
    pub(super) fn read(root: &mut Reader<'_>, mode: Mode) -> Channels {
        let channels: Vec<Channel> =
            root.objects(KEY).into_iter().filter_map(|object| Channel::read(root, object)).collect();
        let twice = |(index, channel): (usize, &Channel)| {
            channels[..index].iter().any(|other| other.name == channel.name).then(|| channel.name.clone())
        };
        if let Some(name) = channels.iter().enumerate().find_map(twice) {
            root.problem(KEY, format!("has two channels called {name:?}"));
        }
        if channels.iter().filter(|channel| channel.is_default).count() > 1 {
            root.problem(KEY, "has more than one default");
        }
        if mode == Mode::Dc && !channels.is_empty() {
            root.problem(KEY, "cannot be used in mode dc");
        }
        Channels(channels)
    }
}

impl Channel {
    fn read(root: &mut Reader<'_>, object: Map<String, Value>) -> Option<Channel> {
        let member = |key| member(&object, "channels[].", key);
        let Some(name) = member("name").and_then(Value::as_str).filter(|name| is_name(name)) else {
            root.problem(KEY, "has a channel without a name of lower-case letters, digits, _ and -");
            return None;
        };
        let name = name.to_owned();
        if member("description").is_some_and(|text| !text.is_string() && !text.is_null()) {
            root.problem(KEY, format!("has a description of {name:?} that is no text"));
        }
        let is_default = match member("default") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                root.problem(KEY, format!("has a default of {name:?} that is neither true nor false"));
                false
            }
        };
        Some(Channel { name, is_default, object: Value::Object(object) })
    }
}

/// `^[a-z][a-z0-9_-]*$`, as in 4.13.1.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(channels: Value, mode: Mode) -> Result<Channels, usize> {
        let Value::Object(config) = json!({ "channels": channels }) else { unreachable!() };
        let mut problems = Vec::new();
        let channels = Channels::read(&mut Reader::new(&config, &mut problems), mode);
        assert!(problems.iter().all(|problem| problem.key == "channels"), "{problems:?}");
        if problems.is_empty() { Ok(channels) } else { Err(problems.len()) }
    }

    #[test]
    fn channels_are_found_by_name_and_one_may_be_the_default() {
        let configured = json!([
            {"name": "dev", "description": "all", "default": false, "x": 1},
            {"name": "release-1_0", "default": true},
        ]);
        let channels = read(configured.clone(), Mode::Public).unwrap();
        assert_eq!(json!(channels.objects()), configured);
        let release = channels.find("release-1_0").unwrap();
        assert_eq!((channels.default_channel(), channels.name(release)), (Some(release), "release-1_0"));
        assert_eq!(channels.find("Dev"), None);
        for none in [json!(null), json!([])] {
            assert!(read(none, Mode::Dc).unwrap().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_problem() {
        for bad in [
            json!("dev"),
            json!(["dev"]),
            json!([{}]),
            json!([{"name": "Dev"}]),
            json!([{"name": "1x"}]),
            json!([{"name": "a"}, {"name": "a"}]),
            json!([{"name": "a", "default": true}, {"name": "b", "default": true}]),
            json!([{"name": "a", "default": "yes"}]),
            json!([{"name": "a", "description": 5}]),
        ] {
            assert_eq!(read(bad.clone(), Mode::Private).err(), Some(1), "{bad}");
        }
        assert_eq!(read(json!([{"name": "a"}]), Mode::Dc).err(), Some(1));
    }
}
