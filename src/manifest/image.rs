//! A validated record.

use serde_json::{Map, Value, json};

use super::api_form::{ApiForm, ApiImage};
use super::file::{Icon, ImageFile};
use super::kinds::{ImageType, Os, Rules, State};
use super::uuid::Uuid;
use super::{FieldError, coerce, tags, validate};

/// The stored form of an image: what a database holds under its UUID.
pub type Record = Map<String, Value>;

/// A record that passed validation, and the values in it that operations need.
///
/// The record itself is kept exactly as it was stored: unknown members, text booleans and legacy shapes
/// survive a load and a put, so that 4.13.1 can go on with what it wrote.
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
    pub(super) published_millis: Option<i64>,
    pub(super) expires_at: Option<String>,
    pub(super) origin: Option<Uuid>,
    pub(super) files: Vec<ImageFile>,
    pub(super) icon: Option<Icon>,
    pub(super) acl: Vec<Uuid>,
    pub(super) billing_tags: Vec<String>,
    pub(super) channels: Option<Vec<String>>,
    /// Set only when the record has no `tagsObj` and the object was rebuilt from the list.
    pub(super) rebuilt_tags: Option<Map<String, Value>>,
}

impl Image {
    /// Validates a record against the rules of the server that holds it.
    ///
    /// # Errors
    /// Every problem found, in the order 4.13.1 reports them. A stored record that fails is treated as
    /// if it did not exist.
    pub fn load(raw: Record, rules: Rules) -> Result<Self, Vec<FieldError>> {
        validate::load(raw, rules)
    }

    /// A changed copy: the closure edits the stored form, which is then validated as a whole.
    ///
    /// # Errors
    /// Every problem of the changed record, also one that was not caused by the change.
    pub fn with(&self, change: impl FnOnce(&mut Record)) -> Result<Self, Vec<FieldError>> {
        let mut raw = self.raw.clone();
        change(&mut raw);
        Self::load(raw, self.rules)
    }

    /// A copy whose first file is this one; a second file stays.
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

    /// An activated copy. `now` (ISO 8601 with milliseconds) becomes `published_at` unless the record has
    /// one; `expires_at` goes.
    ///
    /// # Errors
    /// Every problem of the changed record; a placeholder always has some, because it has no type.
    pub fn activate(&self, now: &str) -> Result<Self, Vec<FieldError>> {
        let state = State::of_flags(true, self.disabled);
        self.with(|raw| {
            raw.insert("activated".to_owned(), Value::Bool(true));
            raw.insert("state".to_owned(), Value::from(state.as_str()));
            if !raw.get("published_at").is_some_and(coerce::truthy) {
                raw.insert("published_at".to_owned(), Value::from(now));
            }
            raw.shift_remove("expires_at");
        })
    }

    /// The form shown to clients; serialise it with [`super::json`].
    pub fn api(&self, form: &ApiForm) -> ApiImage<'_> {
        ApiImage::new(self, *form)
    }

    /// Whether an account may see this image.
    ///
    /// Its owner always; others once it is activated, also when disabled, if it is public or names them
    /// in its ACL.
    pub fn is_visible_to(&self, account: Uuid) -> bool {
        self.owner == account || (self.activated && (self.public || self.acl.contains(&account)))
    }

    /// The stored form.
    pub fn record(&self) -> &Record {
        &self.raw
    }

    /// Gives the stored form away.
    pub fn into_record(self) -> Record {
        self.raw
    }

    /// The image's UUID.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The account that owns the image.
    pub fn owner(&self) -> Uuid {
        self.owner
    }

    /// The name. A number in the record is given in its text form.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version. A number in the record is given in its text form.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The stored state; an operator's update can make it disagree with the flags.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the image was activated.
    pub fn activated(&self) -> bool {
        self.activated
    }

    /// Whether the image is disabled; meaningful once activated.
    pub fn disabled(&self) -> bool {
        self.disabled
    }

    /// Whether every account may see the image once activated.
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

    /// The image this one is a difference from.
    pub fn origin(&self) -> Option<Uuid> {
        self.origin
    }

    /// The files, at most one, two for LXD images.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }

    /// The icon.
    pub fn icon(&self) -> Option<&Icon> {
        self.icon.as_ref()
    }

    /// Accounts that may use a private image.
    pub fn acl(&self) -> &[Uuid] {
        &self.acl
    }

    /// Tags that billing uses.
    pub fn billing_tags(&self) -> &[String] {
        &self.billing_tags
    }

    /// The channels the image is in; `None` where the server has none.
    pub fn channels(&self) -> Option<&[String]> {
        self.channels.as_deref()
    }

    /// The tags as submitted, or as rebuilt from the search list of an old record.
    pub fn tags(&self) -> Option<&Map<String, Value>> {
        match self.raw.get("tagsObj") {
            Some(Value::Object(tags)) => Some(tags),
            _ => self.rebuilt_tags.as_ref(),
        }
    }

    /// The `key=value` elements that a search compares with.
    pub fn tags_search_list(&self) -> Vec<String> {
        match self.raw.get("tags").and_then(Value::as_array) {
            Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => self.tags().map(tags::search_list).unwrap_or_default(),
        }
    }
}
