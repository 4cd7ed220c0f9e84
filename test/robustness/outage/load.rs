// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Concurrent requests of every kind from several tasks, and their answers.

use std::sync::Arc;

use coal::Datacenter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::{Answer, Client, TestFile};

pub(super) const FILE: TestFile = TestFile { seed: 3, size: 200_000 };

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Ping,
    List,
    Get,
    Download,
    Create,
    Upload,
}

/// All kinds of requests.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Ping, Kind::List, Kind::Get, Kind::Download, Kind::Create, Kind::Upload];

impl Kind {
    /// Returns whether the answer needs Moray after the replica is loaded. Only changes do.
    pub(super) fn needs_moray(self) -> bool {
        matches!(self, Kind::Create | Kind::Upload)
    }

    /// Returns whether the answer needs UFDS.
    pub(super) fn needs_ufds(self) -> bool {
        self == Kind::Create
    }
}

/// The images of the requests: an active one with `FILE`, and one that accepts uploads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) active: String,
    pub(super) open: String,
}

impl Target {
    pub(super) async fn make(datacenter: &Datacenter) -> Target {
        let client = Client::new(datacenter);
        let (active, open) = (client.uploaded(FILE).await, client.created().await);
        assert_eq!(client.activate(&active).await.unwrap().status, 200);
        Target { client, active, open }
    }

    /// Sends one request. A broken connection is always a failure, because only backends fail here.
    pub(super) async fn ask(&self, kind: Kind) -> Answer {
        let client = &self.client;
        let answer = match kind {
            Kind::Ping => client.get("/ping").await,
            Kind::List => client.get("/images?limit=5").await,
            Kind::Get => client.image(&self.active).await,
            Kind::Download => client.get(&format!("/images/{}/file", self.active)).await,
            Kind::Create => client.create().await,
            Kind::Upload => client.upload(&self.open, FILE).await,
        };
        answer.unwrap_or_else(|error| panic!("{kind:?}: {error:?}"))
    }

    /// Returns whether a successful answer is right.
    pub(super) fn is_right(&self, kind: Kind, answer: &Answer) -> bool {
        let json = answer.json();
        answer.status == 200
            && match kind {
                Kind::Ping => json["ping"] == "pong",
                Kind::List => json.as_array().is_some_and(|images| !images.is_empty()),
                Kind::Get => json["uuid"] == *self.active,
                Kind::Download => answer.body == FILE.bytes(),
                Kind::Create => json["state"] == "unactivated",
                Kind::Upload => json["files"][0]["sha1"] == FILE.sha1(),
            }
    }
}

/// Tasks that send requests without a pause, two for each kind, until this is dropped.
pub(super) struct Load {
    target: Arc<Target>,
    answers: mpsc::Receiver<(Kind, Answer)>,
    _tasks: JoinSet<()>,
}

impl Load {
    pub(super) fn start(target: Target) -> Load {
        let target = Arc::new(target);
        let (sender, answers) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for kind in KINDS.into_iter().chain(KINDS) {
            let (target, sender) = (Arc::clone(&target), sender.clone());
            tasks.spawn(async move { while sender.send((kind, target.ask(kind).await)).await.is_ok() {} });
        }
        Load { target, answers, _tasks: tasks }
    }

    /// Returns the next answer, and whether it is right. A task that fails ends its kind, so this wait fails.
    pub(super) async fn next(&mut self) -> (Kind, Answer, bool) {
        let next = tokio::time::timeout(super::ANSWERED_WITHIN, self.answers.recv()).await;
        let (kind, answer) = next.unwrap().unwrap();
        let is_right = self.target.is_right(kind, &answer);
        (kind, answer, is_right)
    }
}
