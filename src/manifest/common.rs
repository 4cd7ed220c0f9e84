// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an image tells in both of its forms, [`Image`](super::Image) and [`View`](super::View).

/// Implements the methods that both forms have in common. A form keeps its values in its own way, under the same names.
macro_rules! common_methods {
    ($form:ty) => {
        impl $form {
            /// Returns whether an account may see this image.
            ///
            /// The owner always may. Others may see it once it is activated, even while it is disabled, if it is public or
            /// its ACL names them.
            pub fn is_visible_to(&self, account: Uuid) -> bool {
                self.owner == account || (self.activated() && (self.public() || self.is_shared_with(account)))
            }

            /// The image's UUID.
            pub fn uuid(&self) -> Uuid {
                self.uuid
            }

            /// The account that owns the image.
            pub fn owner(&self) -> Uuid {
                self.owner
            }

            /// The name. A number in the record is returned as a string.
            pub fn name(&self) -> &str {
                &self.name
            }

            /// The version. A number in the record is returned as a string.
            pub fn version(&self) -> &str {
                &self.version
            }

            /// The stored state. After an operator's update it can disagree with the flags.
            pub fn state(&self) -> State {
                self.state
            }

            /// The files: at most one, or two for LXD images.
            pub fn files(&self) -> &[ImageFile] {
                &self.files
            }

            /// Accounts that may use a private image. A view has them without duplicates, in the order of UUIDs.
            pub fn acl(&self) -> &[Uuid] {
                &self.acl
            }
        }
    };
}

pub(super) use common_methods;
