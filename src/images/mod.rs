// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The operations on images. This room knows nothing about HTTP.
//!
//! A room in this table calls only the rooms below it:
//!
//! | | |
//! |-|-|
//! | `integrity` | finds damage in the background and on request: the sweep, the scrubber, `check-files` |
//! | `jobs` | images that jobs of the Workflow API make, and the placeholders that wait for them |
//! | `foreign` | images from servers of other kinds than IMGAPI, and to them |
//! | `lifecycle` | operations that change a record and its files together: update, rename, activate, clone, delete |
//! | `files` | moves bytes: uploads, downloads, icons, copies, and publishing a file |
//! | `record` | the one way to change a record, and the operations that do no more than that |
//! | `archive` | the last version of each manifest, on disk and in Manta |
//! | the files beside these rooms | what all rooms share: [`App`], errors, locks |

mod app;
mod archive;
mod attempts;
mod current_app;
mod error;
mod error_code;
mod files;
mod foreign;
mod health;
mod integrity;
mod jobs;
mod large;
mod lifecycle;
mod locks;
mod probe;
mod record;

use crate::manifest::times::now;
use app::run_to_completion;
pub use app::{Access, App};
pub use archive::worker::ArchiveShipper;
pub use current_app::CurrentApp;
pub use error::{ApiError, ApiResult};
pub use error_code::Code;
pub use files::add_file::{FileUpload, add_file, check_unactivated};
pub use files::change_stor::change_stor;
pub use files::export::{Exported, export};
pub use files::fetch::{add_file_from_source, add_file_from_url, import_from_source};
pub use files::get_file::get_file;
pub use files::icon::{IconUpload, add_icon, delete_icon, get_icon};
pub use files::pace::with_transfer_limits;
pub use files::reading::OpenedFile;
pub use files::receive::DeclaredContent;
pub use foreign::running::{ImportKind, Imports, RunningImport};
pub use foreign::{
    DockerPush, LxdReference, Messages, import_lxd_image, push_docker_image, take_over_imgapid,
};
pub use health::{Backend, BackendError, BackendState, Health};
pub use integrity::check_files::{BadFile, CheckOptions, CheckReport, Orphan, Step, check_files};
pub use integrity::problem::Problem;
pub use integrity::scrub::{Counts, Finding, Findings, Scrub};
pub use integrity::sweep::Sweep;
pub use jobs::create_from_vm::{VmImage, check_vm_images, create_from_vm};
pub use jobs::image_jobs::{StartedJob, image_jobs};
pub use jobs::import_from_datacenter::import_from_datacenter;
pub use jobs::import_remote::import_remote;
pub use jobs::placeholders::expire::Expiry;
pub use jobs::placeholders::watch::Placeholders;
pub use large::{Size, off_the_runtime};
pub use lifecycle::activate::activate;
pub use lifecycle::clone::clone_image;
pub use lifecycle::delete::delete;
pub use lifecycle::update::update;
pub use probe::health;
pub use record::acl::{AclAction, update_acl};
pub use record::channels::add_channel;
pub use record::create::create;
pub use record::enable::set_disabled;
use record::import::refuse_existing;
pub use record::import::{ImportOptions, import};
pub use record::list::list;
pub use record::lookup::{checked, lookup, owned};
pub use record::precondition::Precondition;

pub use crate::storage::{Part, StoredFile};
