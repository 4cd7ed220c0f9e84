// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs::read_to_string;
use std::process::Command;

use coal::Datacenter;

/// Returns the resident memory of `imgapi`, in bytes.
pub(crate) fn resident_bytes(datacenter: &Datacenter) -> u64 {
    let pid = datacenter.imgapi_pid().unwrap().to_string();
    let kibibytes = if cfg!(target_os = "linux") {
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().to_owned()
    } else {
        let said = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    kibibytes.parse::<u64>().unwrap() << 10
}
