// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The file and icon entries of a record.

use serde_json::{Map, Value, json};

use super::coerce;
use super::kinds::{Compression, Stor};

/// One entry of `files`: a stored file and its checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// SHA-1 of the bytes, lower-case hex.
    pub sha1: String,
    /// Size in bytes, never 0.
    pub size: u64,
    /// Declared compression.
    pub compression: Compression,
    /// MD5 of the bytes in base64, as in a `Content-MD5` header. Legacy entries lack it.
    pub content_md5: Option<String>,
    /// When the file was stored, ISO 8601. Legacy entries lack it.
    pub mtime: Option<String>,
    /// Where the bytes are stored. An entry without this member is local.
    pub stor: Stor,
    /// GUID of the ZFS dataset the file was made from, as the uploader gave it.
    pub dataset_guid: Option<String>,
    /// SHA-256 of the bytes, lower-case hex. 4.13.1 writes it for LXD images only.
    pub sha256: Option<String>,
    /// The object's name in Manta, as long as it differs from the name under which 4.13.1 looks for it.
    pub object: Option<OwnName>,
}

impl ImageFile {
    /// Reads an entry. `None` if a checksum, the size or the compression is missing or unusable.
    pub fn read(entry: &Value) -> Option<Self> {
        Some(Self {
            sha1: text(entry, "sha1")?,
            size: size(entry)?,
            compression: text(entry, "compression")?.parse().ok()?,
            content_md5: text(entry, "contentMD5"),
            mtime: text(entry, "mtime"),
            stor: stor(entry)?,
            dataset_guid: text(entry, "dataset_guid"),
            sha256: text(entry, "sha256"),
            object: OwnName::read(entry),
        })
    }

    /// Returns the stored entry, with its members in the order in which 4.13.1 writes them.
    pub(super) fn record(&self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                entry.insert(name.to_owned(), Value::from(value));
            }
        };
        put("sha1", Some(&self.sha1));
        put("size", Some(""));
        put("contentMD5", self.content_md5.as_deref());
        put("mtime", self.mtime.as_deref());
        put("stor", Some(self.stor.as_str()));
        put("dataset_guid", self.dataset_guid.as_deref());
        put("compression", Some(self.compression.as_str()));
        put("sha256", self.sha256.as_deref());
        entry.insert("size".to_owned(), json!(self.size));
        let mut entry = Value::Object(entry);
        OwnName::write(self.object.as_ref(), &mut entry);
        entry
    }
}

/// The temporary name of an object in Manta that has not got its final name yet: the member `object` of an entry, which
/// 4.13.1 keeps but does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnName {
    /// The name within the image's directory.
    pub name: String,
    /// MD5 in base64 of the object at the final name, if that object is known to be no longer needed.
    pub displaces: Option<String>,
}

impl OwnName {
    fn read(entry: &Value) -> Option<OwnName> {
        let object = entry.get("object")?;
        Some(OwnName { name: text(object, "name")?, displaces: text(object, "displaces") })
    }

    /// Sets the member in an entry, or removes it.
    pub(super) fn write(own: Option<&OwnName>, entry: &mut Value) {
        let Some(entry) = entry.as_object_mut() else { return };
        match own {
            Some(OwnName { name, displaces: None }) => {
                drop(entry.insert("object".into(), json!({"name": name})))
            }
            Some(OwnName { name, displaces }) => {
                drop(entry.insert("object".into(), json!({"name": name, "displaces": displaces})));
            }
            None => drop(entry.shift_remove("object")),
        }
    }
}

/// The stored icon of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// SHA-1 of the bytes, lower-case hex.
    pub sha1: String,
    /// Size in bytes, never 0.
    pub size: u64,
    /// Media type, e.g. `image/png`.
    pub content_type: String,
    /// MD5 of the bytes in base64.
    pub content_md5: Option<String>,
    /// When the icon was stored, ISO 8601.
    pub mtime: Option<String>,
    /// Where the bytes are stored.
    pub stor: Stor,
    /// See [`ImageFile::object`].
    pub object: Option<OwnName>,
}

impl Icon {
    /// Reads a stored icon. `None` if its checksum, size or content type is missing or unusable.
    pub(super) fn read(icon: &Value) -> Option<Self> {
        Some(Self {
            sha1: text(icon, "sha1")?,
            size: size(icon)?,
            content_type: text(icon, "contentType")?,
            content_md5: text(icon, "contentMD5"),
            mtime: text(icon, "mtime"),
            stor: stor(icon)?,
            object: OwnName::read(icon),
        })
    }
}

impl Icon {
    /// Returns the stored icon, with its members in the order in which 4.13.1 writes them.
    pub(super) fn record(&self) -> Value {
        let mut icon = json!({
            "contentType": self.content_type,
            "size": self.size,
            "contentMD5": self.content_md5,
            "sha1": self.sha1,
            "mtime": self.mtime,
            "stor": self.stor,
        });
        OwnName::write(self.object.as_ref(), &mut icon);
        icon
    }
}

/// Returns a member if it is a string that is not empty.
fn text(entry: &Value, name: &str) -> Option<String> {
    entry.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn size(entry: &Value) -> Option<u64> {
    let whole = coerce::whole(coerce::number(entry.get("size")?)?)?;
    u64::try_from(whole).ok().filter(|size| *size > 0)
}

fn stor(entry: &Value) -> Option<Stor> {
    match entry.get("stor") {
        None | Some(Value::Null) => Some(Stor::Local),
        Some(name) => name.as_str()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Value {
        json!({
            "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
            "size": 5,
            "contentMD5": "XUFAKrxLKna5cZ2REBfFkg==",
            "mtime": "2026-11-22T05:57:45.520Z",
            "stor": "local",
            "compression": "none",
        })
    }

    #[test]
    fn an_entry_is_written_as_it_was_read() {
        let file = ImageFile::read(&entry()).unwrap();
        assert_eq!(file.record().to_string(), entry().to_string());
    }

    #[test]
    fn legacy_entries_lack_md5_and_mtime() {
        let file = ImageFile::read(&json!({"sha1": "x", "size": 42, "compression": "gzip"})).unwrap();
        assert_eq!((file.stor, file.content_md5, file.mtime), (Stor::Local, None, None));
    }

    #[test]
    fn an_entry_needs_checksum_size_and_compression() {
        for (name, value) in [
            ("sha1", json!("")),
            ("sha1", json!(1)),
            ("size", json!(0)),
            ("size", json!(-1)),
            ("size", json!(1.5)),
            ("size", json!(null)),
            ("compression", json!("zip")),
            ("stor", json!("tape")),
        ] {
            let mut bad = entry();
            bad[name] = value;
            assert_eq!(ImageFile::read(&bad), None, "{bad}");
        }
        assert_eq!(ImageFile::read(&json!(null)), None);
    }
}
