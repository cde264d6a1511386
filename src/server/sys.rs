//! The one file of system calls that no crate wraps safely.
#![allow(unsafe_code)]

/// Blocks from this size on are given back to the kernel when they are freed, bytes. Large bodies
/// and the memory of a password hash would otherwise stay with each thread that held them once:
/// the allocator raises this size by itself, up to 32 MiB, until it is set. The vectors of a batch
/// stay below it.
const MAP_BYTES_MIN: libc::c_int = 256 << 10;
/// Free memory at the end of a heap that a thread keeps for the next burst, bytes.
const KEEP_BYTES_MAX: libc::c_int = 4 << 20;

/// Lets the process give memory back after a burst. Only glibc needs to be told.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes two numbers of the allocator under its own lock, and is called
    // before any other thread exists. It cannot fail for these parameters; if it did, the
    // allocator would go on as before.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES_MAX);
    }
}
