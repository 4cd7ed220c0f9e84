// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests that start jobs, and the list of an image's jobs.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::body::Parsed;
use super::context::Context;
use super::extract::{ImagePath, VisibleImage};
use super::reply::Json;
use crate::config::ChannelId;
use crate::images::{self, ApiError, ApiResult, StartedJob, VmImage};
use crate::manifest::{FieldCode, FieldError, json};

/// The header with the URL at which a client can poll the job.
const WORKFLOW_API: HeaderName = HeaderName::from_static("workflow-api");

/// Parameters of CreateImageFromVm that may also be in the body, beside the manifest.
const OF_VM: [&str; 3] = ["vm_uuid", "incremental", "max_origin_depth"];

/// `POST /images?action=create-from-vm` — CreateImageFromVm.
pub(super) async fn create_from_vm(
    state: &AppState,
    context: &Context,
    channel: Option<ChannelId>,
    body: Parsed,
) -> ApiResult<Response> {
    let (app, params) = (state.app(), context.params.or_from(body.members(), &OF_VM)?);
    images::check_vm_images(app)?;
    let invalid = |name, message| ApiError::invalid_parameter(name, FieldCode::Invalid, message);
    let Some(vm) = params.non_empty("vm_uuid")? else { return Err(missing("vm_uuid")) };
    let vm = vm.parse().map_err(|_| invalid("vm_uuid", "must be a UUID"))?;
    let incremental = params.flag_unless_empty("incremental")?;
    let max_origin_depth = match params.non_empty("max_origin_depth")?.map(str::parse::<u64>) {
        None => None,
        Some(Ok(depth)) if depth >= 2 => Some(depth),
        Some(_) => return Err(invalid("max_origin_depth", "must be an integer from 2 on")),
    };
    let mut manifest = body.into_object()?;
    // If the query has the parameter, the member of the same name is left in the manifest, where it is unknown.
    manifest
        .retain(|name, _| name != "action" && (!OF_VM.contains(&name.as_str()) || context.params.has(name)));
    let account = params.account()?;
    let image = VmImage { vm, incremental, max_origin_depth, channel, manifest };
    let job = images::create_from_vm(app, account, image, &context.id_text()).await?;
    started(state, &job)
}

/// `POST /images/:uuid?action=import-remote` — AdminImportRemoteImage.
pub(super) async fn import_remote(
    state: &AppState,
    context: &Context,
    path: ImagePath,
) -> ApiResult<Response> {
    let params = &context.params;
    let Some(source) = params.non_empty("source")? else { return Err(missing("source")) };
    params.operator_only()?;
    let skip_owner_check = params.flag_unless_empty("skip_owner_check")?;
    let (app, id) = (state.app(), context.id_text());
    let job = images::import_remote(app, path.uuid, source, skip_owner_check, &id).await?;
    started(state, &job)
}

/// `POST /images/:uuid?action=import-from-datacenter` — ImportImageFromDatacenter.
pub(super) async fn import_from_datacenter(
    state: &AppState,
    context: &Context,
    path: ImagePath,
    body: &Parsed,
) -> ApiResult<Response> {
    let (params, config) =
        (context.params.or_from(body.members(), &["datacenter", "account"])?, &state.app().config);
    let Some(account) = params.account().ok().flatten() else {
        return Err(ApiError::invalid_request(vec![
            FieldError::invalid("account").because("must be a UUID"),
        ]));
    };
    let Some(name) = params.non_empty("datacenter")? else { return Err(missing("datacenter")) };
    let others = config.outgoing.datacenters.iter().filter(|other| other.name != config.datacenter_name);
    let Some(datacenter) = others.clone().find(|other| other.name == name) else {
        let names = others.map(|other| other.name.as_str()).collect::<Vec<_>>().join(", ");
        let problem = FieldError::invalid("datacenter").because(format!("must be one of: {names}"));
        // The wording of 4.13.1, whose tests look for it.
        let message = format!("datacenter {name:?} is not supported, valid datacenters names are: {names}");
        return Err(ApiError::invalid_request(vec![problem]).saying(message));
    };
    let (app, id) = (state.app(), context.id_text());
    let job = images::import_from_datacenter(app, path.uuid, account, datacenter, &id).await?;
    started(state, &job)
}

/// `GET /images/:uuid/jobs` — GetImageJobs.
pub(super) async fn get_image_jobs(
    State(state): State<AppState>,
    context: Context,
    image: VisibleImage,
) -> ApiResult<Json> {
    let (task, execution) = (context.params.non_empty("task")?, context.params.non_empty("execution")?);
    let (app, id) = (state.app(), context.id_text());
    // The size of the Workflow API's answer is not known in advance.
    context.size.add(usize::MAX).await;
    let jobs = images::image_jobs(app, image.access.uuid, task, execution, &id).await?;
    Ok(Json::rendered(json::pretty(&jobs)?))
}

/// Returns the job's UUID and URL.
fn started(state: &AppState, job: &StartedJob) -> ApiResult<Response> {
    let mut response = Json::rendered(json::pretty(job)?).into_response();
    if let Some(url) = state.app().jobs.url().and_then(|url| HeaderValue::from_str(url).ok()) {
        response.headers_mut().insert(WORKFLOW_API, url);
    }
    Ok(response)
}

fn missing(parameter: &str) -> ApiError {
    ApiError::invalid_request(vec![FieldError::missing(parameter)])
}
