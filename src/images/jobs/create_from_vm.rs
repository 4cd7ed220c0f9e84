// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::image_jobs::jobs_failed;
use super::placeholders::fail::{expiry, mark_failed};
use super::prepare_image::prepare_image_script;
use crate::config::ChannelId;
use crate::db::DbError;
use crate::images::lifecycle::delete::delete_record_and_files;
use crate::images::record::acl::refuse_long_acl;
use crate::images::record::create::owner_of;
use crate::images::record::origin::{NamedBy, find_origin, store};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, StartedJob, run_to_completion};
use crate::jobs::{JobsError, NewJob, Task, Vm};
use crate::manifest::create::{CreateContext, given};
use crate::manifest::placeholder::{placeholder, requested_uuid};
use crate::manifest::{FieldCode, FieldError, Image, Record, Uuid};
use crate::telemetry::err;

/// Members of a body that are ignored: only the compute node knows them.
const IGNORED_MEMBERS: [&str; 3] = ["type", "os", "state"];

/// The parameters of CreateImageFromVm.
#[derive(Debug, Clone)]
pub struct VmImage {
    /// The VM to make the image from.
    pub vm: Uuid,
    /// Whether the image holds only the difference from the image of the VM.
    pub incremental: bool,
    /// How many origins the image may have; at least 2.
    pub max_origin_depth: Option<u64>,
    /// The channel of the new image.
    pub channel: Option<ChannelId>,
    /// The members of the manifest that the caller gives.
    pub manifest: Record,
}

/// Fails with 501 on a server that makes no images of VMs: without Manta, the configuration has to allow it.
pub fn check_vm_images(app: &App) -> ApiResult<()> {
    if app.storage.manta().is_ok() || app.config.jobs.allow_local {
        return Ok(());
    }
    Err(ApiError::new(Code::NotAvailable, "images of VMs cannot be made without manta"))
}

/// CreateImageFromVm: stores a placeholder, and starts the job that makes a compute node create the image.
pub async fn create_from_vm(
    app: &Arc<App>,
    account: Option<Uuid>,
    image: VmImage,
    request_id: &str,
) -> ApiResult<StartedJob> {
    let image = VmImage { manifest: without_ignored_members(image.manifest), ..image };
    let owner = owner_of(app, &image.manifest, account)?;
    app.check_jobs()?;
    let vm = find_vm(app, account, image.vm, request_id).await?;
    check_server(app, &image, &vm, request_id).await?;
    if vm.docker {
        return Err(no_vm(image.vm, "is a docker container"));
    }
    let script = prepare_image_script(&base_image(app, image.vm, &vm).await?)?;
    app.check_owner(owner).await?;

    let named_by = NamedBy::caller(account);
    let origin = find_origin(app, &image.manifest, named_by).await?;

    let uuid = new_uuid(&image.manifest, account)?;
    let channel = app.channel_name(image.channel);
    let manifest = completed(image.manifest.clone(), uuid, owner, channel.as_deref(), &vm);
    let context = CreateContext { uuid, owner: Some(owner), rules: app.rules(), channel };
    let placeholder = placeholder(manifest.clone(), &context, &expiry(app))?;
    refuse_long_acl(app, None, &placeholder)?;
    let job = job(uuid, owner, &image, manifest, script, request_id);
    let placeholder = placeholder.of_job(Some(job.uuid)).map_err(ApiError::validation)?;
    let (app, request_id) = (Arc::clone(app), request_id.to_owned());
    run_to_completion(async move {
        let stored = store(&app, &placeholder, None, origin, named_by).await?;
        stored.map_err(|error| match error {
            DbError::Conflict => ApiError::image_exists(uuid),
            error => error.into(),
        })?;
        start(&app, uuid, &job, &request_id).await
    })
    .await
}

/// Drops the ignored members of the body. The compute node knows their values, but would take over wrong ones.
fn without_ignored_members(body: Record) -> Record {
    let mut without_ignored_members = given(body);
    for name in IGNORED_MEMBERS {
        without_ignored_members.shift_remove(name);
    }
    without_ignored_members
}

/// The UUID that the body asks for, or a new one. An account may not ask for one: it could find out which images exist.
fn new_uuid(body: &Record, account: Option<Uuid>) -> ApiResult<Uuid> {
    match requested_uuid(body).map_err(|problem| ApiError::validation(vec![problem]))? {
        Some(_) if account.is_some() => Err(ApiError::validation(vec![FieldError::not_allowed("uuid")])),
        uuid => Ok(uuid.unwrap_or_else(Uuid::new_v4)),
    }
}

async fn find_vm(app: &App, account: Option<Uuid>, vm: Uuid, request_id: &str) -> ApiResult<Vm> {
    app.machines.vm(vm, account, request_id).await.map_err(|error| match error {
        JobsError::Refused { status: ..500, .. } => no_vm(vm, "does not exist").because(error),
        error => unavailable("vmapi", error),
    })
}

/// Checks that the VM's server can make images of VMs.
async fn check_server(app: &App, image: &VmImage, vm: &Vm, request_id: &str) -> ApiResult<()> {
    let Some(server) = vm.server else { return Err(no_vm(image.vm, "is on no server")) };
    let server = app.machines.server(server, request_id).await.map_err(|error| match error {
        JobsError::Refused { .. } | JobsError::Unusable(_) => {
            ApiError::new(Code::InternalError, "cnapi does not know the server of the VM").because(error)
        }
        error => unavailable("cnapi", error),
    })?;
    let least = &app.config.jobs.min_platform;
    if server.platform.is_some_and(|platform| platform >= *least) {
        return Ok(());
    }
    let message =
        format!("the server of VM {} must have at least the platform {}", image.vm, least.describe());
    Err(ApiError::new(Code::InsufficientServerVersion, message))
}

/// Returns the image that the VM was made from.
async fn base_image(app: &App, vm_uuid: Uuid, vm: &Vm) -> ApiResult<Image> {
    let Some(base) = vm.image else {
        let message = format!("the image that VM {vm_uuid} was made from is not known");
        return Err(ApiError::new(Code::InternalError, message));
    };
    let stored = app.db.get(base).await?;
    stored.map(|stored| stored.image).ok_or_else(|| ApiError::image_not_found(base))
}

fn no_vm(vm: Uuid, problem: &str) -> ApiError {
    ApiError::invalid_parameter("vm_uuid", FieldCode::Invalid, format!("VM {vm} {problem}"))
}

fn unavailable(service: &str, error: JobsError) -> ApiError {
    ApiError::new(Code::ServiceUnavailableError, format!("{service} is not available")).because(error)
}

/// The manifest for the compute node, completed by the values that the server decides.
fn completed(mut manifest: Record, uuid: Uuid, owner: Uuid, channel: Option<&str>, vm: &Vm) -> Record {
    manifest.insert("uuid".to_owned(), json!(uuid));
    manifest.insert("owner".to_owned(), json!(owner));
    manifest.shift_remove("channels");
    if let Some(channel) = channel {
        manifest.insert("channels".to_owned(), json!([channel]));
    }
    if let Some(kernel) = &vm.kernel_version {
        // Tags that are no object are left for validation to reject.
        if let Value::Object(tags) = manifest.entry("tags").or_insert_with(|| json!({})) {
            tags.insert("kernel_version".to_owned(), json!(kernel));
        }
    }
    manifest
}

fn job(uuid: Uuid, owner: Uuid, image: &VmImage, manifest: Record, script: &str, request_id: &str) -> NewJob {
    let mut params = Map::from_iter([
        ("image_uuid".to_owned(), json!(uuid)),
        ("owner_uuid".to_owned(), json!(owner)),
        ("vm_uuid".to_owned(), json!(image.vm)),
        ("compression".to_owned(), json!("gzip")),
        ("incremental".to_owned(), json!(image.incremental)),
        ("prepare_image_script".to_owned(), json!(script)),
        ("manifest".to_owned(), Value::Object(manifest)),
        ("req_id".to_owned(), json!(request_id)),
    ]);
    if let Some(depth) = image.max_origin_depth {
        params.insert("max_origin_depth".to_owned(), json!(depth));
    }
    NewJob {
        uuid: Uuid::new_v4(),
        task: Task::CreateFromVm,
        target: format!("/create-from-vm-{}", image.vm),
        params,
    }
}

/// Starts the job. If that fails, the placeholder is deleted or marked as failed: none may say that an image is being made when
/// no job makes it.
async fn start(app: &App, uuid: Uuid, job: &NewJob, request_id: &str) -> ApiResult<StartedJob> {
    let error = match app.start_job(uuid, job, request_id).await {
        Ok(job) => return Ok(job),
        Err(error) => error,
    };
    let tidied = match &error {
        JobsError::OutcomeUnknown(reason) => {
            let message = format!("it is not known whether the job was started: {reason}");
            mark_failed(app, uuid, None, Code::ServiceUnavailableError.as_str(), &message).await.map(drop)
        }
        _ => {
            let access = Access { uuid, channel: None, account: None };
            delete_record_and_files(app, access, true, &Precondition::default()).await
        }
    };
    if let Err(failure) = tidied {
        tracing::error!(image_uuid = %uuid, err.json = %err(&failure), "cannot tidy up the placeholder of an image");
    }
    Err(jobs_failed(error))
}

#[cfg(test)]
pub(in crate::images) mod tests;
