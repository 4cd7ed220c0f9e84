//! JSON over HTTP as Triton's services speak it: what the Workflow API, VMAPI and CNAPI share.

mod error;
mod faults;
mod server;

pub use faults::{Garbage, RestFault, RestFaultRule, RestFaults};
pub use server::RestServer;

pub(crate) use error::{RestError, RestResult};
pub(crate) use server::object;
