// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::findings::{Counts, FindingsState};
use crate::manifest::{Stor, Uuid, times};

/// One pass over all images and all stored files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) number: u64,
    /// When the round began, ISO 8601; empty before the first round.
    pub(super) began: String,
    /// Images that have been verified.
    pub(super) done: u64,
    /// Bytes that have been read of their files.
    pub(super) read: u64,
    #[serde(flatten)]
    pub(super) phase: Phase,
}

/// The progress of a round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Images are verified, in the order of their UUIDs.
    Images { after: Option<Uuid> },
    /// Files without an image are searched for, group by group.
    Orphans { storage: Stor, after: Option<String> },
    /// The round is over, or none has ever begun.
    #[default]
    Over,
}

/// The saved state of the scrubber.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedScrub {
    pub(super) round: Round,
    pub(super) findings: FindingsState,
}

/// Why the saved state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is not what was written")]
    Content(#[from] serde_json::Error),
    #[error("it does not say when the round began")]
    Beginning,
}

impl SavedScrub {
    pub(super) fn read(content: &[u8]) -> Result<SavedScrub, Unusable> {
        let kept: SavedScrub = serde_json::from_slice(content)?;
        times::parse_js_date(&kept.round.began).map(|_| kept).ok_or(Unusable::Beginning)
    }
}

impl Round {
    /// The next round, which begins now.
    pub(super) fn next(&self, now: String) -> Round {
        let phase = Phase::Images { after: None };
        Round { number: self.number.wrapping_add(1), began: now, done: 0, read: 0, phase }
    }

    /// The time until the next round begins.
    pub(super) fn wait(&self, now: OffsetDateTime, interval: Duration) -> Duration {
        let Some(began) = times::parse_js_date(&self.began) else { return Duration::ZERO };
        // A clock that was set back must not make the wait longer.
        Duration::try_from(began - now + interval).unwrap_or_default().min(interval)
    }

    /// Describes the progress for people.
    pub(super) fn describe(&self, pending: u64, found: Counts) -> String {
        let kind = match self.phase {
            Phase::Images { .. } | Phase::Orphans { .. } => "round since",
            Phase::Over => "complete round of",
        };
        format!(
            "{kind} {}: {} of {} images, {} read, {} damaged, {} orphans",
            self.began,
            self.done,
            self.done + pending,
            amount(self.read),
            found.damaged,
            found.orphans
        )
    }
}

fn amount(bytes: u64) -> String {
    let mut amount = bytes as f64 / 1024.0;
    let mut units = ["KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next();
    while amount >= 1024.0
        && let Some(next) = units.next()
    {
        amount /= 1024.0;
        unit = Some(next);
    }
    format!("{amount:.1} {}", unit.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn round(phase: Phase) -> Round {
        Round { number: 3, began: "2026-11-28T10:00:00.000Z".into(), done: 120, read: 3_435_973_837, phase }
    }

    #[test]
    fn a_round_is_described() {
        let counts = Counts { damaged: 1, orphans: 2 };
        let text = round(Phase::Images { after: None }).describe(380, counts);
        let expected =
            "round since 2026-11-28T10:00:00.000Z: 120 of 500 images, 3.2 GiB read, 1 damaged, 2 orphans";
        assert_eq!(text, expected);
        for (bytes, text) in
            [(0, "0.0 KiB"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 40, "5120.0 GiB")]
        {
            assert_eq!(amount(bytes), text);
        }
    }

    #[test]
    fn the_next_one_begins_an_interval_after_the_last_one_began() {
        let over = round(Phase::Over);
        let at = |text: &str| times::parse_js_date(text).unwrap();
        assert_eq!(over.wait(at("2026-11-28T20:00:00Z"), DAY), DAY - Duration::from_secs(10 * 3600));
        assert_eq!(over.wait(at("2026-12-28T20:00:00Z"), DAY), Duration::ZERO);
        assert_eq!(over.wait(at("2026-10-28T20:00:00Z"), DAY), DAY);
        assert_eq!(Round::default().wait(at("2026-10-28T20:00:00Z"), DAY), Duration::ZERO);
        let next = over.next("2026-12-28T20:00:00.000Z".into());
        assert_eq!((next.number, next.done, next.phase), (4, 0, Phase::Images { after: None }));
    }

    #[test]
    fn what_is_kept_is_read_and_nothing_else() {
        let phases = [
            Phase::Images { after: Some(Uuid::NIL) },
            Phase::Orphans { storage: Stor::Manta, after: Some("abc".into()) },
            Phase::Over,
        ];
        for phase in phases {
            let kept = SavedScrub { round: round(phase.clone()), findings: FindingsState::default() };
            let content = serde_json::to_vec(&kept).unwrap();
            assert_eq!(SavedScrub::read(&content).unwrap().round, round(phase));
            assert!(SavedScrub::read(&content[..content.len() - 1]).is_err());
        }
        let never = SavedScrub { round: Round::default(), findings: FindingsState::default() };
        assert!(matches!(SavedScrub::read(&serde_json::to_vec(&never).unwrap()), Err(Unusable::Beginning)));
        assert!(SavedScrub::read(b"{}").is_err());
    }
}
