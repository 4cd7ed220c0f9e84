// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which storage a new file goes to.

use crate::manifest::Stor;

/// Whose image it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The admin account's of a datacenter.
    Admin,
    /// Anybody else's. Outside a datacenter there is nobody else.
    Other,
}

/// What there is beside local storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MantaPlace {
    /// There is no Manta for files.
    None,
    /// It is near.
    Near,
    /// It is far away (`manta.remote`).
    Remote,
}

/// The rule of the operator guide: Manta is preferred for everybody, but a remote one not for the admin account, whose
/// images a datacenter needs to be itself. An operator's wish wins; as in 4.13.1, one for a Manta that is not there gives
/// way.
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
            // Manta, wish, the admin's, others'
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
