//! The one file of system calls that no crate wraps safely.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

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

/// Gives back to the kernel what is free within the heaps of all threads.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes the kernel leave out the time at which each datagram came. quinn-udp 0.6 asks for it, and
/// then its room for what goes with a datagram does not suffice for the ECN mark, which is cut off.
pub fn drop_receive_times(socket: &impl AsFd) -> io::Result<()> {
    let off: libc::c_int = 0;
    let len = size_of_val(&off) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel reads `len`
    // bytes of `off`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const off).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
