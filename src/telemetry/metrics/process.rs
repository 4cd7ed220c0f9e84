//! Facts about the process itself.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of this call in seconds since the epoch. Metrics are made at the start of the process, which saves
/// reading a different file on every operating system.
pub(super) fn start_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Resident memory in bytes; none where the system does not tell.
pub(super) fn resident_memory() -> Option<u64> {
    if cfg!(any(target_os = "illumos", target_os = "solaris")) {
        psinfo_resident(&std::fs::read("/proc/self/psinfo").ok()?)
    } else if cfg!(target_os = "linux") {
        let pages = statm_resident(&std::fs::read_to_string("/proc/self/statm").ok()?)?;
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    } else {
        None
    }
}

/// The second number of Linux' `statm`: resident pages.
fn statm_resident(text: &str) -> Option<u64> {
    text.split(' ').nth(1)?.parse().ok()
}

/// `pr_rssize` of illumos' 64-bit `psinfo_t` (sys/procfs.h), in KiB at offset 56: ten 32-bit members, `pr_addr` and
/// `pr_size` come before it.
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
