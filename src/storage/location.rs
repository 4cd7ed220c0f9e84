use super::Asset;
use crate::manifest::{Icon, ImageFile, OwnName, Stor, Uuid};

/// Which bytes of which image, and where they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The image.
    pub uuid: Uuid,
    /// Which of its files.
    pub asset: Asset,
    /// Which storage has it.
    pub stor: Stor,
    /// SHA-1 of the bytes, lower-case hex.
    pub sha1: String,
    /// Their number.
    pub size: u64,
    /// MD5 of the bytes in base64, where it is known.
    pub md5: Option<String>,
    /// The name of the object in Manta, while it is not that of the asset: see `manta.rs`.
    pub object: Option<OwnName>,
}

impl Location {
    /// Where file `index` of an image is.
    pub fn of_file(uuid: Uuid, index: usize, file: &ImageFile) -> Location {
        Location {
            uuid,
            asset: Asset::File(index),
            stor: file.stor,
            sha1: file.sha1.clone(),
            size: file.size,
            md5: file.content_md5.clone(),
            object: file.object.clone(),
        }
    }

    /// Where the icon of an image is.
    pub fn of_icon(uuid: Uuid, icon: &Icon) -> Location {
        Location {
            uuid,
            asset: Asset::Icon,
            stor: icon.stor,
            sha1: icon.sha1.clone(),
            size: icon.size,
            md5: icon.content_md5.clone(),
            object: icon.object.clone(),
        }
    }
}

/// Where bytes that arrive are to go.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The image.
    pub uuid: Uuid,
    /// Which of its files.
    pub asset: Asset,
    /// Which storage is to have it.
    pub stor: Stor,
    /// Whether the image has such a file there already, which must stay until the record names the new one.
    pub replaces: bool,
}
