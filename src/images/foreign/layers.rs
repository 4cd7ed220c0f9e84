// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The UUIDs of images that are layers of Docker images.

use sha2::{Digest as _, Sha256};

use crate::import::registry::Digest;
use crate::manifest::Uuid;

/// Returns the UUID of the image of each layer. It is made from the digests of the layer and all below it. `layers` begins
/// with the base.
pub(super) fn layer_uuids(layers: impl IntoIterator<Item = Digest>) -> Vec<Uuid> {
    let mut chain = Sha256::new();
    let uuid = |(index, layer): (usize, Digest)| {
        let separator = if index == 0 { "" } else { " " };
        chain.update(format!("{separator}{layer}"));
        // The digest has more digits than a UUID.
        Uuid::of_digest(&hex::encode(chain.clone().finalize())).unwrap_or(Uuid::NIL)
    };
    layers.into_iter().enumerate().map(uuid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_the_uuid_of_its_chain() {
        let layers = [Digest::of(b"a"), Digest::of(b"b")];
        let uuids = layer_uuids(layers);
        let expected = [layers[0].to_string(), format!("{} {}", layers[0], layers[1])]
            .map(|chain| Uuid::of_digest(&Digest::of(chain.as_bytes()).hex()).unwrap());
        assert_eq!(uuids, expected);
        assert_eq!(layer_uuids([]), []);
    }
}
