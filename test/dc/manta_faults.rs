// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The result of every operation under every fault of Manta that coal can inject. These tests start their own datacenters.

use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;

use super::manta::Stage;
use super::support::{Actor, Answer, TestApp, VADER, fresh, md5_of, sha1_of, tests, wait_until, within};

tests! {
    a_manta_that_refuses,
    a_manta_that_breaks_off_or_is_wrong,
    a_manta_that_does_not_go_on,
    a_manta_that_is_not_there,
    two_hundred_cuts_of_a_large_download_lose_nothing,
}

/// More than the part of an upload that is held back, so that some of it is sent before its end.
const FILE: usize = 700_000;
const ICON: usize = 120_000;
/// Number of faults that are tried at a time.
const AT_ONCE: usize = 3;
/// Byte at which content is cut off, both in files and in icons.
const CUT: u64 = 100_000;

/// An operation on an image whose file is in Manta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    AddFile,
    ReplaceFile,
    GetFile,
    GetRange,
    HeadFile,
    AddIcon,
    GetIcon,
    DeleteIcon,
    Delete,
    Clone,
    ToLocal,
    ToManta,
    Export,
    Rename,
    Activate,
    GetImage,
}

const OPS: [Op; 16] = [
    Op::AddFile,
    Op::ReplaceFile,
    Op::GetFile,
    Op::GetRange,
    Op::HeadFile,
    Op::AddIcon,
    Op::GetIcon,
    Op::DeleteIcon,
    Op::Delete,
    Op::Clone,
    Op::ToLocal,
    Op::ToManta,
    Op::Export,
    Op::Rename,
    Op::Activate,
    Op::GetImage,
];

/// The result of an operation for its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Status and code; the code is empty for a HEAD.
    Refused(u16, String),
    /// A successful answer was cut off.
    Broken,
    /// A successful answer has the right length but wrong bytes.
    Altered,
}

/// An image, and the operation to do with it.
struct Subject {
    op: Op,
    uuid: String,
    /// Another UUID that the operation may give to the image.
    other: String,
}

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    // Built from blocks, because building 64 MiB byte by byte takes seconds.
    let block: Vec<u8> = (0..251_u8).flat_map(|at| [at ^ seed; 8]).collect();
    let mut bytes = block.repeat(length.div_ceil(block.len()));
    bytes.truncate(length);
    bytes
}

fn old() -> Vec<u8> {
    bytes(1, FILE)
}

fn new() -> Vec<u8> {
    bytes(2, FILE)
}

fn icon() -> Vec<u8> {
    bytes(3, ICON)
}

/// Repeats a step of the preparation until it succeeds: a slow machine may take longer than a transfer is given here.
async fn done(step: impl AsyncFn() -> Answer) {
    wait_until("a prepared image", async || {
        let answer = step().await;
        (answer.status != 503).then(|| answer.ok())
    })
    .await;
}

impl Subject {
    async fn prepare(stage: &Stage, op: Op) -> Subject {
        let luke = stage.app.luke();
        let other = fresh();
        let uuid = luke.has_image(json!({"name": other, "acl": [VADER]})).await;
        if op != Op::AddFile {
            done(async || luke.upload(&uuid, "compression=none", old()).await).await;
        }
        match op {
            Op::GetIcon | Op::DeleteIcon => done(async || add_icon(luke, &uuid).send().await).await,
            Op::Clone | Op::GetImage => done(async || luke.activate(&uuid).await).await,
            Op::ToManta => done(async || stage.move_to(&uuid, "local").await).await,
            _ => {}
        }
        if op == Op::Export {
            stage.manta.mkdirp(&manta::Path::new(exports(&uuid)).unwrap()).await.unwrap();
        }
        Subject { op, uuid, other }
    }

    async fn perform(&self, app: &TestApp) -> Outcome {
        let (luke, uuid) = (app.luke(), &self.uuid);
        let file = format!("/images/{uuid}/file");
        let act =
            |action: String| app.operator().call(Method::POST, &format!("/images/{uuid}?action={action}"));
        let call = match self.op {
            Op::AddFile | Op::ReplaceFile => {
                luke.call(Method::PUT, &format!("{file}?compression=none")).body(new())
            }
            Op::GetFile => luke.call(Method::GET, &file),
            Op::GetRange => luke.call(Method::GET, &file).header("range", "bytes=7-600000"),
            Op::HeadFile => luke.call(Method::HEAD, &file),
            Op::AddIcon => add_icon(luke, uuid),
            Op::GetIcon => luke.call(Method::GET, &format!("/images/{uuid}/icon")),
            Op::DeleteIcon => luke.call(Method::DELETE, &format!("/images/{uuid}/icon")),
            Op::Delete => luke.call(Method::DELETE, &format!("/images/{uuid}")),
            Op::Clone => app.vader().call(Method::POST, &format!("/images/{uuid}/clone")),
            Op::ToLocal => act("change-stor&stor=local".into()),
            Op::ToManta => act("change-stor&stor=manta".into()),
            Op::Export => act(format!("export&manta_path={}/it", exports(uuid))),
            Op::Rename => act("update".into()).json(&json!({"uuid": self.other})),
            Op::Activate => luke.call(Method::POST, &format!("/images/{uuid}?action=activate")),
            Op::GetImage => luke.call(Method::GET, &format!("/images/{uuid}")),
        };
        let Ok(answer) = call.try_send().await else { return Outcome::Broken };
        let expected = match self.op {
            Op::GetFile => Some(old()),
            Op::GetRange => Some(old()[7..=600_000].to_vec()),
            Op::GetIcon => Some(icon()),
            _ => None,
        };
        match answer.status {
            200 | 204 | 206 if expected.as_ref().is_none_or(|expected| answer.body == *expected) => {
                Outcome::Done
            }
            200 | 206 => {
                let told = answer.header("content-md5").map(str::to_owned);
                let right = md5_of(expected.unwrap_or_default());
                assert_eq!(told, Some(right).filter(|_| self.op != Op::GetRange), "{self:?}");
                Outcome::Altered
            }
            status if self.op == Op::HeadFile => Outcome::Refused(status, String::new()),
            status => Outcome::Refused(status, answer.json()["code"].as_str().unwrap().to_owned()),
        }
    }

    /// Checks that the state corresponds to the outcome, after Manta works again.
    async fn check(&self, stage: &Stage, outcome: &Outcome) {
        let (luke, uuid, done) = (stage.app.luke(), &self.uuid, *outcome == Outcome::Done);
        let mut there = vec![uuid.clone()];
        match self.op {
            Op::AddFile if !done => {
                assert_eq!(luke.get_image(uuid).await.ok()["files"], json!([]));
            }
            Op::AddFile | Op::ReplaceFile => {
                self.has_file(stage, luke, uuid, &if done { new() } else { old() }).await
            }
            Op::Delete if done => {
                luke.get_image(uuid).await.not_found();
                assert!(stage.app.stored(uuid).await.is_none());
            }
            Op::Rename => {
                let (is, is_not) = if done { (&self.other, uuid) } else { (uuid, &self.other) };
                luke.get_image(is_not).await.not_found();
                self.has_file(stage, luke, is, &old()).await;
                there.push(self.other.clone());
            }
            _ => self.has_file(stage, luke, uuid, &old()).await,
        }
        match self.op {
            Op::AddIcon | Op::GetIcon | Op::DeleteIcon => {
                let has_icon = done != (self.op == Op::DeleteIcon) || self.op == Op::GetIcon;
                let answer = luke.get(&format!("/images/{uuid}/icon")).await;
                assert_eq!((answer.status == 200, answer.body == icon()), (has_icon, has_icon), "{self:?}");
            }
            Op::Clone => {
                let query = format!("owner={VADER}&name={}&state=all", self.other);
                let clones = stage.app.vader().list_uuids(&query).await;
                assert_eq!(clones.len(), usize::from(done), "{self:?}");
                for clone in clones {
                    self.has_file(stage, stage.app.vader(), &clone, &old()).await;
                    there.push(clone);
                }
            }
            Op::ToLocal => assert_eq!(stage.stor(uuid).await, if done { "local" } else { "manta" }),
            Op::ToManta => assert_eq!(stage.stor(uuid).await, if done { "manta" } else { "local" }),
            Op::Activate => {
                let state = if done { "active" } else { "unactivated" };
                assert_eq!(luke.get_image(uuid).await.ok()["state"], state);
            }
            Op::Export => {
                let exported = objects(stage, &exports(uuid)).await;
                assert!(!done || exported.len() == 2, "{exported:?}");
            }
            _ => {}
        }
        // Only complete uploads may exist.
        for uuid in there {
            let is_whole = |(_, content): &(String, Vec<u8>)| [old(), new(), icon()].contains(content);
            let directory = Stage::directory(&uuid).to_string();
            wait_until("whole objects only", async || {
                objects(stage, &directory).await.iter().all(is_whole).then_some(())
            })
            .await;
        }
    }

    /// Checks that the state corresponds to the outcome, and that the operation now succeeds.
    async fn recover(&self, stage: &Stage, outcome: &Outcome) {
        self.check(stage, outcome).await;
        if *outcome == Outcome::Done {
            return;
        }
        let again = wait_until("another attempt", async || {
            // An abandoned request may still arrive, and overtake this one.
            Some(self.perform(&stage.app).await).filter(|outcome| *outcome != overtaken())
        });
        assert_eq!(again.await, Outcome::Done, "{self:?}");
        self.check(stage, &Outcome::Done).await;
    }

    async fn has_file(&self, stage: &Stage, owner: Actor<'_>, uuid: &str, content: &[u8]) {
        let (record, _) = stage.app.stored(uuid).await.unwrap_or_else(|| panic!("no record: {self:?}"));
        assert_eq!(record["files"][0]["sha1"], sha1_of(content), "{self:?}");
        assert!(owner.download(uuid).await.body == content, "{self:?}");
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {}", self.op, self.uuid)
    }
}

fn exports(uuid: &str) -> String {
    format!("/admin/stor/exports/{uuid}")
}

fn add_icon(luke: Actor<'_>, uuid: &str) -> super::support::Call {
    luke.call(Method::PUT, &format!("/images/{uuid}/icon")).header("content-type", "image/png").body(icon())
}

/// Returns the names and bytes of the objects in a directory, which need not exist.
async fn objects(stage: &Stage, directory: &str) -> Vec<(String, Vec<u8>)> {
    let directory = manta::Path::new(directory).unwrap();
    let entries = match stage.manta.list(&directory).try_collect::<Vec<_>>().await {
        Ok(entries) => entries,
        Err(error) if error.is_not_found() => return Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let mut objects = Vec::new();
    for entry in entries {
        // The object may be removed meanwhile.
        let path = directory.join(&entry.name).unwrap();
        let content =
            async { stage.manta.get(&path, &Default::default()).await?.body.try_collect::<Vec<_>>().await };
        if let Ok(content) = content.await {
            objects.push((entry.name, content.concat()));
        }
    }
    objects
}

/// The duration of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// It applies to the next request about an image.
    Next,
    /// It applies to the next request about an object of an image.
    NextObject,
    /// It applies to all requests.
    On,
}

impl Lasting {
    fn rules(self, fault: &MantaFault, subjects: &[Subject]) -> Vec<MantaFaultRule> {
        let rule = || MantaFaultRule::new(fault.clone());
        let slash = match self {
            Lasting::On => return vec![rule()],
            Lasting::Next => "",
            Lasting::NextObject => "/",
        };
        let uuids = subjects.iter().flat_map(|subject| [&subject.uuid, &subject.other]);
        // The archive of manifests is excluded, because it is written at any time.
        uuids.map(|uuid| rule().path(&format!("{uuid}{slash}")).except("/archive/").times(1)).collect()
    }
}

/// Operations and their expected outcomes. An operation that is not listed succeeds.
type Expected = Vec<(&'static [Op], Outcome)>;

/// The expected outcomes of all operations under a fault.
struct Row {
    fault: MantaFault,
    next: Expected,
    next_object: Expected,
    on: Expected,
}

/// Operations that make a request to Manta that must succeed.
const NEEDS: &[Op] = &[
    Op::AddFile,
    Op::ReplaceFile,
    Op::GetFile,
    Op::GetRange,
    Op::AddIcon,
    Op::GetIcon,
    Op::Clone,
    Op::ToLocal,
    Op::ToManta,
    Op::Export,
    Op::Rename,
    Op::Activate,
];
/// Operations that send bytes to a path that the test knows. Such a request cannot be repeated.
const SENDS: &[Op] = &[Op::AddFile, Op::ReplaceFile, Op::AddIcon, Op::ToManta, Op::Rename];
/// Operations that send bytes.
const STORES: &[Op] =
    &[Op::AddFile, Op::ReplaceFile, Op::AddIcon, Op::Clone, Op::ToManta, Op::Export, Op::Rename];

fn down() -> Outcome {
    Outcome::Refused(503, "StorageIsDown".to_owned())
}

fn overtaken() -> Outcome {
    Outcome::Refused(503, "ServiceUnavailableError".to_owned())
}

fn damaged() -> Outcome {
    Outcome::Refused(500, "InternalError".to_owned())
}

impl Row {
    fn new(fault: MantaFault, once: Expected, on: Expected) -> Row {
        Row { fault, next: once.clone(), next_object: once, on }
    }

    /// A fault whose requests are retried with success, if it applies to only one request.
    fn again(fault: MantaFault) -> Row {
        Row::new(fault, vec![], vec![(NEEDS, down())])
    }

    fn expected(&self, lasting: Lasting, op: Op) -> Outcome {
        let expected = match lasting {
            Lasting::Next => &self.next,
            Lasting::NextObject => &self.next_object,
            Lasting::On => &self.on,
        };
        let of_op = expected.iter().find(|(ops, _)| ops.contains(&op));
        of_op.map_or(Outcome::Done, |(_, outcome)| outcome.clone())
    }

    /// Returns whether the outcome is allowed. If Manta takes too long to ask for an upload, the body is sent unasked, and then
    /// the upload cannot be repeated.
    fn allows(&self, lasting: Lasting, op: Op, outcome: &Outcome) -> bool {
        let expected = self.expected(lasting, op);
        let unasked = lasting != Lasting::On && STORES.contains(&op) && expected == Outcome::Done;
        *outcome == expected || unasked && *outcome == down()
    }

    async fn prove(&self, stage: &Stage) {
        for lasting in [Lasting::Next, Lasting::NextObject, Lasting::On] {
            let subjects = join_all(OPS.map(|op| Subject::prepare(stage, op))).await;
            lasting.rules(&self.fault, &subjects).into_iter().for_each(|rule| stage.fault(rule));
            let outcomes = join_all(subjects.iter().map(|subject| subject.perform(&stage.app))).await;
            stage.heal();
            for (subject, outcome) in subjects.iter().zip(&outcomes) {
                let is_right = self.allows(lasting, subject.op, outcome);
                assert!(is_right, "{:?}, {lasting:?}, {:?}: {outcome:?}", self.fault, subject.op);
                subject.recover(stage, outcome).await;
            }
        }
        // The test does not know the target of a clone in advance.
        let clone = Subject::prepare(stage, Op::Clone).await;
        stage.fault(MantaFaultRule::new(self.fault.clone()).method("PUT").path("/file0").times(1));
        let outcome = clone.perform(&stage.app).await;
        stage.heal();
        assert!(self.allows(Lasting::NextObject, Op::AddFile, &outcome), "{:?}: {outcome:?}", self.fault);
        clone.recover(stage, &outcome).await;
    }
}

/// Ends a stage after it has checked the service's log.
async fn end(stage: Stage) {
    // A panic would not be a log record, so this checks that every line is one.
    for record in stage.app.log() {
        assert!(record["level"].as_u64().is_some_and(|level| level < 60), "{record}");
        if record["_audit"] == true && record["res"]["statusCode"] == 500 {
            assert!(record["err"]["message"].is_string(), "{record}");
        }
    }
    stage.stop().await;
}

/// Tests each fault on a stage of its own, several at a time, because they mostly wait.
async fn prove(start: impl AsyncFn() -> Stage, rows: Vec<Row>) {
    let proofs = rows.into_iter().map(async |row| {
        let stage = start().await;
        row.prove(&stage).await;
        end(stage).await;
    });
    stream::iter(proofs).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn start() -> Stage {
    Stage::start_with(|dc| dc.manta(MantaMode::Local)).await
}

async fn a_manta_that_refuses(_shared: &TestApp) {
    let not_for_the_caller = || {
        let refused = Outcome::Refused(422, "InvalidParameter".to_owned());
        vec![(&[Op::Export] as &[_], refused), (NEEDS, down())]
    };
    let no_room = || vec![(SENDS, down()), (&[Op::Export], down())];
    let rows = vec![
        Row::again(MantaFault::InternalError),
        Row::again(MantaFault::Unavailable { retry_after: 0 }),
        // This is longer than the client waits.
        Row::new(MantaFault::Unavailable { retry_after: 60 }, vec![(NEEDS, down())], vec![(NEEDS, down())]),
        Row::again(MantaFault::BadGateway),
        Row::new(MantaFault::Forbidden, not_for_the_caller(), not_for_the_caller()),
        Row::new(MantaFault::NotEnoughSpace, no_room(), vec![(STORES, down())]),
        Row::new(MantaFault::UploadTimeout, vec![(SENDS, down())], vec![(STORES, down())]),
        Row {
            // The faster request has the final name. A missing directory is created again; an image's directory exists already.
            next: vec![(&[Op::ReplaceFile, Op::AddIcon, Op::ToManta], overtaken())],
            next_object: vec![(SENDS, overtaken())],
            on: vec![(&[Op::ReplaceFile, Op::AddIcon, Op::ToManta], overtaken()), (STORES, down())],
            fault: MantaFault::ConcurrentRequest,
        },
    ];
    prove(start, rows).await;
}

async fn a_manta_that_breaks_off_or_is_wrong(_shared: &TestApp) {
    let wrong_md5 = || {
        const COMPARED: &[Op] = &[
            Op::GetFile,
            Op::GetRange,
            Op::GetIcon,
            Op::Clone,
            Op::ToLocal,
            Op::Export,
            Op::Rename,
            Op::Activate,
        ];
        vec![(COMPARED, damaged())]
    };
    // The whole object is compared before its last bytes are sent.
    let altered = || {
        vec![
            (&[Op::AddFile, Op::ReplaceFile, Op::AddIcon, Op::ToManta] as &[_], down()),
            (&[Op::GetFile, Op::GetIcon], Outcome::Broken),
            (&[Op::GetRange], Outcome::Altered),
            (&[Op::Clone, Op::ToLocal, Op::Export, Op::Rename], damaged()),
        ]
    };
    let rows = vec![
        Row::again(MantaFault::HangUp),
        Row {
            next: vec![(&[Op::ReplaceFile, Op::AddIcon], down())],
            next_object: vec![(SENDS, down())],
            on: vec![(NEEDS, down())],
            fault: MantaFault::LostAnswer,
        },
        Row::new(MantaFault::CutAfter { bytes: CUT }, vec![(SENDS, down())], vec![(STORES, down())]),
        Row::new(MantaFault::WrongComputedMd5, vec![(SENDS, down())], vec![(STORES, down())]),
        Row::new(MantaFault::WrongContentMd5, wrong_md5(), wrong_md5()),
        Row::new(MantaFault::Corrupt, altered(), altered()),
    ];
    prove(start, rows).await;
}

async fn a_manta_that_does_not_go_on(_shared: &TestApp) {
    // This is longer than an upload waits before it sends its body unasked.
    let start = async || {
        Stage::start_with(|dc| dc.manta(MantaMode::Local).imgapi_config("transferIdleSeconds", 3)).await
    };
    let rows = vec![
        Row {
            next: vec![(&[Op::ReplaceFile, Op::AddIcon], down())],
            next_object: vec![(SENDS, down())],
            on: vec![(NEEDS, down())],
            fault: MantaFault::Stall,
        },
        Row::new(MantaFault::StallAfter { bytes: CUT }, vec![(SENDS, down())], vec![(STORES, down())]),
    ];
    prove(start, rows).await;
}

async fn a_manta_that_is_not_there(_shared: &TestApp) {
    let stage = start().await;
    let row = Row::again(MantaFault::HangUp);
    let subjects = join_all(OPS.map(|op| Subject::prepare(&stage, op))).await;
    stage.app.dc.manta().unwrap().stop().await;
    let outcomes = join_all(subjects.iter().map(|subject| subject.perform(&stage.app))).await;
    stage.app.dc.manta().unwrap().start().await.unwrap();
    for (subject, outcome) in subjects.iter().zip(&outcomes) {
        assert!(row.allows(Lasting::On, subject.op, outcome), "{subject:?}: {outcome:?}");
        subject.recover(&stage, outcome).await;
    }
    end(stage).await;
}

async fn two_hundred_cuts_of_a_large_download_lose_nothing(_shared: &TestApp) {
    const LARGE: usize = 64 << 20;
    const CUTS: usize = 200;
    const DOWNLOADS: usize = 5;
    let mut random = StdRng::seed_from_u64(0x1a6);
    let mut content = vec![0; LARGE];
    random.fill_bytes(&mut content);
    let stage = start().await;
    let luke = stage.app.luke();
    let uuid = luke.has_image(json!({})).await;
    luke.upload(&uuid, "compression=none", content.clone()).await.ok();
    // All faults are triggered long before the downloads end: on average, they are at half of that.
    for _ in 0..CUTS {
        let bytes = random.random_range(1..=(LARGE * DOWNLOADS / CUTS) as u64);
        stage.fault(MantaFaultRule::new(MantaFault::CutAfter { bytes }).method("GET").path(&uuid).times(1));
    }
    join_all((0..DOWNLOADS).map(async |_| {
        let url = format!("http://{}/images/{uuid}/file", stage.app.address());
        // This client has no timeout, unlike the one for small answers.
        let mut answer =
            reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
        let mut at = 0;
        while let Some(piece) = within("a piece of a download", answer.chunk()).await.unwrap() {
            assert!(content[at..].starts_with(&piece), "other bytes at {at}");
            at += piece.len();
        }
        assert_eq!(at, LARGE);
    }))
    .await;
    assert_eq!(stage.app.dc.manta().unwrap().faults().applied(), CUTS as u64);
    end(stage).await;
}
