// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks of `files` and `icon`.

use serde_json::Value;

use super::Subject;
use crate::manifest::file::{Icon, ImageFile};
use crate::manifest::image::Record;
use crate::manifest::kinds::ImageType;
use crate::manifest::{FieldError, coerce};

pub(super) fn files(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    let Some(entries) = value.as_array() else {
        problems.push(FieldError::invalid("files").because("not an array"));
        return;
    };
    let max = subject.image_type.map_or(1, ImageType::max_files);
    if entries.len() > max {
        problems.push(FieldError::invalid("files").because(format!("more than {max}")));
    }
    for (index, entry) in entries.iter().enumerate() {
        check_entry(index, entry, problems);
    }
}

fn check_entry(index: usize, entry: &Value, problems: &mut Vec<FieldError>) {
    let found = problems.len();
    for name in ["sha1", "size", "compression"] {
        if !entry.get(name).is_some_and(coerce::truthy) {
            problems.push(FieldError::invalid("files").because(format!("file {index} lacks \"{name}\"")));
        }
    }
    if problems.len() == found && ImageFile::read(entry).is_none() {
        let message = format!("file {index} has a checksum, size, compression or storage that is not known");
        problems.push(FieldError::invalid("files").because(message));
    }
}

pub(super) fn icon(raw: &Record, problems: &mut Vec<FieldError>) {
    if raw.get("icon").and_then(Icon::read).is_none() {
        let message = "lacks a usable checksum, size or content type";
        problems.push(FieldError::invalid("icon").because(message));
    }
}
