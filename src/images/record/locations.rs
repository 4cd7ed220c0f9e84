// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the files of an image are stored, as its record says.

use crate::images::{ApiError, ApiResult};
use crate::manifest::{Icon, Image, ImageFile, OwnName, Stor};
use crate::storage::{Asset, Location};

/// The stored files of an image, the icon last.
pub(in crate::images) fn locations(image: &Image) -> Vec<Location> {
    let files = image.files().iter().enumerate();
    let files = files.map(|(index, file)| Location::of_file(image.uuid(), index, file));
    files.chain(image.icon().map(|icon| Location::of_icon(image.uuid(), icon))).collect()
}

/// The names in the image's directory of a storage that belong to these files. A file that waits for its final name has two
/// names.
pub(in crate::images) fn known_names(files: &[ImageFile], icon: Option<&Icon>, stor: Stor) -> Vec<String> {
    let files = files.iter().enumerate().map(|(index, file)| (Asset::File(index), file.stor, &file.object));
    let all = files.chain(icon.map(|icon| (Asset::Icon, icon.stor, &icon.object)));
    let here = all.filter(|(_, place, _)| *place == stor);
    here.flat_map(|(asset, _, own)| own.iter().map(|own| own.name.clone()).chain([asset.to_string()]))
        .collect()
}

pub(in crate::images) fn location(image: &Image, asset: Asset) -> Option<Location> {
    locations(image).into_iter().find(|location| location.asset == asset)
}

/// The files that `before` names and `after` does not. A file that is replaced under the same name is not among them.
pub(in crate::images) fn replaced(before: &Image, after: &Image) -> Vec<Location> {
    let after = locations(after);
    let mut replaced = Vec::new();
    for mut old in locations(before) {
        match after.iter().find(|new| new.asset == old.asset && new.stor == old.stor) {
            Some(new) if old.object.is_none() || name(&old) == name(new) => continue,
            // Only the object under its own name is replaced. The new file displaces what is at the final name.
            Some(_) => old.object = old.object.map(|own| OwnName { displaces: None, ..own }),
            None => {}
        }
        replaced.push(old);
    }
    replaced
}

pub(in crate::images) fn name(location: &Location) -> Option<&str> {
    location.object.as_ref().map(|own| own.name.as_str())
}

/// The image, with the given file stored in `stor`.
pub(in crate::images) fn stored_in(
    image: &Image,
    asset: Asset,
    stor: Stor,
    object: Option<&OwnName>,
) -> ApiResult<Image> {
    let changed = match asset {
        Asset::File(index) => image.with_file_in(index, stor, object),
        Asset::Icon => image.with_icon_in(stor, object),
    };
    changed.map_err(ApiError::validation)
}
