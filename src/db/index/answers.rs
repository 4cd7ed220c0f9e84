// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, View};

/// The cached answers may take up to this fraction (one in `SHARE`) of the size of all manifest texts.
const SHARE: usize = 4;
/// The bytes that the cached answers may always take.
const MIN_BYTES: usize = 4 << 20;
/// The estimated bytes of an answer besides its text.
const OVERHEAD: usize = 512;

/// The rendered answer to a list query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAnswer {
    /// JSON, two spaces a level.
    pub text: Bytes,
    /// A strong entity tag, without quotes: lower-case hex.
    pub etag: Arc<str>,
}

impl ListAnswer {
    /// Renders the images as [`crate::manifest::json::pretty`] would, and derives the entity tag from theirs.
    pub(in crate::db) fn render(views: &[Arc<View>], form: ApiForm) -> ListAnswer {
        let mut digest = Sha1::new();
        digest.update([u8::from(form.admin_fields)]);
        let indentation = 64;
        let size =
            views.iter().map(|view| view.text_len() + view.text_len() / 4 + indentation).sum::<usize>();
        let mut text = Vec::with_capacity(size + 4);
        text.push(b'[');
        for (at, view) in views.iter().enumerate() {
            text.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
            view.append_element(&form, &mut text);
            digest.update(view.uuid().to_string());
            digest.update(view.etag_bytes(form.version));
            // The storage backend is the only shown member that the images' tags do not cover.
            let shown = view.files().iter().filter(|_| form.admin_fields);
            shown.for_each(|file| digest.update(file.stor.as_str()));
        }
        if !views.is_empty() {
            text.push(b'\n');
        }
        text.push(b']');
        text.shrink_to_fit();
        ListAnswer { text: text.into(), etag: hex::encode(digest.finalize()).into() }
    }
}

/// A cache of the answers rendered since the last change, by query and form.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<AnswerCache>);

#[derive(Debug, Default)]
struct AnswerCache {
    generation: u64,
    bytes: usize,
    answers: HashMap<(ListQuery, ApiForm), ListAnswer>,
}

impl Answers {
    pub(super) fn get(&self, generation: u64, query: &ListQuery, form: ApiForm) -> Option<ListAnswer> {
        let kept = self.kept();
        if kept.generation != generation {
            return None;
        }
        kept.answers.get(&(query.clone(), form)).cloned()
    }

    /// Stores an answer. `manifest_bytes` is the size of all images' texts.
    pub(super) fn put(
        &self,
        generation: u64,
        query: &ListQuery,
        form: ApiForm,
        answer: ListAnswer,
        manifest_bytes: usize,
    ) {
        let most = (manifest_bytes / SHARE).max(MIN_BYTES);
        // A query can be as long as its sender likes, so its size counts, too.
        let size = answer.text.len() + format!("{query:?}").len() + OVERHEAD;
        let mut kept = self.kept();
        if size > most || kept.generation > generation {
            return;
        }
        if kept.generation < generation || kept.bytes + size > most {
            *kept = AnswerCache { generation, ..AnswerCache::default() };
        }
        if kept.answers.insert((query.clone(), form), answer).is_none() {
            kept.bytes += size;
        }
    }

    fn kept(&self) -> MutexGuard<'_, AnswerCache> {
        // Each change of the cache is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
