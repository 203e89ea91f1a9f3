// SPDX-License-Identifier: MIT
use std::os::raw::c_int;
use std::{fmt, io};

/// Why a call failed. The headers say for each function what its errors mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of range, or things do not fit together (`EINVAL`).
    Invalid,
    /// Not in this library, kernel or protocol version (`ENOTSUP`).
    NotSupported,
    /// There is one already (`EEXIST`).
    Exists,
    /// No memory (`ENOMEM`).
    NoMemory,
    /// In use, started already, or on its way out (`EBUSY`).
    Busy,
    /// No room for more (`ENOSPC`).
    NoSpace,
    /// There is none (`ENOENT`).
    NotFound,
    /// The guest is not there, or has gone (`ENOTCONN`).
    NotConnected,
    /// The other side did not answer in time (`ETIMEDOUT`).
    TimedOut,
    /// What was said makes no sense (`EPROTO`).
    Protocol,
    /// No room now; there will be (`EAGAIN`).
    WouldBlock,
    /// Larger than can ever fit (`EMSGSIZE`).
    TooLarge,
    /// Beyond the end (`ERANGE`).
    OutOfRange,
    /// Not memory of the guest, or not writable (`EFAULT`).
    Fault,
    /// Closed, or closing (`ESHUTDOWN`).
    Shutdown,
    /// Withdrawn (`ECANCELED`).
    Cancelled,
    /// The other side has refused or failed (`EREMOTEIO`).
    Remote,
    /// An I/O error; also what becomes of a callback that panics (`EIO`).
    Io,
    /// Any other errno value.
    Os(i32),
}

/// What fails with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

const NAMES: [(Error, i32, &str); 18] = [
    (Error::Invalid, libc::EINVAL, "invalid argument"),
    (Error::NotSupported, libc::ENOTSUP, "not supported"),
    (Error::Exists, libc::EEXIST, "exists already"),
    (Error::NoMemory, libc::ENOMEM, "out of memory"),
    (Error::Busy, libc::EBUSY, "busy"),
    (Error::NoSpace, libc::ENOSPC, "no room for more"),
    (Error::NotFound, libc::ENOENT, "not found"),
    (Error::NotConnected, libc::ENOTCONN, "the guest is not connected"),
    (Error::TimedOut, libc::ETIMEDOUT, "no answer in time"),
    (Error::Protocol, libc::EPROTO, "protocol error"),
    (Error::WouldBlock, libc::EAGAIN, "no room now"),
    (Error::TooLarge, libc::EMSGSIZE, "too large"),
    (Error::OutOfRange, libc::ERANGE, "out of range"),
    (Error::Fault, libc::EFAULT, "not memory of the guest"),
    (Error::Shutdown, libc::ESHUTDOWN, "closed"),
    (Error::Cancelled, libc::ECANCELED, "cancelled"),
    (Error::Remote, libc::EREMOTEIO, "the other side has failed"),
    (Error::Io, libc::EIO, "input/output error"),
];

impl Error {
    /// From an errno value, of either sign.
    pub fn from_errno(errno: i32) -> Self {
        let errno = errno.saturating_abs();
        NAMES.iter().find(|n| n.1 == errno).map_or(Error::Os(errno), |n| n.0)
    }

    /// The errno value, positive.
    pub fn errno(self) -> i32 {
        match self {
            Error::Os(errno) => errno,
            _ => NAMES.iter().find(|n| n.0 == self).map_or(libc::EIO, |n| n.1),
        }
    }

    /// What a callback returns to C.
    pub(crate) fn to_c(self) -> c_int {
        match self.errno() {
            errno if errno > 0 => -errno,
            _ => -libc::EIO,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Os(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
            _ => f.write_str(NAMES.iter().find(|n| n.0 == *self).map_or("error", |n| n.2)),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(err: io::Error) -> Self {
        err.raw_os_error().map_or(Error::Io, Error::from_errno)
    }
}

impl From<Error> for io::Error {
    fn from(err: Error) -> Self {
        io::Error::from_raw_os_error(err.errno())
    }
}

/// What a C function has returned.
pub(crate) fn check(result: c_int) -> Result<c_int> {
    if result < 0 {
        Err(Error::from_errno(result))
    } else {
        Ok(result)
    }
}

/// What a callback returns to C.
pub(crate) fn status(result: Result<()>) -> c_int {
    result.map_or_else(Error::to_c, |()| 0)
}

/// The errno of the last system call.
pub(crate) fn last() -> Error {
    io::Error::last_os_error().into()
}
