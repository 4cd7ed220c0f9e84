// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is done to an image in one round, until the process is killed.

use rand::RngExt;
use rand::rngs::StdRng;

use super::ledger::{Change, Record};
use crate::support::{Answer, Client, TestFile};

const MIB: usize = 1 << 20;

/// Something took too long on a busy machine: nobody knows whether the change was made. How many changes must have been
/// acknowledged in the end is for the ledger.
const SLOW: u16 = 503;

/// What is to be done with an image after its creation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    file: TestFile,
    activate: bool,
    delete: bool,
}

impl Plan {
    pub(super) fn random(random: &mut StdRng) -> Plan {
        // Large files are mostly met while bytes arrive, small ones while they are published.
        let size = if random.random_bool(0.5) {
            random.random_range(MIB..8 * MIB)
        } else {
            1 << random.random_range(0..20)
        };
        let file = TestFile { seed: random.random(), size };
        Plan { file, activate: random.random_bool(0.4), delete: random.random_bool(0.15) }
    }
}

/// Carries a plan out, on a new image unless there is one, up to the first change without an answer. `None` when not
/// even the image's UUID became known.
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
