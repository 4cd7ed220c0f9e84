// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected into the creation of an image.

use serde::{Deserialize, Serialize};

use crate::faults::Switches;

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

/// The tasks that a fault applies to. By default it applies to all tasks until it is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFaultRule {
    #[serde(flatten)]
    fault: TaskFault,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
}

impl TaskFaultRule {
    /// Applies the fault to every task.
    pub fn new(fault: TaskFault) -> Self {
        Self { fault, vm: None, times: None }
    }

    /// Applies the fault only to tasks for the machine with this UUID.
    #[must_use]
    pub fn vm(mut self, uuid: &str) -> Self {
        self.vm = Some(uuid.to_owned());
        self
    }

    /// Applies the fault only to the next `times` tasks.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

impl From<TaskFault> for TaskFaultRule {
    fn from(fault: TaskFault) -> Self {
        Self::new(fault)
    }
}

/// The fault switches of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct TaskFaults(Switches<TaskFaultRule>);

impl TaskFaults {
    /// Adds a fault. If several faults apply to a task, the oldest is used.
    pub fn set(&self, rule: impl Into<TaskFaultRule>) {
        let rule = rule.into();
        let times = rule.times;
        self.0.set(rule, times);
    }

    /// Removes all faults. A task that never ends stays active.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Returns the active faults, each with the number of tasks that it still applies to.
    pub fn list(&self) -> Vec<TaskFaultRule> {
        self.0.list().into_iter().map(|(rule, left)| TaskFaultRule { times: left, ..rule }).collect()
    }

    /// Returns the number of tasks that a fault was applied to since the server was created.
    pub fn applied(&self) -> u64 {
        self.0.applied()
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        self.0.wait_applied(count).await;
    }

    /// Returns the fault that applies to a task for this machine.
    pub(super) fn take(&self, vm: &str) -> Option<TaskFault> {
        let met = self.0.take(|rule| rule.vm.as_deref().is_none_or(|wanted| wanted == vm));
        met.map(|met| met.rule.fault)
    }
}
