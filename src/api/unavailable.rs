// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Routes without a backend in this version: they make the checks of 4.13.1, and then answer 501 `NotAvailable`.

use super::context::Context;
use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::FieldError;

fn unavailable(what: &str) -> ApiError {
    ApiError::new(Code::NotAvailable, format!("{what} is not available in this version"))
}

/// `POST /images?action=import-docker-image` — AdminImportDockerImage.
pub(super) fn import_docker_image(context: &Context) -> ApiError {
    checked(check_docker_reference(context), "import-docker-image")
}

fn checked(checks: ApiResult<()>, what: &str) -> ApiError {
    checks.err().unwrap_or_else(|| unavailable(what))
}

fn check_docker_reference(context: &Context) -> ApiResult<()> {
    let params = &context.params;
    params.operator_only()?;
    let mut problems = Vec::new();
    let repository = params.non_empty("repo")?;
    if repository.is_none() {
        problems.push(FieldError::missing("repo"));
    }
    match (params.non_empty("tag")?, params.non_empty("digest")?) {
        (None, None) => problems.push(FieldError::missing("tag")),
        (Some(_), Some(_)) => {
            problems.push(FieldError::invalid("digest").because("excludes \"tag\""));
        }
        _ => {}
    }
    // With a tag appended, a colon in the name can only belong to the registry.
    if problems.is_empty()
        && repository.is_some_and(|repository| !names_repository(&format!("{repository}:latest")))
    {
        problems.push(FieldError::invalid("repo"));
    }
    if !problems.is_empty() {
        return Err(ApiError::invalid_request(problems));
    }
    params.flag("public").map(drop)
}

/// Returns whether this is a Docker repository, optionally with a registry before it, and a tag or digest after it.
fn names_repository(text: &str) -> bool {
    let repository = match (text.rsplit_once('@'), text.rsplit_once(':')) {
        (Some((repository, _digest)), _) => repository,
        (None, Some((repository, tag))) if !tag.contains('/') => repository,
        _ => text,
    };
    let is_registry = |name: &str| name.contains(['.', ':']) || name == "localhost";
    let name = match repository.split_once('/') {
        Some((registry, name)) if is_registry(registry) => name,
        _ => repository,
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_/.-".contains(&byte);
    let namespace = name.split_once('/').map(|(namespace, _)| namespace);
    name.bytes().all(plain)
        && namespace.is_none_or(|namespace| (2..=255).contains(&namespace.len()) && !namespace.contains("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_in_lower_case_whatever_stands_around_it() {
        for good in ["busybox", "", "joe/box:T4G", "localhost:5000/a_b", "Reg.io/joe/x@sha256:A", "a.b/x.y-z"]
        {
            assert!(names_repository(good), "{good}");
        }
        for bad in ["UP", "x y", "joe/BOX", "j/box", "jo--e/box", "Reg.io/Joe/x"] {
            assert!(!names_repository(bad), "{bad}");
        }
    }
}
