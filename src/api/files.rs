//! `/images/:uuid/file`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::conditional::{self, Outcome, Validators};
use super::context::Context;
use super::extract::{OwnedImage, VisibleImage};
use super::images::{not_modified, reply};
use super::params::Params;
use super::reply::Json;
use super::upload;
use crate::images::{self, ApiError, ApiResult, Code, FileUpload};
use crate::manifest::{Compression, FieldCode, FieldError, ImageFile, Stor, times};

/// Makes response bodies of files, in the way that suits the connection: the server gives one to every request.
#[derive(Clone)]
pub struct FileBodies(Arc<MakeBody>);

type MakeBody = dyn Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync;

impl FileBodies {
    /// `make` gets an open file and which of its bytes are wanted; a range beyond its end is an error.
    pub fn new(make: impl Fn(File, Range<u64>) -> io::Result<Body> + Send + Sync + 'static) -> FileBodies {
        FileBodies(Arc::new(make))
    }

    /// The body of these bytes of the file.
    pub fn body(&self, file: File, range: Range<u64>) -> io::Result<Body> {
        (self.0)(file, range)
    }
}

/// `PUT /images/:uuid/file` — AddImageFile.
pub(super) async fn add_image_file(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    image: OwnedImage,
    body: Body,
) -> ApiResult<Json> {
    images::check_unactivated(&image.image)?;
    let upload = parse_upload(&context.params, &headers)?;
    let image = images::add_file(state.app(), image.access, upload, upload::stream(body)).await?;
    reply(&image, &context.form(&state, false))
}

fn parse_upload(params: &Params, headers: &HeaderMap) -> ApiResult<FileUpload> {
    let upload = FileUpload {
        compression: parse_compression(params)?,
        sha1: params.non_empty("sha1")?.map(str::to_owned),
        dataset_guid: params.non_empty("dataset_guid")?.map(str::to_owned),
        length: headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
    };
    check_storage(params)?;
    Ok(upload)
}

fn parse_compression(params: &Params) -> ApiResult<Compression> {
    let Some(compression) = params.non_empty("compression")? else {
        let missing = FieldError::new("compression", FieldCode::Missing);
        return Err(ApiError::invalid_parameters(vec![missing]));
    };
    compression.parse().map_err(|_| {
        let message = format!("must be gzip, bzip2, xz or none, not {compression:?}");
        ApiError::invalid_parameter("compression", FieldCode::Invalid, message)
    })
}

/// Only operators choose where a file goes. There is one place here, and a wish for another one gives way to it, as in
/// 4.13.1.
fn check_storage(params: &Params) -> ApiResult<()> {
    let Some(storage) = params.non_empty("storage")? else { return Ok(()) };
    if params.account()?.is_some() {
        let message = "may only be chosen by operators";
        return Err(ApiError::invalid_parameter("storage", FieldCode::NotAllowed, message));
    }
    storage.parse::<Stor>().map(drop).map_err(|_| {
        let message = format!("must be local or manta, not {storage:?}");
        ApiError::invalid_parameter("storage", FieldCode::Invalid, message)
    })
}

/// `GET` and `HEAD /images/:uuid/file` — GetImageFile.
pub(super) async fn get_image_file(
    State(state): State<AppState>,
    context: Context,
    method: Method,
    headers: HeaderMap,
    image: VisibleImage,
    Extension(bodies): Extension<FileBodies>,
) -> ApiResult<Response> {
    let index = parse_index(&context.params)?;
    let opened = images::get_file(state.app(), image.access, &image.image, index).await?;
    let entry = &opened.entry;
    let modified = entry.mtime.as_deref().and_then(times::parse_js_date).map(SystemTime::from);
    let validators = Validators { etag: &entry.sha1, modified };
    let mut response = match conditional::read(&headers, validators)? {
        Outcome::NotModified => not_modified(&entry.sha1),
        Outcome::Send => {
            let body = if method == Method::HEAD {
                Body::empty()
            } else {
                bodies.body(opened.file, 0..entry.size).map_err(damaged)?
            };
            let mut response = body.into_response();
            describe(response.headers_mut(), entry);
            response
        }
    };
    if let Some(modified) = modified {
        insert(response.headers_mut(), header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    Ok(response)
}

/// A stored file that is shorter than its manifest says, or cannot be read.
fn damaged(error: io::Error) -> ApiError {
    ApiError::new(Code::InternalError, "the stored file is not what its manifest says").because(error)
}

fn describe(headers: &mut HeaderMap, entry: &ImageFile) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, entry.size.into());
    insert(headers, header::ETAG, &entry.sha1);
    if let Some(md5) = &entry.content_md5 {
        insert(headers, HeaderName::from_static("content-md5"), md5);
    }
}

/// What cannot be a header, in a damaged record, is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The number that the text begins with; anything else is 0, as in 4.13.1. A negative one is beyond every list.
fn parse_index(params: &Params) -> ApiResult<usize> {
    let text = params.non_empty("index")?.unwrap_or_default().trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    let index = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
    Ok(if negative && index > 0 { usize::MAX } else { index })
}
