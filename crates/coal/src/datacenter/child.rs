// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The processes of a datacenter: `imgapi` and its config-agent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::error::{DatacenterError, cannot};

/// Time for a process to end after SIGTERM. Its transfers may continue for a while.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Number of log lines to show after an unexpected end.
const LOG_LINES: usize = 20;
/// Number of bytes at the end of the log that are searched for these lines.
const LOG_TAIL: u64 = 16 << 10;

/// How to start a process.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// Name of the program for people.
    pub(super) program: &'static str,
    /// The program, and the words before its arguments on the command line.
    pub(super) command: Vec<PathBuf>,
    pub(super) arguments: Vec<OsString>,
    /// Environment variables besides those of this process.
    pub(super) environment: Vec<(String, String)>,
    /// File for its standard output and error.
    pub(super) log_file: PathBuf,
    /// File that contains its process id while it runs.
    pub(super) pid_file: Option<PathBuf>,
}

impl Launch {
    /// Starts the process in a process group of its own, so that an interrupt from the terminal reaches it only through coal.
    pub(super) fn spawn(&self) -> Result<Process, DatacenterError> {
        let shown =
            self.command.last().map_or_else(|| self.program.into(), |path| path.display().to_string());
        let action = format!("start {shown}");
        let log = || {
            let file = OpenOptions::new().create(true).append(true).open(&self.log_file);
            file.map_err(cannot(format!("open {}", self.log_file.display())))
        };
        let mut words = self.command.iter();
        let program = words.next().ok_or_else(|| std::io::ErrorKind::InvalidInput.into());
        let child = Command::new(program.map_err(cannot(action.clone()))?)
            .args(words)
            .args(&self.arguments)
            // The config contains the directory. A value from this environment would belong to another server.
            .env_remove("IMGAPI_LOCAL_BASE_DIR")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot(action))?;
        if let (Some(file), Some(pid)) = (&self.pid_file, child.id()) {
            fs::write(file, pid.to_string()).map_err(cannot(format!("write {}", file.display())))?;
        }
        Ok(Process::watch(self, child))
    }
}

/// A started process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    program: &'static str,
    pid: u32,
    orders: mpsc::Sender<Order>,
    exit: watch::Receiver<Option<ExitStatus>>,
    log_file: PathBuf,
    _watcher: AbortOnDropHandle<()>,
}

/// Orders to the task that owns the child process.
#[derive(Debug, Clone, Copy)]
enum Order {
    Terminate,
    Kill,
}

impl Process {
    fn watch(launch: &Launch, child: Child) -> Self {
        let (orders, inbox) = mpsc::channel(4);
        let (sender, exit) = watch::channel(None);
        let pid = child.id().unwrap_or_default();
        let watcher = AbortOnDropHandle::new(tokio::spawn(own(launch.clone(), child, inbox, sender)));
        Self {
            program: launch.program,
            pid,
            orders,
            exit,
            log_file: launch.log_file.clone(),
            _watcher: watcher,
        }
    }

    /// Returns the process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the exit status; `None` while the process runs.
    pub(super) fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until the process ends.
    pub(super) async fn wait(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        loop {
            if let Some(status) = *exit.borrow_and_update() {
                return status;
            }
            if exit.changed().await.is_err() {
                // The owner reports the exit status before it ends, unless the runtime shuts down.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub(super) async fn kill(&self) {
        let _ = self.orders.send(Order::Kill).await;
        self.wait().await;
    }

    /// Sends SIGTERM and waits for the end. Sends SIGKILL if that takes too long.
    pub(super) async fn terminate(&self) -> ExitStatus {
        let _ = self.orders.send(Order::Terminate).await;
        if let Ok(status) = tokio::time::timeout(STOP_DEADLINE, self.wait()).await {
            return status;
        }
        tracing::warn!(self.program, "a process did not stop in time and is killed");
        let _ = self.orders.send(Order::Kill).await;
        self.wait().await
    }

    /// Returns the error for an unexpected end.
    pub(super) fn unexpected_end(&self, status: ExitStatus) -> DatacenterError {
        DatacenterError::Exited { program: self.program, status, log: last_lines(&self.log_file) }
    }
}

/// Owns the child process, so that a signal never reaches another process with a reused process id.
async fn own(
    launch: Launch,
    mut child: Child,
    mut orders: mpsc::Receiver<Order>,
    exit: watch::Sender<Option<ExitStatus>>,
) {
    let program = launch.program;
    loop {
        tokio::select! {
            status = child.wait() => {
                if let Some(file) = &launch.pid_file {
                    // The file is written again at the next start.
                    let _ = fs::remove_file(file);
                }
                match status {
                    Ok(status) => drop(exit.send(Some(status))),
                    Err(error) => tracing::error!(%error, program, "cannot wait for a process"),
                }
                return;
            }
            Some(order) = orders.recv() => {
                let done = match (order, child.id().and_then(|id| Pid::from_raw(id.cast_signed()))) {
                    (Order::Terminate, Some(pid)) => kill_process(pid, Signal::TERM).map_err(Into::into),
                    _ => child.start_kill(),
                };
                if let Err(error) = done {
                    tracing::warn!(%error, program, "cannot signal a process");
                }
            }
        }
    }
}

/// Returns the last lines of a log, or the error if it cannot be read.
pub(super) fn last_lines(path: &Path) -> String {
    let tail = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match tail() {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
        }
        Err(error) => format!("{}: {error}", path.display()),
    }
}
