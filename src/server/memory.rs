//! Memory of large requests, given back when they are over.

/// The parts that the GNU C library divides memory into. By itself it makes one for each thread, up to eight times the number of
/// processors, and each keeps what its largest request took: twelve bodies of 1.2 MiB, one after the other on several threads, left
/// 420 MiB behind, and 140 with two parts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Lets threads share their memory. To be called at the start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn share() {
    // SAFETY: the function takes two numbers and locks what it changes; no memory of ours is concerned.
    let is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    if is_set == 0 {
        tracing::warn!("threads do not share their memory");
    }
}

/// Other systems' allocators are as their administrators have chosen them.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn share() {}
