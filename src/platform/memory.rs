// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The memory of the process.

/// The number of arenas of the GNU C library. By default it makes one for each thread, up to eight times the number of
/// processors, and each keeps the memory of its largest request: twelve bodies of 1.2 MiB, one after the other on
/// several threads, left 420 MiB behind, but only 140 MiB with two arenas.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Lets threads share arenas. Must be called at the start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share_memory() {
    // SAFETY: the function takes two numbers, locks what it changes, and does not touch memory of this program.
    let is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    if is_set == 0 {
        tracing::warn!("threads do not share their memory");
    }
}

/// Does nothing: the allocators of other systems are configured by their administrators.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_memory() {}

/// Returns the resident memory in bytes; `None` if the system does not report it.
pub fn resident_memory() -> Option<u64> {
    if cfg!(any(target_os = "illumos", target_os = "solaris")) {
        psinfo_resident(&std::fs::read("/proc/self/psinfo").ok()?)
    } else if cfg!(target_os = "linux") {
        let pages = statm_resident(&std::fs::read_to_string("/proc/self/statm").ok()?)?;
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    } else {
        None
    }
}

/// Returns the second number in Linux's `statm`: resident pages.
fn statm_resident(text: &str) -> Option<u64> {
    text.split(' ').nth(1)?.parse().ok()
}

/// Returns `pr_rssize` of illumos's 64-bit `psinfo_t` (sys/procfs.h): KiB, at offset 56, after ten 32-bit members,
/// `pr_addr` and `pr_size`.
fn psinfo_resident(psinfo: &[u8]) -> Option<u64> {
    let kib = u64::from_ne_bytes(psinfo.get(56..64)?.try_into().ok()?);
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_resident_memory_are_read() {
        assert_eq!(statm_resident("3000 412 300 1 0 90 0\n"), Some(412));
        assert_eq!(statm_resident(""), None);
        let mut psinfo = vec![0; 400];
        psinfo[56..64].copy_from_slice(&7u64.to_ne_bytes());
        assert_eq!(psinfo_resident(&psinfo), Some(7168));
        assert_eq!(psinfo_resident(&psinfo[..60]), None);
    }
}
