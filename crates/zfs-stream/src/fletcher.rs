// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Fletcher-4, the sum of ZFS' streams.

use std::fmt;

use crate::wire::ByteOrder;

/// Words that are summed side by side: each of the lanes takes every fourth word, so that compilers use vector instructions.
const LANES: usize = 4;

/// Bytes of one word.
const WORD: usize = 4;

/// Bytes that one step of all lanes takes.
const STEP: usize = LANES * WORD;

/// Bytes after which the lanes are combined. The cube of this number of words must fit into 64 bits.
const BLOCK: usize = 32 << 10;

/// A value of Fletcher-4: four sums modulo 2⁶⁴ (`zio_cksum_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(pub [u64; 4]);

impl Sum {
    /// Whether all four sums are 0, which records without a sum have in its place.
    pub fn is_zero(self) -> bool {
        self == Sum::default()
    }
}

impl fmt::Display for Sum {
    /// Formats the sums as `zstream dump` does: hexadecimal, with `/` between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a:x}/{b:x}/{c:x}/{d:x}")
    }
}

/// A running Fletcher-4 sum over 32-bit words. Bytes may arrive in pieces of any length.
#[derive(Debug, Clone)]
pub struct Fletcher4 {
    order: ByteOrder,
    sum: Sum,
    /// The first bytes of a word that is not complete.
    begun: [u8; WORD],
    begun_len: usize,
}

impl Fletcher4 {
    /// Begins a sum over words of this byte order.
    pub fn new(order: ByteOrder) -> Fletcher4 {
        Fletcher4 { order, sum: Sum::default(), begun: [0; WORD], begun_len: 0 }
    }

    /// Returns the sum of all complete words so far.
    pub fn sum(&self) -> Sum {
        self.sum
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.begun_len > 0 {
            let Some((first, others)) = rest.split_first() else { return };
            self.push(*first);
            rest = others;
        }
        let (whole, tail) = rest.split_at(rest.len() - rest.len() % WORD);
        // The order is a constant in each of the loops.
        self.sum = match self.order {
            ByteOrder::Little => add_words(self.sum, whole, u32::from_le_bytes),
            ByteOrder::Big => add_words(self.sum, whole, u32::from_be_bytes),
        };
        tail.iter().for_each(|byte| self.push(*byte));
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.begun.get_mut(self.begun_len) {
            *place = byte;
        }
        self.begun_len += 1;
        if self.begun_len == WORD {
            self.begun_len = 0;
            self.sum = add_word(self.sum, self.order.u32(self.begun));
        }
    }
}

fn add_word(Sum([a, b, c, d]): Sum, word: u32) -> Sum {
    let a = a.wrapping_add(word.into());
    let b = b.wrapping_add(a);
    let c = c.wrapping_add(b);
    Sum([a, b, c, d.wrapping_add(c)])
}

/// Adds whole words.
fn add_words(mut sum: Sum, bytes: &[u8], word: impl Fn([u8; WORD]) -> u32 + Copy) -> Sum {
    for block in bytes.chunks(BLOCK) {
        let (steps, rest) = block.as_chunks::<STEP>();
        sum = combined(sum, lanes(steps, word), steps.len() as u64 * LANES as u64);
        let (words, _) = rest.as_chunks::<WORD>();
        sum = words.iter().fold(sum, |sum, bytes| add_word(sum, word(*bytes)));
    }
    sum
}

/// Four sums in each of the lanes, beginning with 0: `[which sum][lane]`.
type Lanes = [[u64; LANES]; 4];

#[inline(always)]
fn lanes(steps: &[[u8; STEP]], word: impl Fn([u8; WORD]) -> u32) -> Lanes {
    let [mut a, mut b, mut c, mut d] = Lanes::default();
    for step in steps {
        let (words, _) = step.as_chunks::<WORD>();
        for lane in 0..LANES {
            a[lane] = a[lane].wrapping_add(word(words[lane]).into());
            b[lane] = b[lane].wrapping_add(a[lane]);
            c[lane] = c[lane].wrapping_add(b[lane]);
            d[lane] = d[lane].wrapping_add(c[lane]);
        }
    }
    [a, b, c, d]
}

/// Continues `sum` with `words` words whose sums in lanes are known.
///
/// Word i of n adds itself once to a, n−i times to b, and (n−i)(n−i+1)/2 and (n−i)(n−i+1)(n−i+2)/6 times to c and d. For word j
/// of lane l, n−i is 4(m−j) − l, where m−j is what the lane itself counts. The weights below follow from that.
fn combined(Sum([a, b, c, d]): Sum, [la, lb, lc, ld]: Lanes, words: u64) -> Sum {
    let total = |weights: [i64; LANES], lanes: [u64; LANES]| {
        weights
            .iter()
            .zip(lanes)
            .fold(0_u64, |total, (weight, sum)| total.wrapping_add(weight.cast_unsigned().wrapping_mul(sum)))
    };
    let add = |parts: &[u64]| parts.iter().fold(0_u64, |total, part| total.wrapping_add(*part));
    let (once, twice, thrice) = (words, words * (words + 1) / 2, words * (words + 1) / 2 * (words + 2) / 3);
    Sum([
        add(&[a, total([1; LANES], la)]),
        add(&[b, a.wrapping_mul(once), total([0, -1, -2, -3], la), total([4; LANES], lb)]),
        add(&[
            c,
            b.wrapping_mul(once),
            a.wrapping_mul(twice),
            total([0, 0, 1, 3], la),
            total([-6, -10, -14, -18], lb),
            total([16; LANES], lc),
        ]),
        add(&[
            d,
            c.wrapping_mul(once),
            b.wrapping_mul(twice),
            a.wrapping_mul(thrice),
            total([0, 0, 0, -1], la),
            total([4, 10, 20, 34], lb),
            total([-48, -64, -80, -96], lc),
            total([64; LANES], ld),
        ]),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn plain(bytes: &[u8], order: ByteOrder) -> Sum {
        bytes.as_chunks().0.iter().fold(Sum::default(), |sum, word| add_word(sum, order.u32(*word)))
    }

    proptest! {
        #[test]
        fn lanes_give_the_sum_of_the_definition(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            repeat in 1_usize..300,
            pieces in proptest::collection::vec(1_usize..70_000, 1..8),
        ) {
            let bytes = bytes.repeat(repeat);
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let mut sum = Fletcher4::new(order);
                let (mut rest, mut lengths) = (&bytes[..], pieces.iter().cycle());
                while !rest.is_empty() {
                    let (piece, others) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
                    sum.update(piece);
                    rest = others;
                }
                prop_assert_eq!(sum.sum(), plain(&bytes, order));
            }
        }
    }

    #[test]
    fn a_sum_overflows_as_the_definition_does() {
        let bytes = vec![0xff; 10 << 20];
        let mut sum = Fletcher4::new(ByteOrder::Little);
        sum.update(&bytes);
        assert_eq!(sum.sum(), plain(&bytes, ByteOrder::Little));
        assert_eq!(Sum([1, 0xab, 0, 16]).to_string(), "1/ab/0/10");
    }
}
