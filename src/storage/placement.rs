// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decides which storage a new file goes to.

use crate::manifest::Stor;

/// Whose image a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// An image of the datacenter's admin account.
    Admin,
    /// Any other image. Outside a datacenter all images are other ones.
    Other,
}

/// Where Manta is, if files can be stored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MantaPlace {
    /// This server stores no files in Manta.
    None,
    /// Manta is in this datacenter.
    Near,
    /// Manta is far away (`manta.remote`).
    Remote,
}

/// The rule of the operator guide. Manta is preferred for all images. An exception are images of the admin account if Manta is
/// remote, because a datacenter needs them even when Manta is out of reach. An operator's wish wins; as in 4.13.1, a wish for
/// an absent Manta is ignored.
pub fn choose(ownership: Ownership, manta: MantaPlace, wish: Option<Stor>) -> Stor {
    match (manta, wish, ownership) {
        (MantaPlace::None, _, _) | (_, Some(Stor::Local), _) => Stor::Local,
        (_, Some(Stor::Manta), _) | (MantaPlace::Near, None, _) => Stor::Manta,
        (MantaPlace::Remote, None, Ownership::Admin) => Stor::Local,
        (MantaPlace::Remote, None, Ownership::Other) => Stor::Manta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_the_operator_guide() {
        use MantaPlace::{Near, None as Absent, Remote};
        use Ownership::{Admin, Other};
        use Stor::{Local, Manta};
        let table = [
            // Manta, wish, storage of the admin's images, storage of other images.
            (Absent, None, Local, Local),
            (Absent, Some(Local), Local, Local),
            (Absent, Some(Manta), Local, Local),
            (Near, None, Manta, Manta),
            (Near, Some(Local), Local, Local),
            (Near, Some(Manta), Manta, Manta),
            (Remote, None, Local, Manta),
            (Remote, Some(Local), Local, Local),
            (Remote, Some(Manta), Manta, Manta),
        ];
        for (manta, wish, admin, others) in table {
            assert_eq!(choose(Admin, manta, wish), admin, "admin, {manta:?}, {wish:?}");
            assert_eq!(choose(Other, manta, wish), others, "others, {manta:?}, {wish:?}");
        }
    }
}
