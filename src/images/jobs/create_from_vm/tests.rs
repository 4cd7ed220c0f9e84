// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::db::{Database, LocalDatabase};
use crate::files::DirectoryLock;
use crate::jobs::tests::fake::{Fake, Fault};
use crate::manifest::State;
use crate::storage::{LocalStorage, Storage};
use crate::telemetry::{Metrics, StaticLabels};
use crate::workers::Worker;

pub(in crate::images) const BASE: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
const OWNER: &str = "91ba0e64-2547-11e2-a972-df579e5fddb3";
const VM: &str = "7a1b1967-6ecf-1e4c-8f09-f49094cc36ad";
const SERVER: &str = "9f819499-8298-9842-8cc5-1c2838196ab4";

/// An application, with fakes of the services around it.
pub(in crate::images) struct Cloud {
    pub(in crate::images) app: Arc<App>,
    fake: Fake,
    _directory: TempDir,
}

impl Cloud {
    /// A cloud with a VM on a server of a suitable platform, made from an image of SmartOS.
    pub(in crate::images) async fn start() -> Cloud {
        let fake = Fake::start().await;
        let url = json!({"url": format!("http://{}", fake.address)});
        let Value::Object(instance) = json!({
            "mode": "dc", "datacenterName": "here", "authType": "none", "databaseType": "local",
            "ufds": {"url": "ldap://127.0.0.1", "bindDN": "cn=root", "bindPassword": "x"},
            "wfapi": url, "vmapi": url, "cnapi": url, "allowLocalCreateImageFromVm": true,
        }) else {
            unreachable!()
        };
        let config = Arc::new(Config::from_instance(instance).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&StaticLabels::default()).unwrap());
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let local = LocalStorage::new(directory.path().to_owned());
        local.prepare().await.unwrap();
        let db = LocalDatabase::open(lock, App::rules_of(&config), Arc::clone(&metrics)).await.unwrap();
        let app = App::new(config, Database::Local(db), Storage::new(local, None), None, metrics);
        let cloud = Cloud { app: Arc::new(app), fake, _directory: directory };
        cloud.vm(json!({}));
        cloud.server(200, json!({"sysinfo": {"SDC Version": "7.0"}, "current_platform": "20260101T000000Z"}));
        cloud.has_base(BASE, json!({})).await;
        cloud.look().await;
        cloud
    }

    async fn look(&self) {
        let (mut watch, _) = self.app.jobs.watch().unwrap();
        let _ = watch.work(&crate::workers::Progress::for_tests()).await;
    }

    pub(in crate::images) async fn workflow_api_is_down(&self) {
        self.fake.state.lock().unwrap().backend = Some("down");
        self.look().await;
    }

    /// Sets up the VM, with some members changed.
    fn vm(&self, changes: Value) {
        let mut vm = json!({"uuid": VM, "server_uuid": SERVER, "brand": "joyent", "image_uuid": BASE});
        vm.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.answers(&format!("/vms/{VM}"), 200, vm);
    }

    fn server(&self, status: u16, server: Value) {
        self.answers(&format!("/servers/{SERVER}"), status, server);
    }

    fn answers(&self, path: &str, status: u16, body: Value) {
        self.fake.state.lock().unwrap().others.insert(path.to_owned(), (status, body));
    }

    /// Adds an active image that VMs can be made from.
    async fn has_base(&self, uuid: &str, changes: Value) {
        let Value::Object(mut record) = json!({
            "v": 2, "owner": OWNER, "name": "base", "version": "1", "type": "zone-dataset", "os": "smartos",
            "public": false, "disabled": false, "activated": true, "state": "active", "acl": [], "uuid": uuid,
            "published_at": "2015-01-01T00:00:00.000Z",
            "files": [{"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "size": 5, "compression": "none"}],
        }) else {
            unreachable!()
        };
        record.extend(changes.as_object().unwrap().clone());
        self.app.db.insert(&Image::load(record, self.app.rules()).unwrap()).await.unwrap();
    }

    /// Sets the execution of all jobs.
    pub(in crate::images) fn jobs_are(&self, execution: &str) {
        for job in &mut self.fake.state.lock().unwrap().jobs {
            job.insert("execution".into(), json!(execution));
        }
    }

    /// Sets members of all jobs.
    pub(in crate::images) fn jobs_have(&self, members: Value) {
        for job in &mut self.fake.state.lock().unwrap().jobs {
            job.extend(members.as_object().unwrap().clone());
        }
    }

    /// Adds a job for this task, and returns its UUID.
    pub(in crate::images) async fn has_job(&self, task: &str) -> Uuid {
        let uuid = Uuid::new_v4();
        let Value::Object(job) = json!({"uuid": uuid, "task": task, "execution": "running"}) else {
            unreachable!()
        };
        self.fake.state.lock().unwrap().jobs.push(job);
        uuid
    }

    pub(in crate::images) async fn create(&self) -> ApiResult<StartedJob> {
        self.create_of(json!({"name": "mine", "version": "1.0.0"})).await
    }

    async fn create_of(&self, manifest: Value) -> ApiResult<StartedJob> {
        self.create_by(Some(OWNER.parse().unwrap()), manifest).await
    }

    async fn create_by(&self, account: Option<Uuid>, manifest: Value) -> ApiResult<StartedJob> {
        let Value::Object(manifest) = manifest else { unreachable!() };
        let vm = VM.parse().unwrap();
        let image = VmImage { vm, incremental: true, max_origin_depth: Some(3), channel: None, manifest };
        create_from_vm(&self.app, account, image, "the-id").await
    }

    async fn refused(&self) -> &'static str {
        self.create().await.unwrap_err().code().as_str()
    }

    /// The states of all images except the active ones, from which VMs are made.
    async fn states(&self) -> Vec<State> {
        let images = self.app.db.filtered(|image| image.state() != State::Active).await.unwrap();
        images.iter().map(|image| image.state()).collect()
    }
}

#[tokio::test]
async fn a_placeholder_is_stored_and_a_job_is_told_what_to_make() {
    let cloud = Cloud::start().await;
    cloud.vm(json!({"brand": "lx", "kernel_version": "4.3.0"}));
    // Only the compute node knows type, os and state. Null counts as absent.
    let made = cloud.create_of(json!({
        "name": "mine", "version": "1.0.0", "tags": {"a": 1}, "type": "docker", "os": 5, "state": "active", "acl": null,
    }));
    let job = made.await.unwrap();
    let image = cloud.app.db.get(job.image_uuid).await.unwrap().unwrap().image;
    assert_eq!((image.state(), image.owner().to_string()), (State::Creating, OWNER.to_owned()));
    assert!(image.expires_at().unwrap() > &*crate::images::now());
    let state = cloud.fake.state.lock().unwrap();
    let expected = json!({
        "image_uuid": job.image_uuid, "owner_uuid": OWNER, "vm_uuid": VM, "compression": "gzip", "incremental": true,
        "prepare_image_script": include_str!("../../../../tools/prepare-image/smartos-prepare-image"),
        "manifest": {
            "name": "mine", "version": "1.0.0", "tags": {"a": 1, "kernel_version": "4.3.0"},
            "uuid": job.image_uuid, "owner": OWNER,
        },
        "req_id": "the-id", "max_origin_depth": 3, "task": "create-from-vm", "target": format!("/create-from-vm-{VM}"),
        "workflow": state.workflows[0]["uuid"], "uuid": job.job_uuid,
    });
    assert_eq!(json!(state.jobs), json!([expected]));
    let head = state.heads.iter().find(|head| head.starts_with("GET /vms")).unwrap();
    assert!(head.starts_with(&format!("GET /vms/{VM}?owner_uuid={OWNER} ")), "{head}");
    assert!(head.contains("\r\nx-request-id: the-id\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_wrong_with_the_vm_is_told_in_order() {
    let cloud = Cloud::start().await;
    let other = "da58c25a-2547-11e2-9b8d-136daa650e8a";
    cloud.has_base(other, json!({"os": "illumos"})).await;
    cloud.answers(&format!("/vms/{VM}"), 404, json!({"code": "ResourceNotFound", "message": "VM not found"}));
    assert_eq!(cloud.refused().await, "InvalidParameter");
    cloud.answers(&format!("/vms/{VM}"), 500, json!({"code": "InternalError", "message": "no"}));
    assert_eq!(cloud.refused().await, "ServiceUnavailableError");
    cloud.vm(json!({"server_uuid": null}));
    assert_eq!(cloud.refused().await, "InvalidParameter");
    cloud.vm(json!({"docker": true, "image_uuid": VM}));
    cloud.server(404, json!({"code": "ResourceNotFound", "message": "no"}));
    assert_eq!(cloud.refused().await, "InternalError");
    for old in [
        json!({"current_platform": "20260101T000000Z"}),
        json!({"sysinfo": {"SDC Version": "7.0"}, "current_platform": "20120101T000000Z"}),
    ] {
        cloud.server(200, old);
        assert_eq!(cloud.refused().await, "InsufficientServerVersion");
    }
    cloud.server(200, json!({"sysinfo": {"SDC Version": "7.0"}, "current_platform": "20260101T000000Z"}));
    assert_eq!(cloud.refused().await, "InvalidParameter");
    cloud.vm(json!({"image_uuid": null}));
    assert_eq!(cloud.refused().await, "InternalError");
    cloud.vm(json!({"image_uuid": VM}));
    assert_eq!(cloud.refused().await, "ResourceNotFound");
    cloud.vm(json!({"image_uuid": other}));
    assert_eq!(cloud.refused().await, "NotAvailable");
    cloud.vm(json!({}));
    let unknown = cloud.create_of(json!({"name": "mine", "version": "1", "colour": "blue"})).await;
    assert_eq!(unknown.unwrap_err().code(), Code::InvalidParameter);
    let invalid = cloud.create_of(json!({"name": "mine", "version": "1", "uuid": "x"})).await;
    assert_eq!(invalid.unwrap_err().code(), Code::ValidationFailed);
    let mine = |uuid: &str| json!({"name": "mine", "version": "1", "uuid": uuid, "owner": OWNER});
    let taken = cloud.create_by(None, mine(BASE)).await;
    assert_eq!(taken.unwrap_err().code(), Code::ImageUuidAlreadyExists);
    // To an account both look the same: that an image has the UUID, and that none has it.
    for uuid in [BASE, SERVER] {
        assert_eq!(cloud.create_of(mine(uuid)).await.unwrap_err().code(), Code::ValidationFailed);
    }
    let nobodys = cloud.create_of(json!({"name": "mine", "version": "1", "origin": SERVER})).await;
    assert_eq!(nobodys.unwrap_err().code(), Code::OriginDoesNotExist);
    assert!(cloud.states().await.is_empty() && cloud.fake.state.lock().unwrap().jobs.is_empty());
}

#[tokio::test]
async fn an_old_windows_cannot_be_prepared_under_kvm() {
    let cloud = Cloud::start().await;
    let uuid = "da58c25a-2547-11e2-9b8d-136daa650e8a";
    let windows = |published: &str, brand: &str| json!({"os": "windows", "published_at": published, "requirements": {"brand": brand}});
    cloud.has_base(uuid, windows("2018-10-14T23:59:59.999Z", "kvm")).await;
    cloud.vm(json!({"brand": "kvm", "disks": [{"image_uuid": uuid}]}));
    assert_eq!(cloud.refused().await, "NotAvailable");
    for (uuid, image) in [
        ("da58c25a-2547-11e2-9b8d-136daa650e8b", windows("2018-10-15T00:00:00.000Z", "kvm")),
        ("da58c25a-2547-11e2-9b8d-136daa650e8c", windows("2018-10-14T23:59:59.999Z", "bhyve")),
    ] {
        cloud.has_base(uuid, image).await;
        cloud.vm(json!({"brand": "kvm", "disks": [{"image_uuid": uuid}]}));
        cloud.create().await.unwrap();
    }
}

#[tokio::test]
async fn no_placeholder_stays_without_a_job() {
    let cloud = Cloud::start().await;
    cloud.fake.fails("POST /jobs", Fault::Refuse(500, "InternalError"));
    let refused = cloud.create().await.unwrap_err();
    assert_eq!((refused.status(), refused.code_text()), (500, "InternalError"));
    cloud.fake.fails("POST /jobs", Fault::Refuse(412, "PreconditionFailed"));
    let refused = cloud.create().await.unwrap_err();
    assert_eq!((refused.status(), refused.code_text()), (412, "PreconditionFailed"));
    assert!(cloud.states().await.is_empty());
    // The outcome is unknown: the client is told that there is no image.
    cloud.fake.fails("POST /jobs", Fault::LoseAnswer);
    cloud.fake.fails("GET /jobs/", Fault::LoseCall);
    assert_eq!(cloud.refused().await, "ServiceUnavailableError");
    assert_eq!(cloud.states().await, [State::Failed]);
    cloud.workflow_api_is_down().await;
    assert_eq!(cloud.refused().await, "ServiceUnavailableError");
    assert_eq!(cloud.states().await, [State::Failed]);
}
