// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The changes of an image in one round, until the process is killed.

use rand::RngExt;
use rand::rngs::StdRng;

use super::ledger::{Change, Record};
use crate::support::{Answer, Client, TestFile};

const MIB: usize = 1 << 20;

/// On a busy machine an operation may take too long; then it is unknown whether the change was made. The ledger checks that
/// enough changes were acknowledged in the end.
const SLOW: u16 = 503;

/// The changes of an image after its creation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    file: TestFile,
    activate: bool,
    delete: bool,
}

impl Plan {
    pub(super) fn random(random: &mut StdRng) -> Plan {
        // Kills mostly meet large files while bytes arrive, and small ones while they are published.
        let size = if random.random_bool(0.5) {
            random.random_range(MIB..8 * MIB)
        } else {
            1 << random.random_range(0..20)
        };
        let file = TestFile { seed: random.random(), size };
        Plan { file, activate: random.random_bool(0.4), delete: random.random_bool(0.15) }
    }
}

/// Carries out a plan up to the first change without an answer, on an existing or a new image. Returns `None` if not even the
/// UUID of the image became known.
pub(super) async fn live(client: &Client, record: Option<Record>, plan: Plan) -> Option<Record> {
    let mut record = match record {
        Some(record) => record,
        None => {
            let answer = client.create().await.ok()?;
            if answer.status == SLOW {
                println!("not created: {}", answer.json());
                return None;
            }
            Record::new(created(answer))
        }
    };
    let mut changes = vec![Change::File(plan.file)];
    changes.extend(plan.activate.then_some(Change::Activate));
    changes.extend(plan.delete.then_some(Change::Delete));
    for change in changes {
        let answer = match change {
            Change::File(file) => client.upload(&record.uuid, file).await,
            Change::Activate => client.activate(&record.uuid).await,
            Change::Delete => client.delete(&record.uuid).await,
        };
        match answer {
            Ok(answer) if answer.status == SLOW => {
                println!("{change:?}: {}", answer.json());
                record.suspect(change);
                break;
            }
            Ok(answer) => {
                assert!(answer.is_success(), "{change:?} of {}: {:?}", record.uuid, answer.outcome());
                record.acknowledge(change);
            }
            Err(_) => {
                record.suspect(change);
                break;
            }
        }
    }
    Some(record)
}

fn created(answer: Answer) -> String {
    assert_eq!(answer.status, 200, "{:?}", answer.outcome());
    answer.json()["uuid"].as_str().unwrap().to_owned()
}
