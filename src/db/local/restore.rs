// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::path::Path;

use super::directory::{Directory, LARGEST};
use crate::files;
use crate::manifest::restore::{FoundFile, restore};
use crate::manifest::{Image, Rules, Uuid, View, json, times};

/// Restores the record of a file that holds none, from the archive's copy. Returns what is wrong and what was done about it,
/// and the image if it could be restored. The damaged file is kept, under another name if a new one is written.
pub(super) fn restored(
    base: &Path,
    directory: &Directory,
    uuid: Uuid,
    rules: Rules,
    reason: String,
) -> (String, Option<View>) {
    match try_restore(base, directory, uuid, rules) {
        Ok((view, done)) => (format!("{reason}; {done}"), Some(view)),
        Err(why) => (format!("{reason}; not restored: {why}"), None),
    }
}

fn try_restore(
    base: &Path,
    directory: &Directory,
    uuid: Uuid,
    rules: Rules,
) -> Result<(View, String), String> {
    let text = uuid.to_string();
    let (prefix, name) = (&text[..3], format!("{text}.json"));
    let archived = files::read(&base.join("archive").join(prefix).join(name), LARGEST)
        .map_err(|error| format!("the archive has no copy that can be read: {error}"))?;
    let manifest = serde_json::from_slice(&archived)
        .map_err(|error| format!("the archive's copy is no JSON object: {error}"))?;
    let files = base.join("images").join(prefix).join(&text);
    let restored = restore(manifest, rules.mode, |index, size| local_file(&files, index, size));
    let image = Image::load(restored.record, rules).map_err(|problems| {
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        format!("the archive's copy is not valid: {}", fields.join(", "))
    })?;
    if image.uuid() != uuid {
        return Err(format!("the archive's copy is that of {}", image.uuid()));
    }
    let view = View::new(&image).map_err(|error| error.to_string())?;
    let record = json::pretty(&json::JsObject(image.record())).map_err(|error| error.to_string())?;
    let kept = directory.keep_aside(uuid).map_err(|error| error.to_string())?;
    directory.write(uuid, record.as_bytes()).map_err(|error| error.to_string())?;
    let missing = restored.missing.join(", ");
    Ok((view, format!("restored from the archive, without {missing}; the damaged file is now {kept}")))
}

/// Returns the image's file in local storage, if its size is right.
fn local_file(directory: &Path, index: usize, size: u64) -> Option<FoundFile> {
    let found = fs::symlink_metadata(directory.join(format!("file{index}"))).ok()?;
    let mtime = time::OffsetDateTime::from(found.modified().ok()?);
    (found.is_file() && found.len() == size).then(|| FoundFile { mtime: times::iso_millis(mtime) })
}
