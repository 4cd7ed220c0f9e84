// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks of members that images of type `zvol` must have and others must not have.

use serde_json::Value;

use super::Subject;
use crate::manifest::kinds::ImageType;
use crate::manifest::{FieldError, coerce};

pub(super) fn nic_driver(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_driver(subject, "nic_driver", value, problems);
}

pub(super) fn disk_driver(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_driver(subject, "disk_driver", value, problems);
}

pub(super) fn cpu_type(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    check_driver(subject, "cpu_type", value, problems);
}

fn check_driver(subject: &Subject<'_>, name: &str, value: &Value, problems: &mut Vec<FieldError>) {
    if !belongs(subject) && coerce::truthy(value) {
        problems.push(misplaced(name));
    } else if !value.is_string() {
        problems.push(FieldError::invalid(name).because("not a string"));
    }
}

/// Reads the size as JavaScript reads a number, because 4.13.1 converts it before the check.
pub(super) fn image_size(subject: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    if !belongs(subject) && coerce::truthy(value) {
        problems.push(misplaced("image_size"));
    } else if coerce::number(value).and_then(coerce::whole).is_none() {
        problems.push(FieldError::invalid("image_size").because("not an integer"));
    }
}

/// Returns the problem with one of these members if it is absent; `None` if it may be absent.
pub(super) fn absence(subject: &Subject<'_>, name: &str) -> Option<FieldError> {
    belongs(subject).then(|| FieldError::missing(name))
}

fn belongs(subject: &Subject<'_>) -> bool {
    subject.image_type == Some(ImageType::Zvol)
}

fn misplaced(name: &str) -> FieldError {
    FieldError::invalid(name).because("only images of type zvol have it")
}
