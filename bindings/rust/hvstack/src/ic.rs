// SPDX-License-Identifier: MIT
use crate::bus::{Bus, BusCore};
use crate::callback::{self, guard, removed, sized};
use crate::error::check;
use crate::wake::clock;
use crate::{Error, Result};
use hvstack_sys as sys;
use std::ffi::CString;
use std::fmt;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

/// Which integration service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// Is the guest alive?
    Heartbeat,
    /// Pairs of strings that host and guest tell each other.
    Kvp,
    /// Asks the guest to shut down.
    Shutdown,
    /// Sets the guest's clock by the host's.
    TimeSync,
    /// Freezes the guest's file systems for a backup.
    Vss,
    /// Writes files in the guest.
    FileCopy,
}

impl ServiceKind {
    pub(crate) fn to_c(self) -> sys::hvs_ic_kind {
        match self {
            ServiceKind::Heartbeat => sys::HVS_IC_HEARTBEAT,
            ServiceKind::Kvp => sys::HVS_IC_KVP,
            ServiceKind::Shutdown => sys::HVS_IC_SHUTDOWN,
            ServiceKind::TimeSync => sys::HVS_IC_TIMESYNC,
            ServiceKind::Vss => sys::HVS_IC_VSS,
            ServiceKind::FileCopy => sys::HVS_IC_FILECOPY,
        }
    }
}

/// Something has happened to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// [`Service::status()`] has changed.
    Status,
    /// The guest has missed a heartbeat.
    BeatMissed,
    /// The library has thawed the guest, as the time was over.
    ThawedLate,
    /// A thaw failed: the guest's file systems may still be frozen.
    MayBeFrozen,
    /// Of a newer library.
    Other(u32),
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// The guest's driver is there.
    pub open: bool,
    /// And has agreed upon versions: requests are taken.
    pub ready: bool,
    /// (major << 16) | minor; 0: not agreed.
    pub version: u32,
    /// Requests that the guest was sent.
    pub requests: u64,
    /// Those it answered with an error.
    pub failures: u64,
    /// Those it did not answer in time.
    pub timeouts: u64,
}

/// Why a request to the guest failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// [`Error::Remote`] (the guest says so), [`Error::TimedOut`], [`Error::NotConnected`],
    /// [`Error::Protocol`], [`Error::Cancelled`].
    pub error: Error,
    /// The guest's HRESULT, with [`Error::Remote`].
    pub guest_status: u32,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Error::Remote => write!(f, "the guest answered 0x{:08x}", self.guest_status),
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

/// How a request ended.
pub type RequestResult = std::result::Result<(), RequestError>;

/// What to ask of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownAction {
    /// Power off.
    PowerOff,
    /// Start again.
    Restart,
    /// Hibernate.
    Hibernate,
}

/// Which pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvpPool {
    /// What the host's administrator tells the guest.
    External,
    /// What programs in the guest tell the host.
    Guest,
    /// What the guest's system says about itself.
    Auto,
    /// Facts about the host, for the guest.
    AutoExternal,
}

impl KvpPool {
    fn to_c(self) -> sys::hvs_kvp_pool {
        match self {
            KvpPool::External => sys::HVS_KVP_EXTERNAL,
            KvpPool::Guest => sys::HVS_KVP_GUEST,
            KvpPool::Auto => sys::HVS_KVP_AUTO,
            KvpPool::AutoExternal => sys::HVS_KVP_AUTO_EXTERNAL,
        }
    }
}

type Observer = Box<dyn Fn(ServiceEvent) + Send>;

unsafe extern "C" fn event(arg: *mut c_void, _ic: *mut sys::hvs_ic, event: sys::hvs_ic_event) {
    // SAFETY: kept until the service is gone; on one thread at a time.
    let observer = unsafe { &*arg.cast::<Observer>() };
    let event = match event {
        sys::HVS_IC_EVENT_STATUS => ServiceEvent::Status,
        sys::HVS_IC_EVENT_BEAT_MISSED => ServiceEvent::BeatMissed,
        sys::HVS_IC_EVENT_THAWED_LATE => ServiceEvent::ThawedLate,
        sys::HVS_IC_EVENT_MAY_BE_FROZEN => ServiceEvent::MayBeFrozen,
        other => ServiceEvent::Other(other),
    };
    guard(|| observer(event));
}

/// From 1601 to 1970, in units of 100 ns.
const EPOCH: u64 = 116_444_736_000_000_000;

unsafe extern "C" fn sample_time(
    _arg: *mut c_void,
    host_time: *mut u64,
    _reference: *mut u64,
) -> c_int {
    // SAFETY: a place for it.
    unsafe { *host_time = clock(libc::CLOCK_REALTIME) / 100 + EPOCH };
    0
}

type Item = Box<dyn FnMut(&str, &str) + Send>;

/// What waits for the end of a request.
struct Request {
    item: Item,
    done: Box<dyn FnOnce(RequestResult) + Send>,
}

unsafe extern "C" fn request_item(arg: *mut c_void, key: *const c_char, value: *const c_char) {
    // SAFETY: of send(), before request_done().
    let request = unsafe { &mut *arg.cast::<Request>() };
    // SAFETY: strings of the library's, valid during the call.
    let (key, value) = unsafe { (crate::bus::text(key), crate::bus::text(value)) };
    guard(|| (request.item)(key, value));
}

unsafe extern "C" fn request_done(arg: *mut c_void, status: c_int, guest_status: u32) {
    // SAFETY: of send(); once.
    let request = unsafe { Box::from_raw(arg.cast::<Request>()) };
    let result = check(status).map(drop).map_err(|error| RequestError { error, guest_status });
    guard(|| (request.done)(result));
}

fn send(request: Request, call: impl FnOnce(*mut c_void) -> c_int) -> Result<()> {
    let raw = Box::into_raw(Box::new(request));
    check(call(raw.cast())).map(drop).map_err(|err| {
        // SAFETY: it was not taken.
        drop(unsafe { Box::from_raw(raw) });
        err
    })
}

fn only(done: impl FnOnce(RequestResult) + Send + 'static) -> Request {
    Request { item: Box::new(|_, _| ()), done: Box::new(done) }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Invalid)
}

/// One integration service. It is taken away from the guest when this is dropped.
///
/// Requests only queue something; if they return `Ok`, their closure runs exactly once, from a
/// later dispatch of the bus. A `timeout_ms` of 0 is the library's.
pub struct Service {
    bus: Rc<BusCore>,
    raw: *mut sys::hvs_ic,
    key: u64,
}

impl Service {
    /// Offers a service, one of each kind. `observer` is told of events, during dispatches.
    ///
    /// [`Error::Exists`] (there is one), [`Error::NoSpace`] (too many devices), [`Error::NoMemory`].
    pub fn new(
        bus: &Bus,
        kind: ServiceKind,
        observer: impl Fn(ServiceEvent) + Send + 'static,
    ) -> Result<Self> {
        let mut c = sized!(sys::hvs_ic_config);
        c.kind = kind.to_c();
        let mut ops = sized!(sys::hvs_ic_ops);
        ops.event = Some(event);
        if kind == ServiceKind::TimeSync {
            ops.sample_time = Some(sample_time);
        }
        let observer: Box<Observer> = Box::new(Box::new(observer));
        let arg = &*observer as *const Observer as *mut c_void;
        let keep = &bus.0.shared.keep;
        let key = keep.insert(observer);
        let mut raw = null_mut();
        // SAFETY: valid pointers, on the bus's thread; `keep` has the observer.
        if let Err(err) = check(unsafe { sys::hvs_ic_create(bus.0.raw(), &c, &ops, arg, &mut raw) })
        {
            drop(keep.remove(key));
            return Err(err);
        }
        Ok(Service { bus: bus.0.clone(), raw, key })
    }

    /// How it is.
    pub fn status(&self) -> Result<ServiceStatus> {
        let mut c = sized!(sys::hvs_ic_status);
        // SAFETY: it is there, on the bus's thread.
        check(unsafe { sys::hvs_ic_get_status(self.raw, &mut c) })?;
        Ok(ServiceStatus {
            open: c.open,
            ready: c.ready,
            version: c.service_version,
            requests: c.requests,
            failures: c.failures,
            timeouts: c.timeouts,
        })
    }

    /// Asks the guest to shut down. `done` with `Ok` says that it will.
    ///
    /// [`Error::Invalid`] (another kind, the reason), [`Error::NotSupported`] (in the agreed
    /// version), [`Error::NotConnected`] (not ready), `EALREADY`, [`Error::NoMemory`].
    pub fn shutdown(
        &self,
        action: ShutdownAction,
        force: bool,
        reason: &str,
        done: impl FnOnce(RequestResult) + Send + 'static,
    ) -> Result<()> {
        let reason = c_string(reason)?;
        let mut c = sized!(sys::hvs_shutdown_request);
        c.action = match action {
            ShutdownAction::PowerOff => sys::HVS_SHUTDOWN_POWER_OFF,
            ShutdownAction::Restart => sys::HVS_SHUTDOWN_RESTART,
            ShutdownAction::Hibernate => sys::HVS_SHUTDOWN_HIBERNATE,
        };
        c.force = force;
        c.reason = reason.as_ptr();
        // SAFETY: it is there, on the bus's thread.
        send(only(done), |arg| unsafe { sys::hvs_shutdown(self.raw, &c, Some(request_done), arg) })
    }

    /// Heartbeats that the guest has answered, and missed. [`Error::Invalid`]: another kind.
    pub fn heartbeats(&self) -> Result<(u64, u64)> {
        let mut c = sized!(sys::hvs_heartbeat_info);
        // SAFETY: as above.
        check(unsafe { sys::hvs_heartbeat_get_info(self.raw, &mut c) })?;
        Ok((c.beats, c.missed))
    }

    /// Has the guest set its clock now: after a pause, or when the host's clock was set.
    ///
    /// [`Error::Invalid`] (another kind), [`Error::NotConnected`] (it is told when it is ready),
    /// [`Error::NoSpace`], [`Error::NoMemory`].
    pub fn sync_time(&self, done: impl FnOnce(RequestResult) + Send + 'static) -> Result<()> {
        // SAFETY: as above.
        send(only(done), |arg| unsafe {
            sys::hvs_timesync_sync(self.raw, 0, Some(request_done), arg)
        })
    }

    /// Sets or replaces a pair.
    ///
    /// [`Error::Invalid`] (another kind; an empty key; a text too long, or with a NUL),
    /// [`Error::NotConnected`] (not ready), [`Error::NoSpace`], [`Error::NoMemory`].
    pub fn kvp_set(
        &self,
        pool: KvpPool,
        key: &str,
        value: &str,
        timeout_ms: u32,
        done: impl FnOnce(RequestResult) + Send + 'static,
    ) -> Result<()> {
        let (key, value) = (c_string(key)?, c_string(value)?);
        // SAFETY: as above.
        send(only(done), |arg| unsafe {
            sys::hvs_kvp_set(
                self.raw,
                pool.to_c(),
                key.as_ptr(),
                value.as_ptr(),
                timeout_ms,
                Some(request_done),
                arg,
            )
        })
    }

    /// Removes a pair. As [`Service::kvp_set()`].
    pub fn kvp_delete(
        &self,
        pool: KvpPool,
        key: &str,
        timeout_ms: u32,
        done: impl FnOnce(RequestResult) + Send + 'static,
    ) -> Result<()> {
        let key = c_string(key)?;
        // SAFETY: as above.
        send(only(done), |arg| unsafe {
            let done = Some(request_done as unsafe extern "C" fn(_, _, _));
            sys::hvs_kvp_delete(self.raw, pool.to_c(), key.as_ptr(), timeout_ms, done, arg)
        })
    }

    /// All pairs of a pool: `item` is called for each, then `done`. As [`Service::kvp_set()`].
    pub fn kvp_enumerate(
        &self,
        pool: KvpPool,
        timeout_ms: u32,
        item: impl FnMut(&str, &str) + Send + 'static,
        done: impl FnOnce(RequestResult) + Send + 'static,
    ) -> Result<()> {
        let request = Request { item: Box::new(item), done: Box::new(done) };
        // SAFETY: as above.
        send(request, |arg| unsafe {
            let item = Some(request_item as unsafe extern "C" fn(_, _, _));
            let done = Some(request_done as unsafe extern "C" fn(_, _, _));
            sys::hvs_kvp_enumerate(self.raw, pool.to_c(), timeout_ms, item, done, arg)
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It fails for no service only.
        let _ = callback::remove(&self.bus.shared.keep, vec![self.key], None, |arg| {
            // SAFETY: once, on the bus's thread.
            unsafe { sys::hvs_ic_destroy(self.raw, Some(removed), arg) }
        });
    }
}
