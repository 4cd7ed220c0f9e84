// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is printed: one line per figure.

use std::fmt;
use std::time::Duration;

/// A measured figure.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// Ours, with its unit.
    pub(crate) ours: String,
    /// The peer's name and value, with its unit.
    pub(crate) peer: Option<(&'static str, String)>,
    pub(crate) outcome: Outcome,
}

/// What is compared with the target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// Ours as a part of the peer's, and the least that is asked for.
    Ratio(f64, Option<f64>),
    /// Bytes, and the most that is allowed.
    Bytes(u64, u64),
}

/// One pair of measurements, in the same unit; more is better.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: f64,
    pub(crate) peer: f64,
}

impl Figure {
    /// The figure of pairs. `unit` writes a value.
    pub(crate) fn of_pairs(
        name: impl Into<String>,
        peer: &'static str,
        pairs: &[Pair],
        least: Option<f64>,
        unit: fn(f64) -> String,
    ) -> Figure {
        let ratio = median(pairs.iter().map(|pair| pair.ours / pair.peer));
        Figure {
            name: name.into(),
            ours: unit(median(pairs.iter().map(|pair| pair.ours))),
            peer: Some((peer, unit(median(pairs.iter().map(|pair| pair.peer))))),
            outcome: Outcome::Ratio(ratio, least),
        }
    }
}

/// The middle value; the mean of the two middle ones of an even number. Not a number without values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// Bytes per second, in megabytes.
pub(crate) fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Writes a rate.
pub(crate) fn megabytes_per_second(value: f64) -> String {
    format!("{value:.0} MB/s")
}

/// Writes a number of requests.
pub(crate) fn per_second(value: f64) -> String {
    format!("{value:.0}/s")
}

/// Writes bytes.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Prints a figure.
pub(crate) fn print(figure: &Figure) {
    println!("{figure}");
}

/// The head of the table.
pub(crate) fn print_header() {
    println!("{:<44} {:>12}   {:<30} {:>6}  target", "figure", "ours", "peer", "ratio");
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.as_ref().map(|(name, value)| format!("{value} {name}")).unwrap_or_default();
        write!(f, "{:<44} {:>12}   {peer:<30} ", self.name, self.ours)?;
        let verdict = |met: bool| if met { "met" } else { "missed" };
        match self.outcome {
            Outcome::Ratio(ratio, None) => write!(f, "{ratio:>6.2}  none"),
            Outcome::Ratio(ratio, Some(least)) => {
                write!(f, "{ratio:>6.2}  >= {least:.1}: {}", verdict(ratio >= least))
            }
            Outcome::Bytes(bytes, most) => {
                write!(f, "{:>6}  <= {}: {}", "-", mebibytes(most), verdict(bytes <= most))
            }
        }
    }
}
