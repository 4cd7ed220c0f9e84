// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::thread::available_parallelism;

/// SmartOS's command that prints the limits of a zone.
const PRCTL: &str = "/usr/bin/prctl";

/// Returns how many processors this program may use, at least 1, to choose numbers of threads. The system is asked only once.
///
/// On Linux the number includes the limits of a container. On SmartOS it is the number of the server's processors, and
/// the zone's `cpu_cap` is a separate limit.
pub fn processors() -> usize {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| {
        let all = available_parallelism().map_or(1, NonZeroUsize::get);
        within(all, if cfg!(target_os = "illumos") { cpu_cap(Path::new(PRCTL)) } else { None })
    });
    *PROCESSORS
}

/// Returns `all`, or the number of processors that a cap, in percent of one processor, can keep busy.
fn within(all: usize, cap: Option<u64>) -> usize {
    let capped = cap.map_or(usize::MAX, |cap| usize::try_from(cap.div_ceil(100)).unwrap_or(usize::MAX));
    all.min(capped).max(1)
}

/// Returns the cap of this process's zone, in percent of one processor; `None` if there is none.
fn cpu_cap(prctl: &Path) -> Option<u64> {
    // `prctl` briefly stops the process whose limits it reads. That is neither this process nor `prctl` itself, but the shell.
    let ask = "\"$0\" -P -n zone.cpu-cap $$; exit $?";
    let answer = Command::new("/bin/sh").args(["-c", ask]).arg(prctl).output().ok()?;
    if answer.status.success() { read_cap(&String::from_utf8_lossy(&answer.stdout)) } else { None }
}

/// Returns the lowest value set by an administrator in the output of `prctl -P`: `zone.cpu-cap privileged 400 - deny
/// -`. The `system` line contains the highest possible value, and the `usage` line the current usage.
fn read_cap(text: &str) -> Option<u64> {
    let caps = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_cap = words.next()?.trim_end_matches(':') == "zone.cpu-cap" && words.next()? == "privileged";
        if is_cap { words.next()?.parse().ok() } else { None }
    });
    caps.min()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CAPPED: &str = "process: 4711: sh -c prctl\nzone.cpu-cap usage 12 - - -\nzone.cpu-cap privileged 350 - deny -\n\
        zone.cpu-cap system 4294967295 inf deny -\n";

    #[test]
    fn the_lowest_cap_that_was_set_counts() {
        assert_eq!(read_cap(CAPPED), Some(350));
        assert_eq!(read_cap(&format!("{CAPPED}zone.cpu-cap privileged 100 - deny -\n")), Some(100));
        let uncapped =
            CAPPED.lines().filter(|line| !line.contains("privileged")).collect::<Vec<_>>().join("\n");
        assert_eq!(read_cap(&uncapped), None);
        assert_eq!(read_cap("zone.cpu-cap privileged\nzone.cpu-shares privileged 1 - none -\n"), None);
    }

    #[test]
    fn a_cap_is_a_number_of_processors() {
        for (all, cap, processors) in [
            (64, None, 64),
            (64, Some(400), 4),
            (64, Some(350), 4),
            (2, Some(400), 2),
            (64, Some(10), 1),
            (64, Some(0), 1),
        ] {
            assert_eq!(within(all, cap), processors, "{cap:?} of {all}");
        }
        assert!(processors() >= 1);
    }

    #[test]
    fn the_command_of_the_system_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let prctl = directory.path().join("prctl");
        let answer = |script: &str| {
            fs::write(&prctl, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&prctl, fs::Permissions::from_mode(0o755)).unwrap();
            cpu_cap(&prctl)
        };
        // The process that is asked about must be alive, and not this one.
        let asked = format!(
            "[ \"$1 $2 $3\" = '-P -n zone.cpu-cap' ] && kill -0 \"$4\" && [ \"$4\" = \"$PPID\" ] && printf '{CAPPED}'"
        );
        assert_eq!(answer(&asked), Some(350));
        assert_eq!(answer(&format!("printf '{CAPPED}'; exit 1")), None);
        fs::remove_file(&prctl).unwrap();
        assert_eq!(cpu_cap(&prctl), None);
    }
}
