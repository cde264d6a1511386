//! The one file of system calls that no crate wraps safely.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

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

/// Asks the kernel to let the calling thread run sooner, for this long at a time: its share stays what it
/// was. Linux 6.12 and later do (sched(7), EEVDF), earlier ones ignore it. Not for real-time threads, which
/// whoever made them such has placed.
pub fn set_time_slice(slice: Duration) -> io::Result<()> {
    let len = size_of::<libc::sched_attr>() as libc::c_uint;
    let (this_thread, no_flags): (libc::pid_t, libc::c_uint) = (0, 0);
    // SAFETY: a structure of integers, for which zeros are values; the kernel writes at most `len` bytes
    // of it, which lives until the call returns.
    let (mut attr, result) = unsafe {
        let mut attr: libc::sched_attr = std::mem::zeroed();
        let to = &raw mut attr;
        let result = libc::syscall(libc::SYS_sched_getattr, this_thread, to, len, no_flags);
        (attr, result)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attr.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: the kernel reads the structure, whose size it says itself, and which lives until the call
    // returns.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attr, no_flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
