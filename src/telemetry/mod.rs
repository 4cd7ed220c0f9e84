// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The output of the process for operators: Bunyan log records, audit records and metrics.
//!
//! All records are written with the `tracing` macros. A field whose name ends in `.json` carries JSON text and appears
//! as that JSON under the name without the suffix; `fatal = true` raises an error to level 60:
//!
//! ```
//! use imgapi::telemetry::{Json, err};
//! let filter = serde_json::json!({"state": "active"});
//! let e = std::io::Error::other("connection refused");
//! tracing::info!(filter.json = %Json(&filter), "moray ldap search");
//! tracing::warn!(err.json = %err(&e), "UFDS: disconnected");
//! ```

mod audit;
mod bunyan;
mod error;
mod level;
mod logger;
mod mask;
mod metrics;
mod queue;

pub use audit::{Audit, AuditRequest, AuditResponse};
pub use error::{ErrorRecord, Json, err, excerpt, root_cause};
pub use level::{Level, ParseLevelError};
pub use logger::{InitError, LogControl, LogOptions, Logger, init};
pub(crate) use mask::is_secret_name;
pub use mask::{MASK, mask_url};
pub use metrics::{GaugeGuard, Metrics, MetricsError, StaticLabels, WorkerMetrics};
