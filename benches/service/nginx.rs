// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! nginx, as it is set up to send files fast.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::child::{Peer, free_address};

/// Where Debian has it, which is not on everybody's path.
const PROGRAM: &str = "/usr/sbin/nginx";
const START_DEADLINE: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(10);

/// A running nginx with a configuration of its own.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _process: Peer,
    // Removed after the process has ended.
    _prefix: TempDir,
}

impl Nginx {
    /// Serves the files in `root`.
    pub(crate) fn start(root: &Path) -> Result<Nginx, Failure> {
        let prefix = TempDir::with_prefix("nginx-")?;
        let address = free_address()?;
        let config = prefix.path().join("nginx.conf");
        fs::write(&config, configuration(prefix.path(), root, address))?;
        let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "nginx" };
        let mut process = Peer::spawn(
            Command::new(program)
                .arg("-p")
                .arg(prefix.path())
                .arg("-e")
                .arg(prefix.path().join("error.log"))
                .arg("-c")
                .arg(&config)
                .stdin(Stdio::null()),
        )?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if process.0.try_wait()?.is_some() || start.elapsed() > START_DEADLINE {
                let log = fs::read_to_string(prefix.path().join("error.log")).unwrap_or_default();
                return Err(format!("nginx does not answer: {log}").into());
            }
            std::thread::sleep(START_POLL);
        }
        Ok(Nginx { address, _process: process, _prefix: prefix })
    }
}

fn configuration(prefix: &Path, root: &Path, address: SocketAddr) -> String {
    // Workers of a master that runs as root become another user, who cannot read the files.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (prefix, root) = (prefix.display(), root.display());
    format!(
        "daemon off;\n{user}\nworker_processes auto;\npid {prefix}/pid;\nevents {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n\
         \x20 client_body_temp_path {prefix}/body;\n  proxy_temp_path {prefix}/proxy;\n\
         \x20 fastcgi_temp_path {prefix}/fastcgi;\n  uwsgi_temp_path {prefix}/uwsgi;\n\
         \x20 scgi_temp_path {prefix}/scgi;\n\
         \x20 server {{ listen {address}; root {root}; }}\n}}\n"
    )
}
