// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The files on disk at the end.

use std::collections::BTreeSet;

use coal::Datacenter;

use super::ledger::Ledger;
use crate::support::{files_below, image_file, is_copy_of};

/// Checks that the disk contains the files of the images, an archive of manifests and the server's lock. It may also contain the
/// files of images whose deletion was interrupted, and copies for the archive of images that were never created, but nothing
/// else.
pub(super) fn assert_only_what_is_named(datacenter: &Datacenter, ledger: &Ledger) {
    let base = datacenter.local_dir();
    let mut found: BTreeSet<_> = files_below(&base).into_iter().collect();
    for record in ledger.records() {
        let was_there = found.remove(&image_file(datacenter, &record.uuid));
        let may_be_there = record.has_file() || record.may_have_left_a_file();
        assert!(was_there || !record.has_file(), "no file: {record:?}");
        assert!(may_be_there || !was_there, "a file too many: {record:?}");
    }
    let known: BTreeSet<_> = ledger.records().map(|record| record.uuid.clone()).collect();
    found.retain(|path| is_copy_of(path).is_none_or(|uuid| known.contains(&uuid)));
    assert!(found.remove(&base.join("imgapi.lock")));
    let archive = base.join("archive");
    let is_manifest = |text: String| serde_json::from_str::<serde_json::Value>(&text).is_ok();
    found
        .retain(|path| !(path.starts_with(&archive) && std::fs::read_to_string(path).is_ok_and(is_manifest)));
    assert!(found.is_empty(), "{found:?}");
}
