// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{BTreeMap, HashSet};

use crate::console;
use crate::db::{Database, DbError};
use crate::manifest::{Image, Uuid};

/// The origins of the images that were loaded.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<Uuid, Option<Uuid>>);

impl Origins {
    /// Notes an image that is stored as loaded, or would be.
    pub(super) fn note(&mut self, image: &Image) {
        self.0.insert(image.uuid(), image.origin());
    }

    /// Reports each image whose origin is missing, and each circle of origins, because these images cannot be
    /// installed. Returns how many there are.
    pub(super) async fn check(&self, database: &Database) -> Result<u64, DbError> {
        let (mut seen, mut problems) = (HashSet::new(), 0);
        for uuid in self.0.keys().copied() {
            let (mut above, mut path) = (uuid, HashSet::new());
            while seen.insert(above) {
                path.insert(above);
                let Some(origin) = self.origin(database, above).await?.flatten() else { break };
                if path.contains(&origin) {
                    console::complain(format_args!("{above}: the image is an origin of itself, by {origin}"));
                    problems += 1;
                } else if self.origin(database, origin).await?.is_none() {
                    console::complain(format_args!("{above}: its origin {origin} is not there"));
                    problems += 1;
                }
                above = origin;
            }
        }
        Ok(problems)
    }

    /// Returns the origin of an image, if it has one; `None` if there is no such image.
    async fn origin(&self, database: &Database, uuid: Uuid) -> Result<Option<Option<Uuid>>, DbError> {
        match self.0.get(&uuid) {
            Some(origin) => Ok(Some(*origin)),
            None => Ok(database.get(uuid).await?.map(|stored| stored.image.origin())),
        }
    }
}
