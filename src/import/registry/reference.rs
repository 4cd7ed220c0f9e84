// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;

use url::Url;

use super::digest::Digest;

/// The registry that a reference without a host means.
const HUB: &str = "docker.io";

/// The host where that registry answers.
const HUB_SERVER: &str = "registry-1.docker.io";

/// Names by which clients call that registry.
pub(super) const HUB_NAMES: [&str; 3] = [HUB, "index.docker.io", HUB_SERVER];

/// The namespace of images that Docker Hub itself publishes.
const OFFICIAL: &str = "library";

/// The most bytes of a repository's name, and of a tag, according to the distribution specification.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A repository in a registry: `[scheme://][host[:port]/]name`. Without a host it is one of Docker Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    registry: String,
    server: Url,
    remote_name: String,
}

/// What is meant in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// A name that can mean another manifest tomorrow.
    Tag(String),
    /// Always the same manifest.
    Digest(Digest),
}

/// The text does not name an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidReference(&'static str);

impl Repository {
    /// Parses a repository, without tag and digest.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Repository, InvalidReference> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return Err(InvalidReference("the scheme of a registry must be http or https")),
            None => (None, text),
        };
        let (host, name) = match rest.split_once('/') {
            Some((host, name)) if scheme.is_some() || is_host(host) => (Some(host), name),
            _ if scheme.is_some() => {
                return Err(InvalidReference("a repository must follow the registry's host"));
            }
            _ => (None, rest),
        };
        check_name(name)?;
        let host = host.unwrap_or(HUB).to_ascii_lowercase();
        if HUB_NAMES.contains(&host.as_str()) {
            let is_official = !name.contains('/');
            let remote_name = if is_official { format!("{OFFICIAL}/{name}") } else { name.to_owned() };
            return Ok(Repository {
                registry: HUB.to_owned(),
                server: server("https", HUB_SERVER)?,
                remote_name,
            });
        }
        let is_local = matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"));
        let server = server(scheme.unwrap_or(if is_local { "http" } else { "https" }), &host)?;
        Ok(Repository { registry: host, server, remote_name: name.to_owned() })
    }

    /// Parses `repository[:tag|@digest]`. Without tag and digest the tag is `latest`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_with_revision(text: &str) -> Result<(Repository, Revision), InvalidReference> {
        if let Some((repository, digest)) = text.rsplit_once('@') {
            return Ok((Repository::parse(repository)?, Revision::digest(digest)?));
        }
        match text.rsplit_once(':') {
            // Otherwise it is the port of the registry.
            Some((repository, tag)) if !tag.contains('/') => {
                Ok((Repository::parse(repository)?, Revision::tag(tag)?))
            }
            _ => Ok((Repository::parse(text)?, Revision::tag("latest")?)),
        }
    }

    /// Returns the registry: `docker.io`, or host and port as they were given, in lower case.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the URL of the registry's server.
    pub(super) fn server(&self) -> &Url {
        &self.server
    }

    /// Returns the name by which the registry's server knows the repository, for example `library/busybox`.
    #[must_use]
    pub fn remote_name(&self) -> &str {
        &self.remote_name
    }

    /// Returns the name that Docker's users see: without `docker.io` and `library`, for example `busybox`.
    #[must_use]
    pub fn local_name(&self) -> String {
        if self.registry != HUB {
            return format!("{}/{}", self.registry, self.remote_name);
        }
        let official = self.remote_name.strip_prefix(OFFICIAL).and_then(|rest| rest.strip_prefix('/'));
        official.unwrap_or(&self.remote_name).to_owned()
    }

    /// Returns the name with the registry, for example `docker.io/busybox`.
    #[must_use]
    pub fn canonical_name(&self) -> String {
        if self.registry == HUB { format!("{HUB}/{}", self.local_name()) } else { self.local_name() }
    }
}

impl Revision {
    /// Parses a tag.
    ///
    /// # Errors
    /// The text cannot be a tag.
    pub fn tag(text: &str) -> Result<Revision, InvalidReference> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_tag = (1..=MAX_TAG).contains(&text.len())
            && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
            && text.bytes().next().is_some_and(is_word);
        let problem = "a tag has up to 128 letters, digits, \"_\", \".\" and \"-\", and begins with none of the last two";
        is_tag.then(|| Revision::Tag(text.to_owned())).ok_or(InvalidReference(problem))
    }

    /// Parses a digest.
    ///
    /// # Errors
    /// The text is not a SHA-256.
    pub fn digest(text: &str) -> Result<Revision, InvalidReference> {
        let digest = text.parse().map_err(|_| "a digest must be sha256: and 64 lower-case hex digits");
        digest.map(Revision::Digest).map_err(InvalidReference)
    }
}

impl fmt::Display for Revision {
    /// As it stands in the path of a manifest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revision::Tag(tag) => f.write_str(tag),
            Revision::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Returns whether the first part of a reference is a host and not a namespace.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

/// Checks a repository's name: as 4.13.1 does, and besides that it cannot lead to another path of the registry.
fn check_name(name: &str) -> Result<(), InvalidReference> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(InvalidReference("the name of a repository has 1 to 255 characters"));
    }
    if !name.bytes().all(|byte| plain(byte) || b"_/.-".contains(&byte)) {
        return Err(InvalidReference(
            "the name of a repository has only lower-case letters, digits, \"_\", \".\", \"-\" and \"/\"",
        ));
    }
    let parts_are_words = name
        .split('/')
        .all(|part| part.bytes().next().is_some_and(plain) && part.bytes().next_back().is_some_and(plain));
    if !parts_are_words {
        let problem = "each part of a repository's name begins and ends with a letter or a digit";
        return Err(InvalidReference(problem));
    }
    match name.split_once('/') {
        Some((namespace, _)) if namespace.len() < 2 || namespace.contains("--") => {
            Err(InvalidReference("a namespace has at least 2 characters, and no \"--\""))
        }
        _ => Ok(()),
    }
}

/// Returns the URL of a server. The host must be nothing but a host and a port.
fn server(scheme: &str, host: &str) -> Result<Url, InvalidReference> {
    let problem = InvalidReference("the registry is not a host name or an address");
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    if !is_plain {
        return Err(problem);
    }
    format!("{scheme}://{host}/").parse().map_err(|_| problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_a_server_and_three_names() {
        let hub = "https://registry-1.docker.io/";
        let cases = [
            ("busybox", hub, "library/busybox", "busybox", "docker.io/busybox"),
            ("docker.io/busybox", hub, "library/busybox", "busybox", "docker.io/busybox"),
            ("index.docker.io/library/busybox", hub, "library/busybox", "busybox", "docker.io/busybox"),
            ("joe/box", hub, "joe/box", "joe/box", "docker.io/joe/box"),
            ("https://docker.io/joe/box", hub, "joe/box", "joe/box", "docker.io/joe/box"),
            ("localhost/a", "http://localhost/", "a", "localhost/a", "localhost/a"),
            (
                "localhost:5000/aa/b/c",
                "http://localhost:5000/",
                "aa/b/c",
                "localhost:5000/aa/b/c",
                "localhost:5000/aa/b/c",
            ),
            ("127.0.0.1:5000/ab", "http://127.0.0.1:5000/", "ab", "127.0.0.1:5000/ab", "127.0.0.1:5000/ab"),
            (
                "https://localhost:5000/ab",
                "https://localhost:5000/",
                "ab",
                "localhost:5000/ab",
                "localhost:5000/ab",
            ),
            (
                "Reg.Example.com/x_y.z-1",
                "https://reg.example.com/",
                "x_y.z-1",
                "reg.example.com/x_y.z-1",
                "reg.example.com/x_y.z-1",
            ),
            (
                "http://reg.example.com:80/x",
                "http://reg.example.com/",
                "x",
                "reg.example.com:80/x",
                "reg.example.com:80/x",
            ),
            ("[::1]:5000/x", "https://[::1]:5000/", "x", "[::1]:5000/x", "[::1]:5000/x"),
        ];
        for (text, server, remote, local, canonical) in cases {
            let repository = Repository::parse(text).unwrap();
            assert_eq!(repository.server().as_str(), server, "{text}");
            assert_eq!(repository.remote_name(), remote, "{text}");
            assert_eq!(repository.local_name(), local, "{text}");
            assert_eq!(repository.canonical_name(), canonical, "{text}");
        }
    }

    #[test]
    fn a_text_that_could_lead_elsewhere_is_no_repository() {
        let long = "a".repeat(256);
        let texts = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "UP",
            "x y",
            "joe/BOX",
            "j/box",
            "jo--e/box",
            "-a",
            "a-",
            "a/../b",
            "..",
            "a/.",
            "ftp://h/a",
            "http://h",
            "https://",
            "https:///a",
            "a@h.x/b",
            "u:p@h.x/b",
            "h.x:port/b",
            "h.x:99999/b",
            "h.x?/b",
            "h.x#/b",
            "h.x/b?c",
            "h.x/b#c",
            "h.x/b%2fc",
            "h.x/é",
            ":/a",
            "é.x/a",
            "h.x/a\n",
            &long,
        ];
        for text in texts {
            assert!(Repository::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_revision_is_a_tag_or_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let parsed = |text: &str| {
            let (repository, revision) = Repository::parse_with_revision(text)?;
            Ok::<_, InvalidReference>((repository.canonical_name(), revision.to_string()))
        };
        let cases = [
            ("a".to_owned(), "docker.io/a", "latest"),
            ("a:T4_g.x-".to_owned(), "docker.io/a", "T4_g.x-"),
            ("localhost:5000/a".to_owned(), "localhost:5000/a", "latest"),
            ("localhost:5000/a:b".to_owned(), "localhost:5000/a", "b"),
            (format!("h.x/a@{digest}"), "h.x/a", digest.as_str()),
        ];
        for (text, name, revision) in cases {
            assert_eq!(parsed(&text).unwrap(), (name.to_owned(), revision.to_owned()));
        }
        let long = format!("a:{}", "t".repeat(129));
        for text in ["a:", "a:.x", "a:-x", "a:b c", "a@", "a@sha256:00", "a:t@sha256:00", "a:é", &long] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
