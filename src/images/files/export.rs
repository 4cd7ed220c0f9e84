// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use serde::Serialize;

use super::reading::{RecordedFile, read_recorded};
use crate::images::{Access, ApiError, ApiResult, App, Code, run_to_completion};
use crate::manifest::{ApiForm, Compression, FieldCode, FieldError, Image, Stor, Uuid, json};
use crate::storage::{Location, StorageError};

/// The reason that a path is refused for which leaves no room for a file name.
const ROOT: &str = "has to lead into one of the directories that an account has";

/// Where ExportImage has put the files: paths in the Manta of this URL.
#[derive(Debug, Serialize)]
pub struct Exported {
    manta_url: String,
    image_path: String,
    manifest_path: String,
}

/// ExportImage: writes the manifest of `image` and its file to Manta, into the directory `path`, or to names that begin with
/// `path`. The caller may see the image; an account's path has to be in the account's own area.
pub async fn export(
    app: &Arc<App>,
    access: Access,
    image: Image,
    path: &str,
    form: ApiForm,
) -> ApiResult<Exported> {
    let components = components(path);
    let Some(owner) = components.get(usize::from(!path.starts_with('/'))) else {
        return Err(invalid_path(path, "names nobody's directory"));
    };
    let named = exportable(app, &image)?;
    if let Some(account) = access.account {
        check_owner(app, account, owner).await?;
    }
    if !path.starts_with('/') {
        return Err(invalid_path(path, "must begin with a slash"));
    }
    if components.len() < 2 {
        return Err(invalid_path(path, ROOT));
    }
    let path = format!("/{}", components.join("/"));
    let app = Arc::clone(app);
    run_to_completion(async move {
        let (app, path, form) = (&*app, &*path, &form);
        let write = |named| async move { write(app, named, path, form).await };
        read_recorded(app, access, named, |image| exportable(app, image), false, write).await
    })
    .await
}

/// Writes the file first, so that no manifest is written for a file that turns out to be gone.
async fn write(
    app: &App,
    RecordedFile { entry: image, location }: RecordedFile<Image>,
    path: &str,
    form: &ApiForm,
) -> ApiResult<Exported> {
    let manta = app.storage.manta()?;
    let refused = |error: StorageError| refused(path, error);
    let prefix = match manta.is_directory(path).await.map_err(refused)? {
        true => format!("{path}/{}-{}", image.name(), image.version()),
        false => path.to_owned(),
    };
    if prefix.matches('/').count() < 3 {
        return Err(invalid_path(path, ROOT));
    }
    let exported = Exported {
        manta_url: manta.url().to_owned(),
        image_path: format!(
            "{prefix}.zfs{}",
            image.files().first().map_or("", |file| extension(file.compression))
        ),
        manifest_path: format!("{prefix}.imgmanifest"),
    };
    let manifest = json::indented_by_four(&image.api(form))?.into_bytes();
    manta.export_file(&location, &exported.image_path).await.map_err(refused)?;
    manta.export_manifest(&exported.manifest_path, manifest).await.map_err(refused)?;
    Ok(exported)
}

/// Returns the manifest and location of an image that can be exported.
fn exportable(app: &App, image: &Image) -> ApiResult<RecordedFile<Image>> {
    app.storage.manta()?;
    match image.files() {
        [file, ..] if file.stor != Stor::Manta => {
            Err(ApiError::new(Code::StorageUnsupported, "the file of the image is not in manta"))
        }
        [file] => {
            Ok(RecordedFile { entry: image.clone(), location: Location::of_file(image.uuid(), 0, file) })
        }
        [] => Err(ApiError::validation(vec![FieldError::invalid("files").because("the image has no file")])),
        _ => Err(ApiError::new(Code::NotImplemented, "an image with several files cannot be exported")),
    }
}

async fn check_owner(app: &App, account: Uuid, owner: &str) -> ApiResult<()> {
    let login = match &app.accounts {
        Some(accounts) => accounts.login(account).await?,
        None => None,
    };
    match login {
        None => Err(ApiError::new(Code::AccountDoesNotExist, format!("account {account} does not exist"))),
        Some(login) if login != owner => {
            let message = format!("the path has to be in the area of {login}");
            Err(ApiError::new(Code::NotMantaPathOwner, message))
        }
        Some(_) => Ok(()),
    }
}

/// The names in a path, without `.` and `..`.
fn components(path: &str) -> Vec<&str> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    components
}

fn extension(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => ".gz",
        Compression::Bzip2 => ".bz2",
        Compression::Xz => ".xz",
        Compression::None => "",
    }
}

fn invalid_path(path: &str, reason: &str) -> ApiError {
    ApiError::invalid_parameter("manta_path", FieldCode::Invalid, format!("{path:?} {reason}"))
}

/// Turns Manta's objections to the path into errors that name the path; the caller can correct it.
fn refused(path: &str, error: StorageError) -> ApiError {
    match error.path_problem() {
        Some(problem) => invalid_path(path, problem).because(error),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lead_nowhere_else() {
        assert_eq!(components("//./a/../bob/x/"), ["bob", "x"]);
        for nothing in ["/", "", "/..", "/a/..", "."] {
            assert_eq!(components(nothing), Vec::<&str>::new(), "{nothing}");
        }
    }
}
