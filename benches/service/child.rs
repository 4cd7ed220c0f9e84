// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Peers that are processes of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a peer may take to end after SIGTERM.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const STOP_POLL: Duration = Duration::from_millis(10);

/// A started peer. Dropping it ends the process and waits for that.
#[derive(Debug)]
pub(crate) struct Peer(pub(crate) Child);

impl Peer {
    /// Starts a peer.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Peer> {
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display()))
        });
        Ok(Peer(child?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM first: nginx ends its workers then, which it cannot do after SIGKILL.
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while start.elapsed() < STOP_DEADLINE {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(STOP_POLL),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on. The system hands a released port out again only late.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
