// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How the making of an image fails on purpose.

use serde::{Deserialize, Serialize};

use crate::faults::Switches;

/// What goes wrong with the making of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum TaskFault {
    /// It fails, and the error is a text.
    Text {
        /// The text.
        message: String,
        /// More of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<String>,
    },
    /// It fails, and the error is an object with this message.
    Object {
        /// The message.
        message: String,
    },
    /// It fails as `imgadm` does: the message is JSON.
    Json {
        /// `imgadm`'s code.
        code: String,
        /// `imgadm`'s message.
        message: String,
    },
    /// It fails, and only the log of its end says why.
    Log {
        /// The messages.
        messages: Vec<String>,
    },
    /// It fails, and nothing says why.
    Silent,
    /// The server dies half way through the upload: the connection breaks, and nothing is cleaned up.
    DieHalfWay,
    /// Nothing happens, for ever.
    NeverEnd,
}

/// Which tasks a fault meets: by default all, until it is cleared.
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
    /// Meets every task.
    pub fn new(fault: TaskFault) -> Self {
        Self { fault, vm: None, times: None }
    }

    /// Meets only tasks about the machine with this UUID.
    #[must_use]
    pub fn vm(mut self, uuid: &str) -> Self {
        self.vm = Some(uuid.to_owned());
        self
    }

    /// Meets only the next `times` tasks.
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

/// The switches of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct TaskFaults(Switches<TaskFaultRule>);

impl TaskFaults {
    /// Adds a fault. Of several that meet a task, the oldest is taken.
    pub fn set(&self, rule: impl Into<TaskFaultRule>) {
        let rule = rule.into();
        let times = rule.times;
        self.0.set(rule, times);
    }

    /// Removes all faults. What does not end goes on not ending.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// The faults that are switched on, each with the number of tasks that it is yet to meet.
    pub fn list(&self) -> Vec<TaskFaultRule> {
        self.0.list().into_iter().map(|(rule, left)| TaskFaultRule { times: left, ..rule }).collect()
    }

    /// How many tasks have met a fault since the server was made.
    pub fn applied(&self) -> u64 {
        self.0.applied()
    }

    /// Waits until [`applied`](Self::applied) is at least `count`.
    pub async fn wait_applied(&self, count: u64) {
        self.0.wait_applied(count).await;
    }

    /// Takes what a task about this machine meets.
    pub(super) fn take(&self, vm: &str) -> Option<TaskFault> {
        let met = self.0.take(|rule| rule.vm.as_deref().is_none_or(|wanted| wanted == vm));
        met.map(|met| met.rule.fault)
    }
}
