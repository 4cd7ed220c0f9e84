// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::images::Problem;
use crate::manifest::{Stor, Uuid};
use crate::telemetry::Metrics;

/// Most findings that are listed; the others are only counted.
const MOST: usize = 1000;

/// A problem with one stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The image; `None` for a file that is not in the directory of an image.
    pub uuid: Option<Uuid>,
    /// The file's name in the image's directory, or the path below `images`.
    pub file: String,
    /// The storage of the file.
    pub storage: Stor,
    /// The problem.
    pub problem: Problem,
    /// When the problem was last found, ISO 8601.
    pub time: String,
}

/// The number of findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Image files that are missing, damaged or unreadable.
    pub damaged: u64,
    /// Files without an image.
    pub orphans: u64,
}

/// The scrubber's findings, for operators.
#[derive(Debug, Clone)]
pub struct Findings {
    metrics: Arc<Metrics>,
    known: Arc<Mutex<FindingsState>>,
}

/// The findings of the last round and of the current one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct FindingsState {
    list: Vec<Listed>,
    /// Findings of this round that are not in the list, because it is full.
    unlisted: Counts,
    /// Findings of the last round that were not in the list.
    unlisted_before: Counts,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Listed {
    round: u64,
    #[serde(flatten)]
    finding: Finding,
}

impl Findings {
    pub(in crate::images) fn new(metrics: Arc<Metrics>) -> Findings {
        Findings { metrics, known: Arc::default() }
    }

    /// The listed findings, at most a thousand, and the number of all.
    pub fn list(&self) -> (Vec<Finding>, Counts) {
        let known = self.known();
        (known.list.iter().map(|listed| listed.finding.clone()).collect(), known.counts())
    }

    /// The number of all findings.
    pub(super) fn counts(&self) -> Counts {
        self.known().counts()
    }

    pub(super) fn known(&self) -> MutexGuard<'_, FindingsState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the findings of an image.
    pub(super) fn of_image(&self, round: u64, uuid: Uuid, found: Vec<Finding>) {
        self.change(|known| {
            known
                .list
                .retain(|listed| listed.finding.uuid != Some(uuid) || !listed.finding.problem.is_damage());
            found.into_iter().for_each(|finding| known.add(round, finding));
        });
    }

    /// Adds a file without an image.
    pub(super) fn orphan(&self, round: u64, orphan: Finding) {
        self.change(|known| {
            let is_it = |other: &Finding| {
                !other.problem.is_damage()
                    && (other.uuid, &other.file, other.storage) == (orphan.uuid, &orphan.file, orphan.storage)
            };
            known.list.retain(|listed| !is_it(&listed.finding));
            known.add(round, orphan);
        });
    }

    /// Ends the round: findings that were not found again are dropped.
    pub(super) fn end_round(&self, round: u64) {
        self.change(|known| {
            known.list.retain(|listed| listed.round == round);
            known.unlisted_before = std::mem::take(&mut known.unlisted);
        });
    }

    /// Restores the findings that an earlier process has saved.
    pub(super) fn restore(&self, kept: FindingsState) {
        self.change(|known| {
            *known = kept;
            known.list.truncate(MOST);
        });
    }

    fn change(&self, change: impl FnOnce(&mut FindingsState)) {
        let mut known = self.known();
        change(&mut known);
        let Counts { damaged, orphans } = known.counts();
        self.metrics.set_scrub_findings(damaged, orphans);
    }
}

impl FindingsState {
    fn add(&mut self, round: u64, finding: Finding) {
        if self.list.len() < MOST {
            self.list.push(Listed { round, finding });
        } else {
            self.unlisted.add(finding.problem);
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts {
            damaged: self.unlisted.damaged.max(self.unlisted_before.damaged),
            orphans: self.unlisted.orphans.max(self.unlisted_before.orphans),
        };
        self.list.iter().for_each(|listed| counts.add(listed.finding.problem));
        counts
    }
}

impl Counts {
    fn add(&mut self, problem: Problem) {
        *(if problem.is_damage() { &mut self.damaged } else { &mut self.orphans }) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::StaticLabels;

    fn findings() -> Findings {
        Findings::new(Arc::new(Metrics::new(&StaticLabels::default()).unwrap()))
    }

    fn finding(uuid: Uuid, problem: Problem) -> Finding {
        Finding { uuid: Some(uuid), file: "file0".into(), storage: Stor::Local, problem, time: String::new() }
    }

    #[test]
    fn a_finding_goes_when_it_is_not_found_again() {
        let findings = findings();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        findings.of_image(1, one, vec![finding(one, Problem::Missing)]);
        findings.of_image(1, other, vec![finding(other, Problem::OtherSize)]);
        findings.orphan(1, finding(one, Problem::Orphan));
        findings.end_round(1);
        assert_eq!(findings.counts(), Counts { damaged: 2, orphans: 1 });
        // One file was repaired, the image of another was deleted, and the orphan is still there.
        findings.of_image(2, one, Vec::new());
        assert_eq!(findings.counts(), Counts { damaged: 1, orphans: 1 });
        findings.orphan(2, finding(one, Problem::Orphan));
        findings.end_round(2);
        assert_eq!(findings.counts(), Counts { damaged: 0, orphans: 1 });
        findings.end_round(3);
        assert_eq!(findings.list(), (Vec::new(), Counts::default()));
    }

    #[test]
    fn too_many_are_counted() {
        let findings = findings();
        for round in 1..=2 {
            for uuid in (0..MOST + 5).map(|_| Uuid::new_v4()) {
                findings.of_image(round, uuid, vec![finding(uuid, Problem::Missing)]);
            }
            let counted = findings.counts().damaged as usize;
            assert!(counted >= MOST + 5, "{counted}");
            if round == 2 {
                continue;
            }
            findings.end_round(round);
            let (list, counts) = findings.list();
            assert_eq!((list.len(), counts.damaged as usize), (MOST, MOST + 5));
        }
    }

    #[test]
    fn what_is_known_can_be_kept() {
        let (findings, again) = (findings(), findings());
        let uuid = Uuid::new_v4();
        findings.of_image(7, uuid, vec![finding(uuid, Problem::OtherContent)]);
        let kept = serde_json::to_string(&*findings.known()).unwrap();
        assert!(kept.contains("\"other-content\""), "{kept}");
        again.restore(serde_json::from_str(&kept).unwrap());
        again.end_round(7);
        assert_eq!(again.list(), findings.list());
    }
}
