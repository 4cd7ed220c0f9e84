// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A validated record.

use serde_json::{Map, Value, json};

use super::common::common_methods;
use super::file::{Icon, ImageFile, OwnName};
use super::kinds::{ImageType, Os, Rules, State, Stor};
use super::times::Moment;
use super::uuid::Uuid;
use super::{FieldError, coerce, tags};

/// The stored form of an image: what a database holds under its UUID.
pub type Record = Map<String, Value>;

/// A record that passed validation, and the values in it that operations need.
///
/// The record itself is kept exactly as it was stored: unknown members, booleans stored as strings and legacy shapes
/// survive a load and a put, so that 4.13.1 can still read what it wrote.
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) raw: Record,
    pub(super) rules: Rules,
    pub(super) uuid: Uuid,
    pub(super) owner: Uuid,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) state: State,
    pub(super) activated: bool,
    pub(super) disabled: bool,
    pub(super) public: bool,
    pub(super) image_type: Option<ImageType>,
    pub(super) os: Option<Os>,
    pub(super) published_at: Option<String>,
    pub(super) published: Option<Moment>,
    pub(super) expires_at: Option<String>,
    pub(super) files: Vec<ImageFile>,
    pub(super) icon: Option<Icon>,
    pub(super) acl: Vec<Uuid>,
    pub(super) billing_tags: Vec<String>,
    pub(super) channels: Option<Vec<String>>,
    /// Set only when the record has no `tagsObj` and the object was rebuilt from the list.
    pub(super) rebuilt_tags: Option<Map<String, Value>>,
}

/// The member that holds the image's former UUID, after the image was renamed.
const RENAMED_FROM: &str = "renamed_from";

/// The member that holds the UUID of the job that makes the image.
const JOB: &str = "job_uuid";

common_methods!(Image);

impl Image {
    /// Returns a changed copy: the closure edits the stored form, which is then validated as a whole.
    ///
    /// # Errors
    /// Every problem of the changed record, including those it had before the change.
    pub fn with(&self, change: impl FnOnce(&mut Record)) -> Result<Self, Vec<FieldError>> {
        let mut raw = self.raw.clone();
        change(&mut raw);
        Self::load(raw, self.rules)
    }

    /// Returns a copy with this file as its first file. A second file stays.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_file(&self, file: &ImageFile) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| {
            let entry = file.record();
            match raw.get_mut("files").and_then(Value::as_array_mut) {
                Some(files) if !files.is_empty() => files[0] = entry,
                _ => {
                    raw.insert("files".to_owned(), json!([entry]));
                }
            }
        })
    }

    /// Returns a copy with these files in the place of all its files.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_files(&self, files: &[ImageFile]) -> Result<Self, Vec<FieldError>> {
        let entries: Vec<_> = files.iter().map(ImageFile::record).collect();
        self.with(|raw| drop(raw.insert("files".to_owned(), Value::Array(entries))))
    }

    /// Returns a copy that says where file `index` is stored, and under which name if it has a temporary one.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_file_in(
        &self,
        index: usize,
        stor: Stor,
        object: Option<&OwnName>,
    ) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| {
            let files = raw.get_mut("files").and_then(Value::as_array_mut);
            set_place(files.and_then(|files| files.get_mut(index)), stor, object);
        })
    }

    /// Returns a copy that says where the icon is stored, and under which name if it has a temporary one.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_icon_in(&self, stor: Stor, object: Option<&OwnName>) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| set_place(raw.get_mut("icon"), stor, object))
    }

    /// Returns a copy in which file `index` has this SHA-256, in lower-case hex.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_sha256(&self, index: usize, sha256: &str) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| {
            let files = raw.get_mut("files").and_then(Value::as_array_mut);
            if let Some(entry) = files.and_then(|files| files.get_mut(index)).and_then(Value::as_object_mut) {
                entry.insert("sha256".to_owned(), Value::from(sha256));
            }
        })
    }

    /// Returns a copy with this icon.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn with_icon(&self, icon: &Icon) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| drop(raw.insert("icon".to_owned(), icon.record())))
    }

    /// Returns a copy without an icon.
    ///
    /// # Errors
    /// Every problem of the changed record.
    pub fn without_icon(&self) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| drop(raw.shift_remove("icon")))
    }

    /// Returns an activated copy. `now` (ISO 8601 with milliseconds) becomes `published_at` unless the record has one;
    /// `expires_at` is removed.
    ///
    /// # Errors
    /// Every problem of the changed record. A placeholder always has some, because it has no type.
    pub fn activate(&self, now: &str) -> Result<Self, Vec<FieldError>> {
        let state = State::of_flags(true, self.disabled);
        self.with(|raw| {
            raw.insert("activated".to_owned(), Value::Bool(true));
            raw.insert("state".to_owned(), Value::from(state.as_str()));
            if !raw.get("published_at").is_some_and(coerce::truthy) {
                raw.insert("published_at".to_owned(), Value::from(now));
            }
            raw.shift_remove("expires_at");
            raw.shift_remove(JOB);
        })
    }

    /// Returns a copy that names the job that makes the image, or no job. As with the other members that only this
    /// server writes, 4.13.1 keeps the member but does not read it.
    ///
    /// # Errors
    /// None for a valid image.
    pub fn of_job(&self, job: Option<Uuid>) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| match job {
            Some(job) => drop(raw.insert(JOB.to_owned(), json!(job))),
            None => drop(raw.shift_remove(JOB)),
        })
    }

    /// Returns the job that makes the image. It is set until the image is activated or another request gives it a file.
    pub fn job(&self) -> Option<Uuid> {
        self.raw.get(JOB)?.as_str()?.parse().ok()
    }

    /// Returns a copy with the same content and another etag, so that no conditional write based on the earlier version
    /// can succeed any more. The member that makes the difference is one that 4.13.1 keeps but does not read.
    ///
    /// # Errors
    /// None for a valid image.
    pub fn fenced(&self) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| drop(raw.insert("write_fence".to_owned(), json!(Uuid::new_v4()))))
    }

    /// Returns a copy that names the image's former UUID. 4.13.1 keeps this member but does not read it.
    ///
    /// # Errors
    /// None for a valid image.
    pub fn renamed_from(&self, old: Uuid) -> Result<Self, Vec<FieldError>> {
        self.with(|raw| drop(raw.insert(RENAMED_FROM.to_owned(), json!(old))))
    }

    /// Returns the UUID that the image had before it was renamed, if it was.
    pub fn former_uuid(&self) -> Option<Uuid> {
        self.raw.get(RENAMED_FROM)?.as_str()?.parse().ok()
    }

    /// The stored form.
    pub fn record(&self) -> &Record {
        &self.raw
    }

    /// Returns whether the image was activated.
    pub fn activated(&self) -> bool {
        self.activated
    }

    /// Returns whether the image is disabled; meaningful once activated.
    pub fn disabled(&self) -> bool {
        self.disabled
    }

    /// Returns whether every account may see the image once activated.
    pub fn public(&self) -> bool {
        self.public
    }

    /// The type; `None` for a placeholder.
    pub fn image_type(&self) -> Option<ImageType> {
        self.image_type
    }

    /// The operating system; `None` for a placeholder.
    pub fn os(&self) -> Option<Os> {
        self.os
    }

    /// When the image was published, as stored.
    pub fn published_at(&self) -> Option<&str> {
        self.published_at.as_deref()
    }

    /// When a placeholder expires, ISO 8601.
    pub fn expires_at(&self) -> Option<&str> {
        self.expires_at.as_deref()
    }

    /// The icon.
    pub fn icon(&self) -> Option<&Icon> {
        self.icon.as_ref()
    }

    /// The image that this one is based on and cannot be used without.
    pub fn origin(&self) -> Option<Uuid> {
        self.raw.get("origin")?.as_str()?.parse().ok()
    }

    /// Returns whether the account is in the ACL.
    pub fn is_shared_with(&self, account: Uuid) -> bool {
        self.acl.contains(&account)
    }

    /// Tags that billing uses.
    pub fn billing_tags(&self) -> &[String] {
        &self.billing_tags
    }

    /// The channels the image is in; `None` if the server has no channels.
    pub fn channels(&self) -> Option<&[String]> {
        self.channels.as_deref()
    }

    /// The tags as submitted, or rebuilt from the search list of a legacy record.
    pub fn tags(&self) -> Option<&Map<String, Value>> {
        match self.raw.get("tagsObj") {
            Some(Value::Object(tags)) => Some(tags),
            _ => self.rebuilt_tags.as_ref(),
        }
    }

    /// The `key=value` elements that searches compare with.
    pub fn tags_search_list(&self) -> Vec<String> {
        match self.raw.get("tags").and_then(Value::as_array) {
            Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => self.tags().map(tags::search_list).unwrap_or_default(),
        }
    }
}

fn set_place(entry: Option<&mut Value>, stor: Stor, object: Option<&OwnName>) {
    let Some(entry) = entry.filter(|entry| entry.is_object()) else { return };
    entry["stor"] = json!(stor);
    OwnName::write(object, entry);
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{
        BASE, BASE_2, DARK_SIDE, DC, EMPEROR, FATHER, JOIN_US, LUKE, NODEJS, SDC, VADER, moray_image,
        small_record, uuid,
    };
    use super::super::kinds::{Compression, Stor};
    use super::*;

    fn file() -> ImageFile {
        ImageFile {
            sha1: "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".to_owned(),
            size: 5,
            compression: Compression::None,
            content_md5: Some("XUFAKrxLKna5cZ2REBfFkg==".to_owned()),
            mtime: Some("2026-11-22T05:57:45.520Z".to_owned()),
            stor: Stor::Local,
            dataset_guid: None,
            sha256: Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned()),
            object: None,
        }
    }

    #[test]
    fn accounts_see_what_the_matrix_says() {
        for (image, vader, luke, emperor, sdc) in [
            (BASE, true, true, true, true),
            (NODEJS, true, true, true, true),
            (BASE_2, false, false, false, true),
            (FATHER, true, true, false, false),
            (DARK_SIDE, true, true, false, false),
            (JOIN_US, true, false, false, false),
        ] {
            let image = moray_image(image);
            let seen = [VADER, LUKE, EMPEROR, SDC].map(|account| image.is_visible_to(uuid(account)));
            assert_eq!(seen, [vader, luke, emperor, sdc], "{}", image.uuid());
        }
    }

    #[test]
    fn a_file_replaces_the_first_entry_and_leaves_the_second() {
        let image = moray_image(BASE_2).with_file(&file()).unwrap();
        assert_eq!(image.files(), [file()]);
        assert_eq!(image.with_file(&ImageFile { size: 6, ..file() }).unwrap().files().len(), 1);

        let two = small_record(json!({
            "type": "lxd", "files": [{"sha1": "a", "size": 1, "compression": "xz"}, {"sha1": "b", "size": 2, "compression": "xz", "x": 1}],
        }));
        let two = Image::load(two, DC).unwrap().with_file(&file()).unwrap();
        assert_eq!((two.files()[0].size, two.files()[1].size), (5, 2));
        assert_eq!(two.record()["files"][1]["x"], json!(1));
    }

    #[test]
    fn a_file_without_bytes_is_refused() {
        let problems = moray_image(BASE_2).with_file(&ImageFile { size: 0, ..file() }).unwrap_err();
        assert_eq!(problems[0].field, "files");
    }

    #[test]
    fn activation_publishes_unless_the_import_said_when() {
        let now = "2026-11-25T10:00:00.000Z";
        let image = moray_image(BASE_2).with_file(&file()).unwrap().activate(now).unwrap();
        assert_eq!(
            (image.state(), image.activated(), image.published_at()),
            (State::Active, true, Some(now))
        );
        assert!(!image.record().contains_key("expires_at"));

        let imported = moray_image("caac17a4-d512-11e3-9d41-b756aebcb18f").with_file(&file()).unwrap();
        assert_eq!(imported.activate(now).unwrap().published_at(), Some("2014-05-06T00:00:00.000Z"));
    }

    #[test]
    fn activation_of_a_disabled_image_leaves_it_disabled() {
        let record = small_record(json!({"disabled": true}));
        let image = Image::load(record, DC).unwrap().with_file(&file()).unwrap();
        assert_eq!(image.activate("2026-11-25T10:00:00.000Z").unwrap().state(), State::Disabled);
    }

    #[test]
    fn activation_needs_a_file() {
        let problems = moray_image(BASE_2).activate("2026-11-25T10:00:00.000Z").unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "files");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let image = moray_image(FATHER);
        let changed = image.with(|raw| drop(raw.insert("description".to_owned(), json!("x")))).unwrap();
        assert_eq!(changed.record()["objectclass"], json!("sdcimage"));
        assert_eq!(changed.record()["acl"], json!(LUKE));
        assert!(image.with(|raw| drop(raw.shift_remove("name"))).is_err());
    }
}
