// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The enumerations of a manifest, and the rules that a server's mode sets for one.

pub use super::names::UnknownName;
use super::names::closed_set;

closed_set! {
    /// What an image can be used for. Stored as a string beside the flags `activated` and `disabled`.
    pub enum State: "state" {
        /// Activated and not disabled: it can be installed.
        Active = "active",
        /// A record that has not been activated yet.
        Unactivated = "unactivated",
        /// Activated, then disabled.
        Disabled = "disabled",
        /// A placeholder: the image is being made from a VM.
        Creating = "creating",
        /// A placeholder whose creation failed, or an image an operator marked as failed.
        Failed = "failed",
    }
}

impl State {
    /// Returns the state that follows from the flags, for an image that is not a placeholder.
    pub const fn of_flags(activated: bool, disabled: bool) -> Self {
        match (activated, disabled) {
            (false, _) => Self::Unactivated,
            (true, false) => Self::Active,
            (true, true) => Self::Disabled,
        }
    }

    /// Returns whether `type` and `os` may be `null` in this state.
    pub const fn is_placeholder(self) -> bool {
        matches!(self, Self::Creating | Self::Failed)
    }
}

closed_set! {
    /// What kind of instance an image makes.
    pub enum ImageType: "type" {
        /// A zone's file system.
        ZoneDataset = "zone-dataset",
        /// A disk for a hardware virtual machine.
        Zvol = "zvol",
        /// A file system for an LX-branded zone.
        LxDataset = "lx-dataset",
        /// An image of an LXD image server.
        Lxd = "lxd",
        /// A layer of a Docker image.
        Docker = "docker",
        /// Anything else.
        Other = "other",
    }
}

impl ImageType {
    /// Returns how many files an image of this type may have.
    pub const fn max_files(self) -> usize {
        match self {
            Self::Lxd => 2,
            _ => 1,
        }
    }
}

closed_set! {
    /// The operating system inside an image.
    pub enum Os: "os" {
        /// SmartOS.
        Smartos = "smartos",
        /// Linux.
        Linux = "linux",
        /// Windows.
        Windows = "windows",
        /// A BSD.
        Bsd = "bsd",
        /// Another illumos distribution.
        Illumos = "illumos",
        /// Anything else.
        Other = "other",
    }
}

closed_set! {
    /// How an image file is compressed, as the uploader declares it. It is never verified.
    pub enum Compression: "compression" {
        /// gzip.
        Gzip = "gzip",
        /// bzip2.
        Bzip2 = "bzip2",
        /// xz.
        Xz = "xz",
        /// Not compressed.
        None = "none",
    }
}

closed_set! {
    /// Where the bytes of a file are.
    pub enum Stor: "stor" {
        /// The server's own disk.
        Local = "local",
        /// Manta.
        Manta = "manta",
    }
}

closed_set! {
    /// What kind of server this is.
    pub enum Mode: "mode" {
        /// The registry of a datacenter.
        Dc = "dc",
        /// A standalone server whose images are for everybody.
        Public = "public",
        /// A standalone server whose images are for its users.
        Private = "private",
    }
}

/// The version of the API that a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiVersion {
    /// 1.x: images have no `channels`.
    V1,
    /// 2.x: images show their `channels`.
    V2,
}

/// The rules that a server sets for every record it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The server's mode: it fixes `public` and the required members.
    pub mode: Mode,
    /// Whether the server has channels. On a server without channels a record with `channels` is invalid.
    pub channels_configured: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_the_value_that_prints_it() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for kind in ImageType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::from_str::<ImageType>(&format!("\"{kind}\"")).ok(), Some(*kind));
        }
        assert_eq!("Active".parse::<State>(), Err(UnknownName { set: "state" }));
        assert!("".parse::<Os>().is_err());
    }

    #[test]
    fn state_follows_from_the_flags() {
        assert_eq!(State::of_flags(false, true), State::Unactivated);
        assert_eq!(State::of_flags(true, true), State::Disabled);
        assert_eq!(State::of_flags(true, false), State::Active);
    }
}
