// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Length and seeds of the random tests: in `make test`, a few rounds with the same requests every time; in `make soak`, many
//! rounds with different requests every time.

use rand::SeedableRng;
use rand::rngs::StdRng;

fn factor() -> Option<usize> {
    std::env::var("IMGAPI_SOAK").ok().map(|factor| factor.parse().unwrap())
}

/// Returns `count`, multiplied by `IMGAPI_SOAK` if it is set.
pub(crate) fn scaled(count: usize) -> usize {
    count * factor().unwrap_or(1)
}

/// Returns random numbers from this seed. With `IMGAPI_SOAK` the seed is random, and is printed.
pub(crate) fn randomness(seed: u64) -> StdRng {
    let seed = factor().map_or(seed, |_| rand::random());
    println!("random numbers from the seed {seed}");
    StdRng::seed_from_u64(seed)
}
