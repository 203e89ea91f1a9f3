// SPDX-License-Identifier: MIT
//! For Linux: KVM, disks in files, networks, all services at once, management. These run in libevent
//! loops.

mod disk;
mod kvm;
mod manage;
mod net;

pub use disk::{FileDisk, FileDiskConfig};
pub use kvm::{Kvm, KvmConfig, KvmSynic, Vcpu};
pub use manage::{CallError, Manager, ManagerConfig, Role, Services, ServicesConfig};
pub use net::{Tap, UserNet, UserNetConfig};

use crate::{Error, Result};
use hvstack_sys as sys;
use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_short, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, NonNull};
use std::sync::Arc;

/// Why something could not be opened, in words, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// What failed.
    pub error: Error,
    /// What is wrong; may be empty.
    pub why: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.why.is_empty() {
            self.error.fmt(f)
        } else {
            write!(f, "{} ({})", self.why, self.error)
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        OpenError { error, why: String::new() }
    }
}

/// Room for a sentence of the library's.
struct Why([u8; 256]);

impl Why {
    fn new() -> Self {
        Why([0; 256])
    }

    fn error(&self, error: Error) -> OpenError {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        OpenError { error, why: String::from_utf8_lossy(&self.0[..end]).into_owned() }
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Invalid)
}

pub(crate) struct Base(NonNull<sys::event_base>);

// SAFETY: libevent's locks are on; one thread runs it.
unsafe impl Send for Base {}
unsafe impl Sync for Base {}

impl Drop for Base {
    fn drop(&mut self) {
        // SAFETY: what uses it has kept it until now.
        unsafe { sys::event_base_free(self.0.as_ptr()) };
    }
}

pub(crate) type BaseRef = Arc<Base>;

/// A libevent loop. It stays on one thread, with the bus whose devices it runs.
pub struct EventLoop {
    base: BaseRef,
    _on_this_thread: PhantomData<*mut ()>,
}

impl EventLoop {
    /// [`Error::NoMemory`].
    pub fn new() -> Result<Self> {
        // SAFETY: no arguments; turning locks on again does nothing.
        let raw = unsafe {
            if sys::evthread_use_pthreads() < 0 {
                return Err(Error::NoMemory);
            }
            sys::event_base_new()
        };
        let base = Arc::new(Base(NonNull::new(raw).ok_or(Error::NoMemory)?));
        Ok(EventLoop { base, _on_this_thread: PhantomData })
    }

    fn raw(&self) -> *mut sys::event_base {
        self.base.0.as_ptr()
    }

    fn run_with(&self, flags: u32) -> Result<()> {
        // SAFETY: on its thread. From a callback it fails.
        match unsafe { sys::event_base_loop(self.raw(), flags as _) } {
            -1 => Err(Error::Io),
            _ => Ok(()),
        }
    }

    /// Runs until [`Stopper::stop()`]. [`Error::Io`]: from a callback.
    pub fn run(&self) -> Result<()> {
        self.run_with(sys::EVLOOP_NO_EXIT_ON_EMPTY)
    }

    /// Runs what can run now. [`Error::Io`]: from a callback.
    pub fn run_pending(&self) -> Result<()> {
        self.run_with(sys::EVLOOP_NONBLOCK)
    }

    /// For other threads.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.base.clone())
    }
}

unsafe extern "C" fn stop(_fd: c_int, _events: c_short, base: *mut c_void) {
    // SAFETY: called by its loop.
    unsafe { sys::event_base_loopbreak(base.cast()) };
}

/// Ends [`EventLoop::run()`], from any thread.
#[derive(Clone)]
pub struct Stopper(BaseRef);

impl Stopper {
    /// Soon; if it does not run now, as soon as it does. [`Error::NoMemory`].
    pub fn stop(&self) -> Result<()> {
        let base = self.0 .0.as_ptr();
        let timeout = sys::EV_TIMEOUT as c_short;
        // SAFETY: libevent's locks are on; the event goes with the base if it never runs. Without
        // it, a loop that is about to run would not hear of it.
        match unsafe { sys::event_base_once(base, -1, timeout, Some(stop), base.cast(), null()) } {
            0 => Ok(()),
            _ => Err(Error::NoMemory),
        }
    }
}
