// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected into the creation of an image.

use serde::{Deserialize, Serialize};

use crate::faults::{FaultRule, Faults};

/// A failure to inject into the creation of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum TaskFault {
    /// The task fails, and the error is a text.
    Text {
        /// The error.
        message: String,
        /// Details of the error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<String>,
    },
    /// The task fails, and the error is an object with this message.
    Object {
        /// The message.
        message: String,
    },
    /// The task fails as `imgadm` does: the message is JSON.
    Json {
        /// `imgadm`'s error code.
        code: String,
        /// `imgadm`'s error message.
        message: String,
    },
    /// The task fails, and only its final log entries give the reason.
    Log {
        /// The messages of the log entries.
        messages: Vec<String>,
    },
    /// The task fails without a reason.
    Silent,
    /// The server dies halfway through the upload: the connection breaks, and nothing is cleaned up.
    DieHalfWay,
    /// The task never ends.
    NeverEnd,
}

/// What a task must look like for a fault to apply to it. By default every task does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCondition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vm: Option<String>,
}

/// The tasks that a fault applies to. By default it applies to all tasks until it is cleared.
pub type TaskFaultRule = FaultRule<TaskFault, TaskCondition>;

impl TaskFaultRule {
    /// Applies the fault only to tasks for the machine with this UUID.
    #[must_use]
    pub fn vm(self, uuid: &str) -> Self {
        self.only(|condition| condition.vm = Some(uuid.to_owned()))
    }
}

/// The fault switches of one server. Clones share them. A task that never ends stays active when the faults are cleared.
pub type TaskFaults = Faults<TaskFault, TaskCondition>;

impl TaskFaults {
    /// Returns the fault that applies to a task for this machine.
    pub(super) fn of_task(&self, vm: &str) -> Option<TaskFault> {
        let met = self.take(|_, condition| condition.vm.as_deref().is_none_or(|wanted| wanted == vm));
        met.map(|met| met.fault)
    }
}
