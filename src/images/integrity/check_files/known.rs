// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::db::{DbError, Records, StoredRecord};
use crate::images::record::locations::known_names;
use crate::manifest::{Compression, Icon, Image, ImageFile, Rules, Stor, Uuid};
use crate::storage::Location;

/// What all records say about files.
pub(super) struct KnownRecords {
    rules: Rules,
    images: BTreeMap<Uuid, KnownImage>,
    /// Keys of unusable records, with the reason.
    invalid: BTreeMap<String, String>,
}

/// What a record says about an image's files.
pub(super) struct KnownImage {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) is_docker_v2: bool,
    origin: Option<Uuid>,
    published_at: String,
    files: Vec<ImageFile>,
    icon: Option<Icon>,
}

impl KnownImage {
    fn new(image: &Image) -> KnownImage {
        let docker_id = image.tags().and_then(|tags| tags.get("docker:id")).and_then(Value::as_str);
        KnownImage {
            uuid: image.uuid(),
            name: image.name().to_owned(),
            version: image.version().to_owned(),
            is_docker_v2: docker_id.is_some_and(|id| id.starts_with("sha256:")),
            origin: image.origin(),
            published_at: image.published_at().unwrap_or_default().to_owned(),
            files: image.files().to_vec(),
            icon: image.icon().cloned(),
        }
    }

    /// The locations and compressions of the image's files, the icon last.
    pub(super) fn files(&self) -> impl Iterator<Item = (Location, Option<Compression>)> {
        let files = self.files.iter().enumerate();
        let files =
            files.map(|(index, file)| (Location::of_file(self.uuid, index, file), Some(file.compression)));
        files.chain(self.icon.iter().map(|icon| (Location::of_icon(self.uuid, icon), None)))
    }

    /// Returns whether a file of this name, in the image's directory of a storage, belongs to the image.
    pub(super) fn has(&self, stor: Stor, name: &str) -> bool {
        known_names(&self.files, self.icon.as_ref(), stor).iter().any(|known| known == name)
    }
}

impl KnownRecords {
    pub(super) async fn read(records: &mut Records, rules: Rules) -> Result<KnownRecords, DbError> {
        let mut known = KnownRecords { rules, images: BTreeMap::new(), invalid: BTreeMap::new() };
        loop {
            let page = records.next_page().await?;
            if page.is_empty() {
                return Ok(known);
            }
            for record in page {
                let key = record.key.clone();
                match known.entry(record) {
                    Ok(entry) => drop(known.images.insert(entry.uuid, entry)),
                    Err(reason) => drop(known.invalid.insert(key, reason)),
                }
            }
        }
    }

    /// Parses a record; fails with the reason if it is unusable.
    pub(super) fn entry(&self, record: StoredRecord) -> Result<KnownImage, String> {
        let key = record.key;
        let image = Image::load(record.record?, self.rules).map_err(|problems| {
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            format!("not valid: {}", fields.join(", "))
        })?;
        match image.uuid().to_string() == key {
            true => Ok(KnownImage::new(&image)),
            false => Err(format!("it is the record of {}", image.uuid())),
        }
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &KnownImage> {
        self.images.values()
    }

    pub(super) fn image(&self, uuid: Uuid) -> Option<&KnownImage> {
        self.images.get(&uuid)
    }

    /// Unusable records, each with the reason.
    pub(super) fn invalid(&self) -> Vec<String> {
        self.invalid.iter().map(|(key, reason)| format!("{key}: {reason}")).collect()
    }

    /// All images that depend on this one, directly or through other origins, the youngest first.
    pub(super) fn dependents(&self, uuid: Uuid) -> Vec<Uuid> {
        let (mut found, mut left) = (BTreeSet::new(), vec![uuid]);
        while let Some(origin) = left.pop() {
            let children = self.images.values().filter(|image| image.origin == Some(origin));
            left.extend(
                children.map(|image| image.uuid).filter(|child| *child != uuid && found.insert(*child)),
            );
        }
        let mut found: Vec<_> = found.iter().filter_map(|uuid| self.images.get(uuid)).collect();
        found.sort_by(|one, other| other.published_at.cmp(&one.published_at));
        found.iter().map(|image| image.uuid).collect()
    }
}
