// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How long the random tests run, and what they begin with: a few rounds of the same requests each time in `make test`; many
//! rounds of others each time in `make soak`.

use rand::SeedableRng;
use rand::rngs::StdRng;

fn factor() -> Option<usize> {
    std::env::var("IMGAPI_SOAK").ok().map(|factor| factor.parse().unwrap())
}

/// So many, or as many times as many as `IMGAPI_SOAK` says.
pub(crate) fn scaled(count: usize) -> usize {
    count * factor().unwrap_or(1)
}

/// Random numbers from this seed; with `IMGAPI_SOAK` from one that nobody knows before, and that is printed.
pub(crate) fn randomness(seed: u64) -> StdRng {
    let seed = factor().map_or(seed, |_| rand::random());
    println!("random numbers from the seed {seed}");
    StdRng::seed_from_u64(seed)
}
