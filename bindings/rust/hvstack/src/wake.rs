// SPDX-License-Identifier: MIT
//! How a sleeping worker is woken: an event file descriptor, and the clock of its deadlines.

use crate::{error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::io::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

pub(crate) struct Wake(File);

impl Wake {
    pub fn new() -> Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(error::last());
        }
        // SAFETY: it was just opened.
        Ok(Wake(unsafe { File::from_raw_fd(fd) }))
    }

    pub fn set(&self) {
        // A counter that is full wakes, too.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    pub fn clear(&self) {
        // Nothing to read: nobody has woken us.
        let _ = (&self.0).read(&mut [0; 8]);
    }

    /// Waits until it is set, or so long.
    pub fn wait(&self, timeout: Option<Duration>) {
        let mut fd = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        let ms = timeout.map_or(-1, |t| {
            i32::try_from(t.as_nanos().saturating_add(999_999) / 1_000_000).unwrap_or(i32::MAX)
        });
        // SAFETY: one descriptor. A signal that ends it early does no harm.
        unsafe { libc::poll(&mut fd, 1, ms) };
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

pub(crate) fn clock(which: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid pointer, and clocks that every Linux has.
    unsafe { libc::clock_gettime(which, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
