// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs the command that follows a change of a file.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};

/// The most bytes of a command's output that are kept.
const MAX_OUTPUT: usize = 8 * 1024;

/// How long a background process of a command may hold its output open.
const GRACE: Duration = Duration::from_millis(500);

/// How a command ended.
#[derive(Debug)]
pub(super) enum CommandEnd {
    /// The command ended by itself.
    Exit(ExitStatus),
    /// The command was killed at its time limit, together with all its child processes.
    Timeout,
}

/// The result of a command.
#[derive(Debug)]
pub(super) struct CommandResult {
    pub end: CommandEnd,
    /// The beginning of its standard output and standard error.
    pub output: String,
}

/// Runs `command` in a shell, for at most `limit`.
///
/// # Errors
/// There is no shell.
pub(super) async fn run(command: &str, limit: Duration) -> std::io::Result<CommandResult> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut some, mut more) = ([0; 1024], [0; 1024]);
    let mut output = Vec::new();
    let mut exit = None;
    let mut deadline = Instant::now() + limit;
    while exit.is_none() || stdout.is_some() || stderr.is_some() {
        tokio::select! {
            count = read(stdout.as_mut(), &mut some) => keep(count, &some, &mut stdout, &mut output),
            count = read(stderr.as_mut(), &mut more) => keep(count, &more, &mut stderr, &mut output),
            status = child.wait(), if exit.is_none() => {
                exit = Some(status?);
                deadline = Instant::now() + GRACE;
            }
            () = sleep_until(deadline) => break,
        }
    }
    let end = match exit {
        Some(status) => CommandEnd::Exit(status),
        None => {
            if let Some(group) = group {
                // The command may have ended just now.
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait().await?;
            CommandEnd::Timeout
        }
    };
    Ok(CommandResult { end, output: String::from_utf8_lossy(&output).trim_end().to_owned() })
}

/// Reads from the pipe. Without a pipe it never returns.
async fn read<R: AsyncReadExt + Unpin>(pipe: Option<&mut R>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

fn keep<R>(count: usize, buffer: &[u8], pipe: &mut Option<R>, output: &mut Vec<u8>) {
    if count == 0 {
        *pipe = None;
    }
    let room = MAX_OUTPUT - output.len();
    output.extend(&buffer[..count.min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn status_and_output_come_back() {
        let done = run("echo out; echo err >&2; exit 3", LONG).await.unwrap();
        assert!(matches!(done.end, CommandEnd::Exit(status) if status.code() == Some(3)), "{done:?}");
        let mut lines: Vec<&str> = done.output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out"]);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_its_children() {
        let done = run("echo begun; sleep 1000 & sleep 1000", Duration::from_millis(200)).await.unwrap();
        assert!(matches!(done.end, CommandEnd::Timeout), "{done:?}");
        assert_eq!(done.output, "begun");
    }

    #[tokio::test]
    async fn what_goes_on_in_the_background_is_not_waited_for_and_much_output_is_cut() {
        let done = run("sleep 5 & head -c 100000 /dev/zero | tr '\\0' x", LONG).await.unwrap();
        assert!(matches!(done.end, CommandEnd::Exit(status) if status.success()), "{done:?}");
        assert_eq!(done.output.len(), MAX_OUTPUT);
    }
}
