// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Chooses the script that prepares a VM for its image. It runs in the VM before the image is made.

use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{Image, Os};

/// Older images of Windows cannot be prepared under `kvm`.
const FIRST_WINDOWS: &str = "2018-10-15";

/// Returns the script for VMs that were made from this image.
pub(in crate::images) fn prepare_image_script(base: &Image) -> ApiResult<&'static str> {
    let script = match base.os() {
        Some(Os::Smartos) => include_str!("../../../tools/prepare-image/smartos-prepare-image"),
        Some(Os::Linux) => include_str!("../../../tools/prepare-image/linux-prepare-image"),
        Some(Os::Windows) => include_str!("../../../tools/prepare-image/windows-prepare-image"),
        Some(Os::Bsd) => include_str!("../../../tools/prepare-image/bsd-prepare-image"),
        os => {
            let os = os.map_or("unknown", Os::as_str);
            return Err(not_available(&format!("images of VMs with os {os} cannot be made")));
        }
    };
    if base.os() == Some(Os::Windows) && is_kvm(base) && published(base) < FIRST_WINDOWS {
        let message = format!("image {} is too old: a VM cannot be prepared for its image", base.uuid());
        return Err(not_available(&message));
    }
    Ok(script)
}

fn is_kvm(image: &Image) -> bool {
    let brand = image.record().get("requirements").and_then(|requirements| requirements.get("brand"));
    brand.is_some_and(|brand| brand == "kvm")
}

/// ISO 8601, so that the order of texts is the order of times.
fn published(image: &Image) -> &str {
    image.published_at().unwrap_or_default()
}

fn not_available(message: &str) -> ApiError {
    ApiError::new(Code::NotAvailable, message)
}
