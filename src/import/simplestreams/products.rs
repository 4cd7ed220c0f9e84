// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A list of products: which image an alias names, and of which files it consists.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::members::{each_member, text};

/// Most products of a list, versions of a product, items of a version, and members of an item.
const MOST_PRODUCTS: usize = 100_000;
const MOST_VERSIONS: usize = 10_000;
const MOST_ITEMS: usize = 1000;
/// Most bytes of a name, a path or another text of a product that is imported.
const MOST_TEXT: usize = 10_240;

/// The architecture of the machines that IMGAPI has images for: a short alias means it.
const OWN: [&str; 2] = ["amd64", "x86_64"];
/// The other architectures that LXD and Incus know, by either name. Products of unknown ones are skipped.
const OTHERS: [&str; 19] = [
    "i386",
    "i686",
    "arm64",
    "aarch64",
    "armhf",
    "armv7l",
    "armel",
    "armv6l",
    "armv8l",
    "ppc64el",
    "ppc64le",
    "ppc64",
    "powerpc64",
    "ppc",
    "powerpc",
    "s390x",
    "riscv64",
    "riscv32",
    "loongarch64",
];

/// The archives that are metadata and root file system in one.
const COMBINED: [&str; 2] = ["lxd_combined.tar.gz", "incus_combined.tar.gz"];
/// The archives with the metadata.
const METADATA: [&str; 2] = ["lxd.tar.xz", "incus.tar.xz"];
/// The root file systems, the preferred one first, and the checksums beside the metadata that count for each.
const ROOTS: [(&str, &[&str]); 5] = [
    ("squashfs", &["combined_squashfs_sha256"]),
    ("root.tar.xz", &["combined_rootxz_sha256", "combined_sha256"]),
    ("disk-kvm.img", &["combined_disk-kvm-img_sha256"]),
    ("uefi1.img", &["combined_uefi1-img_sha256"]),
    ("disk1.img", &["combined_disk1-img_sha256"]),
];

/// The newest version of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LxdImage {
    /// The full name of the product.
    pub product: String,
    /// The key of the version. It begins with a date, `YYYYMMDD`.
    pub version: String,
    /// The name under which the version is published, if it has one.
    pub published_name: Option<String>,
    /// The architecture, as the product spells it.
    pub arch: String,
    /// The aliases, separated by commas.
    pub aliases: String,
    /// The name of the distribution.
    pub os: Option<String>,
    /// The distribution's release.
    pub release: Option<String>,
    /// The release's name for people.
    pub release_title: Option<String>,
    /// SHA-256 that identifies the image: of its one file, or of the metadata followed by the root file system.
    pub fingerprint: String,
    /// The files, in the order in which they are stored.
    pub files: LxdFiles,
}

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LxdFiles {
    /// One archive.
    Combined(LxdFile),
    /// Metadata and root file system.
    Split {
        /// The metadata.
        metadata: LxdFile,
        /// The root file system.
        root: LxdFile,
    },
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LxdFile {
    /// The type of the item.
    pub ftype: String,
    /// The path below the server's URL.
    pub path: String,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    /// The claimed size, if it is a number. Only the checksum counts.
    pub size: Option<u64>,
}

impl LxdFiles {
    /// Returns the file that contains the root file system.
    pub fn root(&self) -> &LxdFile {
        match self {
            LxdFiles::Combined(file) => file,
            LxdFiles::Split { root, .. } => root,
        }
    }

    /// Returns all files, in the order in which they are stored.
    pub fn all(&self) -> Vec<&LxdFile> {
        match self {
            LxdFiles::Combined(file) => vec![file],
            LxdFiles::Split { metadata, root } => vec![metadata, root],
        }
    }
}

/// What a list says about an alias.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No product has the alias.
    Nothing,
    /// Products have it, but no usable image.
    Unusable(String),
    /// The image.
    Image(Box<LxdImage>),
}

/// Finds the first product that has the alias, and a usable newest version.
pub(super) fn find(list: &str, alias: &str) -> Result<Found, serde_json::Error> {
    let mut found = Found::Nothing;
    let Some(products) = super::members::member(list, "products")? else { return Ok(found) };
    each_member(products.get(), MOST_PRODUCTS, |name, product| {
        if matches!(found, Found::Image(_)) {
            return;
        }
        let Some(product) = Product::read(name, product).filter(|product| product.is_called(alias)) else {
            return;
        };
        found = match product.newest() {
            Ok(image) => Found::Image(Box::new(image)),
            Err(reason) => Found::Unusable(format!("product {:?} {reason}", product.name)),
        };
    })?;
    Ok(found)
}

#[derive(Default)]
struct Product<'a> {
    name: String,
    aliases: String,
    arch: String,
    os: Option<String>,
    release: Option<String>,
    release_title: Option<String>,
    versions: Option<&'a RawValue>,
}

impl<'a> Product<'a> {
    fn read(name: String, value: &'a RawValue) -> Option<Product<'a>> {
        let mut product = Product { name, ..Product::default() };
        let read = each_member(value.get(), usize::MAX, |name, value| match name.as_str() {
            "aliases" => product.aliases = text(value).unwrap_or_default(),
            "arch" => product.arch = text(value).unwrap_or_default(),
            "os" => product.os = text(value),
            "release" => product.release = text(value),
            "release_title" => product.release_title = text(value),
            "versions" => product.versions = Some(value),
            _ => {}
        });
        read.ok().map(|()| product)
    }

    /// A short alias is for our architecture. With an architecture behind it, in the product's spelling, it is for any.
    fn is_called(&self, alias: &str) -> bool {
        let has = |alias: &str| !alias.is_empty() && self.aliases.split(',').any(|name| name == alias);
        if OWN.contains(&self.arch.as_str()) && has(alias) {
            return true;
        }
        let is_known = OWN.contains(&self.arch.as_str()) || OTHERS.contains(&self.arch.as_str());
        is_known && alias.strip_suffix(&self.arch).and_then(|rest| rest.strip_suffix('/')).is_some_and(has)
    }

    /// Returns the image of the newest version, or what is wrong with it.
    fn newest(&self) -> Result<LxdImage, String> {
        let mut newest: Option<(String, &RawValue)> = None;
        let versions = self.versions.map_or("{}", RawValue::get);
        each_member(versions, MOST_VERSIONS, |key, version| {
            if newest.as_ref().is_none_or(|(newest, _)| key > *newest) {
                newest = Some((key, version));
            }
        })
        .map_err(|error| format!("has unusable versions: {error}"))?;
        let (version, content) = newest.ok_or("has no version")?;
        let image =
            self.image(&version, content).map_err(|reason| format!("has a version {version:?} {reason}"))?;
        let texts =
            [Some(&image.product), Some(&image.version), Some(&image.aliases), image.published_name.as_ref()];
        let more = [
            image.os.as_ref(),
            image.release.as_ref(),
            image.release_title.as_ref(),
            Some(&image.files.root().path),
        ];
        if texts.into_iter().chain(more).flatten().any(|text| text.len() > MOST_TEXT) {
            return Err("has a text that is too long".to_owned());
        }
        Ok(image)
    }

    fn image(&self, version: &str, content: &RawValue) -> Result<LxdImage, String> {
        let unusable = |error: serde_json::Error| format!("that cannot be read: {error}");
        let (mut published_name, mut items) = (None, Vec::new());
        each_member(content.get(), usize::MAX, |name, value| match name.as_str() {
            "pubname" => published_name = text(value),
            "items" => items.push(value),
            _ => {}
        })
        .map_err(unusable)?;
        let mut read = Vec::new();
        for value in items {
            each_member(value.get(), MOST_ITEMS, |_, item| read.extend(Item::read(item)))
                .map_err(unusable)?;
        }
        let (fingerprint, files) = chosen(&read).ok_or("without an image that has its checksums")?;
        Ok(LxdImage {
            product: self.name.clone(),
            version: version.to_owned(),
            published_name,
            arch: self.arch.clone(),
            aliases: self.aliases.clone(),
            os: self.os.clone(),
            release: self.release.clone(),
            release_title: self.release_title.clone(),
            fingerprint,
            files,
        })
    }
}

struct Item {
    file: LxdFile,
    /// The checksums of this file and another one together, by their names.
    combined: BTreeMap<String, String>,
}

impl Item {
    /// Reads an item that has a type, a path and a checksum. Its key does not matter.
    fn read(value: &RawValue) -> Option<Item> {
        let (mut ftype, mut path, mut sha256, mut size) = (None, None, None, None);
        let mut combined = BTreeMap::new();
        each_member(value.get(), MOST_ITEMS, |name, value| match name.as_str() {
            "ftype" => ftype = text(value),
            "path" => path = text(value),
            "sha256" => sha256 = digest(value),
            "size" => size = text(value).and_then(|size| size.parse().ok()),
            name if name.starts_with("combined_") => {
                combined.extend(digest(value).map(|digest| (name.to_owned(), digest)));
            }
            _ => {}
        })
        .ok()?;
        let file =
            LxdFile { ftype: ftype?, path: path.filter(|path| !path.is_empty())?, sha256: sha256?, size };
        Some(Item { file, combined })
    }
}

/// Reads a SHA-256, in lower-case hex.
fn digest(value: &RawValue) -> Option<String> {
    let digest = text(value)?.to_ascii_lowercase();
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

/// Chooses the files of an image and its fingerprint: one archive if there is one, otherwise the metadata and the first
/// root file system whose checksum stands beside them.
fn chosen(items: &[Item]) -> Option<(String, LxdFiles)> {
    let of_type = |ftype: &str| items.iter().find(|item| item.file.ftype == ftype);
    if let Some(Item { file, .. }) = COMBINED.iter().find_map(|ftype| of_type(ftype)) {
        return Some((file.sha256.clone(), LxdFiles::Combined(file.clone())));
    }
    for (ftype, hashes) in ROOTS {
        let Some(root) = of_type(ftype) else { continue };
        for metadata in METADATA.iter().filter_map(|ftype| of_type(ftype)) {
            if let Some(fingerprint) = hashes.iter().find_map(|name| metadata.combined.get(*name)) {
                let files = LxdFiles::Split { metadata: metadata.file.clone(), root: root.file.clone() };
                return Some((fingerprint.clone(), files));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
