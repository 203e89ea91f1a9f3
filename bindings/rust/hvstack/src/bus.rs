// SPDX-License-Identifier: MIT
use crate::callback::{self, guard, guard_status, lock, removed, sized, Keep};
use crate::error::check;
use crate::memory::Memory;
use crate::wake::{now_ns, Wake};
use crate::{Error, Result};
use hvstack_sys as sys;
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::io::{AsRawFd, RawFd};
#[cfg(any(feature = "host", feature = "guest"))]
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How bad a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What an administrator may want to know.
    Info,
    /// What a developer may want to know.
    Debug,
}

impl LogLevel {
    fn from_c(level: sys::hvs_log_level) -> Self {
        match level {
            sys::HVS_LOG_ERROR => LogLevel::Error,
            sys::HVS_LOG_WARN => LogLevel::Warn,
            sys::HVS_LOG_INFO => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }

    pub(crate) fn to_c(self) -> sys::hvs_log_level {
        match self {
            LogLevel::Error => sys::HVS_LOG_ERROR,
            LogLevel::Warn => sys::HVS_LOG_WARN,
            LogLevel::Info => sys::HVS_LOG_INFO,
            LogLevel::Debug => sys::HVS_LOG_DEBUG,
        }
    }
}

/// One log record.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// How bad it is.
    pub level: LogLevel,
    /// Which part of the library speaks.
    pub module: &'a str,
    /// 0: not about a channel.
    pub channel: u32,
    /// One line.
    pub text: &'a str,
}

/// The guest broke the protocol. The library has contained it: this is for people.
#[derive(Clone, Copy, Debug)]
pub struct GuestFault<'a> {
    /// 0: the control connection.
    pub channel: u32,
    /// Stable number: `enum hvs_fault_code`.
    pub code: u32,
    /// Which rule.
    pub place: &'a str,
}

/// Where log records go. At most 50 calls a second, from any thread; must not block.
pub type LogFn = Box<dyn Fn(&LogRecord<'_>) + Send + Sync>;
/// Who is told that a guest broke the protocol. As [`LogFn`].
pub type FaultFn = Box<dyn Fn(&GuestFault<'_>) + Send + Sync>;

pub(crate) unsafe fn text<'a>(s: *const c_char) -> &'a str {
    if s.is_null() {
        return "";
    }
    // SAFETY: a string of the library's, valid during the call.
    unsafe { CStr::from_ptr(s) }.to_str().unwrap_or("")
}

pub(crate) unsafe fn log_to(log: &Option<LogFn>, record: *const sys::hvs_log_record) {
    // SAFETY: valid during the callback.
    let r = unsafe { &*record };
    if let Some(log) = log {
        // SAFETY: as above.
        let (module, text) = unsafe { (text(r.module), text(r.text)) };
        let level = LogLevel::from_c(r.level);
        guard(|| log(&LogRecord { level, module, channel: r.channel_id, text }));
    }
}

pub(crate) unsafe fn fault_to(to: &Option<FaultFn>, fault: *const sys::hvs_guest_fault) {
    // SAFETY: valid during the callback.
    let f = unsafe { &*fault };
    if let Some(to) = to {
        // SAFETY: a static string.
        let place = unsafe { text(f.r#where) };
        guard(|| to(&GuestFault { channel: f.channel_id, code: f.code, place }));
    }
}

/// What a bus is like. All 0: the library's defaults.
#[derive(Default)]
pub struct BusConfig {
    /// Virtual processors; 0: 1.
    pub vp_count: u32,
    /// Newest VMBus version the guest may choose, (major << 16) | minor.
    pub max_version: u32,
    /// GPADLs at a time.
    pub max_gpadls: u32,
    /// Pages of all GPADLs together.
    pub max_gpadl_pages: u32,
    /// Devices, and channels offered.
    pub max_offers: u32,
    /// Open channels at a time.
    pub max_open_channels: u32,
    /// Messages of the guest's that wait.
    pub max_queued_messages: u32,
    /// Records above it are not made; `None`: errors only.
    pub log_level: Option<LogLevel>,
    /// Where they go.
    pub log: Option<LogFn>,
    /// Who is told that the guest broke the protocol.
    pub guest_fault: Option<FaultFn>,
}

impl BusConfig {
    pub(crate) fn to_c(&self) -> sys::hvs_vmbus_config {
        let mut c = sized!(sys::hvs_vmbus_config);
        c.vp_count = self.vp_count.max(1);
        c.max_version = self.max_version;
        c.max_gpadls = self.max_gpadls;
        c.max_gpadl_pages = self.max_gpadl_pages;
        c.max_offers = self.max_offers;
        c.max_open_channels = self.max_open_channels;
        c.max_queued_messages = self.max_queued_messages;
        c.log_level = self.log_level.unwrap_or(LogLevel::Error).to_c();
        c
    }
}

/// A message for a guest's message slot.
#[derive(Clone, Copy)]
pub struct SynicMessage<'a>(pub(crate) &'a sys::hvs_synic_msg);

impl SynicMessage<'_> {
    /// HvMessageType.
    pub fn kind(&self) -> u32 {
        self.0.r#type
    }

    /// Up to 240 bytes.
    pub fn payload(&self) -> &[u8] {
        let len = usize::from(self.0.payload_len).min(self.0.payload.len());
        &self.0.payload[..len]
    }
}

/// Messages and events of the synthetic interrupt controller, for a hypervisor that has one. A VMM
/// without uses [`Hypervisor`](crate::Hypervisor). Called from any thread; must not block, nor call
/// the bus.
pub trait Synic: Send + Sync + 'static {
    /// Puts a message into a slot, and interrupts. [`Error::WouldBlock`]: it is occupied; the
    /// library tries again, at the latest after 1 ms.
    fn post(&self, vp: u32, sint: u8, message: SynicMessage<'_>) -> Result<()>;
    /// Sets an event flag, and interrupts if it was clear.
    fn signal(&self, vp: u32, sint: u8, flag: u16);
}

/// Threads inside the library: the bus is destroyed when there are none.
#[derive(Default)]
pub(crate) struct Gate {
    inside: AtomicUsize,
    closed: AtomicBool,
}

pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    /// For what holds the bus back until it is done.
    pub fn enter_always(&self) -> Inside<'_> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        Inside(self)
    }

    /// `None`: the bus is on its way out.
    pub fn enter(&self) -> Option<Inside<'_>> {
        let inside = self.enter_always();
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        Some(inside)
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wait();
    }

    fn wait(&self) {
        while self.inside.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What other threads and callbacks know of a bus.
pub(crate) struct Shared {
    pub gate: Gate,
    pub keep: Arc<Keep>,
    raw: AtomicPtr<sys::hvs_vmbus>,
    main: Wake,
    synic: Option<Box<dyn Synic>>,
    log: Option<LogFn>,
    fault: Option<FaultFn>,
}

impl Shared {
    fn new(
        synic: Option<Box<dyn Synic>>,
        log: Option<LogFn>,
        fault: Option<FaultFn>,
    ) -> Result<Self> {
        Ok(Shared {
            gate: Gate::default(),
            keep: Arc::default(),
            raw: AtomicPtr::default(),
            main: Wake::new()?,
            synic,
            log,
            fault,
        })
    }

    /// # Safety
    ///
    /// `be` is what create() gave to the library.
    unsafe fn of<'a>(be: *mut c_void) -> &'a Shared {
        // SAFETY: it lives as long as the bus.
        unsafe { &*be.cast::<Shared>() }
    }
}

unsafe extern "C" fn synic_post(
    be: *mut c_void,
    vp: u32,
    sint: u8,
    msg: *const sys::hvs_synic_msg,
) -> c_int {
    // SAFETY: valid during the call.
    let (shared, msg) = unsafe { (Shared::of(be), SynicMessage(&*msg)) };
    guard_status(|| match &shared.synic {
        Some(synic) => synic.post(vp, sint, msg),
        None => Err(Error::WouldBlock),
    })
}

unsafe extern "C" fn synic_signal(be: *mut c_void, vp: u32, sint: u8, flag: u16) {
    // SAFETY: valid during the call.
    let shared = unsafe { Shared::of(be) };
    guard(|| shared.synic.as_ref().map(|synic| synic.signal(vp, sint, flag)));
}

unsafe extern "C" fn wake(be: *mut c_void, _worker: *mut sys::hvs_worker, private: *mut c_void) {
    if private.is_null() {
        // SAFETY: as long as the bus.
        unsafe { Shared::of(be) }.main.set();
    } else {
        // SAFETY: add_worker() gave it; the bus has a reference.
        unsafe { &*private.cast::<WorkerCore>() }.wake.set();
    }
}

unsafe extern "C" fn clock(_be: *mut c_void) -> u64 {
    now_ns()
}

unsafe extern "C" fn log(be: *mut c_void, record: *const sys::hvs_log_record) {
    // SAFETY: valid during the call.
    unsafe { log_to(&Shared::of(be).log, record) };
}

unsafe extern "C" fn guest_fault(be: *mut c_void, fault: *const sys::hvs_guest_fault) {
    // SAFETY: valid during the call.
    unsafe { fault_to(&Shared::of(be).fault, fault) };
}

/// Who runs the main worker, and ends the bus.
pub(crate) enum Driver {
    Own,
    #[cfg(feature = "host")]
    Kvm(NonNull<sys::hvs_kvm>, crate::host::BaseRef),
    #[cfg(feature = "guest")]
    Loopback(NonNull<sys::hvs_loopback>),
}

/// Something that could not be removed yet.
type Retry = Box<dyn FnMut() -> bool>;

pub(crate) struct BusCore {
    raw: Cell<*mut sys::hvs_vmbus>,
    driver: Driver,
    pub shared: Arc<Shared>,
    /// Outlives the bus.
    _memory: Memory,
    workers: RefCell<Vec<Arc<WorkerCore>>>,
    retries: RefCell<Vec<Retry>>,
    dispatching: Cell<bool>,
    deadline: Cell<u64>,
}

impl BusCore {
    /// Valid as long as this.
    pub fn raw(&self) -> *mut sys::hvs_vmbus {
        self.raw.get()
    }

    /// Removes later what is busy: `retry` returns whether it is done.
    pub fn later(&self, mut retry: Retry) {
        if !retry() {
            self.retries.borrow_mut().push(retry);
        }
    }

    pub fn retry(&self) {
        if let Ok(mut retries) = self.retries.try_borrow_mut() {
            retries.retain_mut(|retry| !retry());
        }
    }

    fn dispatch(&self, budget: u32) -> Result<bool> {
        if !matches!(self.driver, Driver::Own) {
            return Err(Error::NotSupported);
        }
        if self.dispatching.replace(true) {
            return Err(Error::Busy);
        }
        let mut deadline = u64::MAX;
        self.shared.main.clear();
        // SAFETY: the bus lives, and this is its only thread.
        let more = unsafe {
            let main = sys::hvs_vmbus_main_worker(self.raw());
            sys::hvs_worker_dispatch(main, budget, &mut deadline) > 0
        };
        self.dispatching.set(false);
        self.deadline.set(if more { 0 } else { deadline });
        self.retry();
        Ok(more)
    }

    /// Closes all channels, and waits until the back ends have completed all requests.
    fn drain(&self) {
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        // SAFETY: the bus lives.
        if !unsafe { sys::hvs_vmbus_started(self.raw()) } {
            return;
        }
        let keep = &self.shared.keep;
        let callback: callback::Done = Box::new(move |_| set.store(true, Ordering::SeqCst));
        let ours = callback::remove(keep, Vec::new(), Some(callback), |arg| {
            // SAFETY: the bus lives.
            unsafe { sys::hvs_vmbus_reset(self.raw(), Some(removed), arg) }
        });
        loop {
            let more = self.dispatch(0).unwrap_or(false);
            for worker in self.workers.borrow().iter() {
                // A thread that is inside will have done it.
                worker.dispatch(0);
            }
            // SAFETY: the bus lives.
            let resetting = unsafe { sys::hvs_vmbus_resetting(self.raw()) };
            if if ours.is_ok() { done.load(Ordering::SeqCst) } else { !resetting } {
                break;
            }
            if !more {
                self.shared.main.wait(Some(Duration::from_millis(1)));
            }
        }
        // Removals that were under way.
        let _ = self.dispatch(0);
    }
}

impl Drop for BusCore {
    fn drop(&mut self) {
        self.shared.gate.close();
        match &self.driver {
            Driver::Own => {
                self.drain();
                for worker in self.workers.borrow().iter() {
                    worker.leave();
                }
                self.shared.gate.wait();
                // SAFETY: reset or never started, and no thread is inside.
                unsafe { sys::hvs_vmbus_destroy(self.raw()) };
            }
            #[cfg(feature = "host")]
            Driver::Kvm(kvm, _base) => {
                // SAFETY: vCPUs hold the gate while they are inside, and find it closed now.
                unsafe {
                    sys::hvs_kvm_drain(kvm.as_ptr());
                    self.shared.gate.wait();
                    sys::hvs_kvm_destroy(kvm.as_ptr());
                }
            }
            #[cfg(feature = "guest")]
            // SAFETY: the guest end does not outlive it.
            Driver::Loopback(loopback) => unsafe {
                sys::hvs_loopback_destroy(loopback.as_ptr());
                self.shared.gate.wait();
            },
        }
        self.raw.set(std::ptr::null_mut());
        self.shared.keep.clear();
    }
}

/// The VMBus of one virtual machine, and its main worker.
///
/// It stays on one thread, and with it everything that the headers mark `[main worker]`: offering
/// and removing devices, requests to integration services, [`Bus::dispatch()`]. Devices keep the
/// bus. When the last of them has gone, its guest is disconnected; that waits until back ends have
/// completed all requests, and then everything is freed.
///
/// vCPU threads use a [`BusHandle`], devices with threads of their own a [`Worker`].
#[derive(Clone)]
pub struct Bus(pub(crate) Rc<BusCore>);

impl Bus {
    /// On a hypervisor that has a synthetic interrupt controller.
    ///
    /// [`Error::Invalid`] (a member is out of range), [`Error::NoMemory`].
    pub fn new(config: BusConfig, memory: &Memory, synic: impl Synic) -> Result<Self> {
        let c = config.to_c();
        let shared = Arc::new(Shared::new(Some(Box::new(synic)), config.log, config.guest_fault)?);
        let mut ops = sized!(sys::hvs_backend_ops);
        ops.synic_post = Some(synic_post);
        ops.synic_signal = Some(synic_signal);
        ops.wake = Some(wake);
        ops.now_ns = Some(clock);
        ops.log = Some(log);
        ops.guest_fault = Some(guest_fault);
        let mut raw = std::ptr::null_mut();
        let be = Arc::as_ptr(&shared) as *mut c_void;
        // SAFETY: valid pointers; `shared` lives as long as the bus.
        check(unsafe { sys::hvs_vmbus_create(&c, memory.raw(), &ops, be, &mut raw) })?;
        Self::of(raw, Driver::Own, shared, memory.clone())
    }

    fn of(
        raw: *mut sys::hvs_vmbus,
        driver: Driver,
        shared: Arc<Shared>,
        memory: Memory,
    ) -> Result<Self> {
        shared.raw.store(raw, Ordering::SeqCst);
        Ok(Bus(Rc::new(BusCore {
            raw: Cell::new(raw),
            driver,
            shared,
            _memory: memory,
            workers: RefCell::default(),
            retries: RefCell::default(),
            dispatching: Cell::new(false),
            deadline: Cell::new(u64::MAX),
        })))
    }

    /// The bus that something else has made, and dispatches.
    #[cfg(any(feature = "host", feature = "guest"))]
    pub(crate) fn driven(raw: *mut sys::hvs_vmbus, driver: Driver, memory: Memory) -> Result<Self> {
        Self::of(raw, driver, Arc::new(Shared::new(None, None, None)?), memory)
    }

    /// From now on the guest may connect. [`Error::Busy`]: it has been started.
    pub fn start(&self) -> Result<()> {
        // SAFETY: the bus lives.
        check(unsafe { sys::hvs_vmbus_start(self.0.raw()) }).map(drop)
    }

    /// The machine is being reset, its VPs do not run: close every channel, forget the connection.
    /// `done` runs from a later dispatch, when the last request is back. [`Error::Busy`]: one is
    /// under way.
    pub fn reset(&self, done: impl FnOnce() + Send + 'static) -> Result<()> {
        let done: callback::Done = Box::new(move |_| done());
        callback::remove(&self.0.shared.keep, Vec::new(), Some(done), |arg| {
            // SAFETY: the bus lives.
            unsafe { sys::hvs_vmbus_reset(self.0.raw(), Some(removed), arg) }
        })
    }

    /// Runs what is pending, at most `budget` units (about one packet each; 0: until idle). `true`:
    /// more is left. Call it when the descriptor is readable, and after [`Bus::timeout()`].
    ///
    /// [`Error::Busy`]: from a callback; [`Error::NotSupported`]: the bus of a
    /// `Kvm` or a `Loopback`, which do it.
    pub fn dispatch(&self, budget: u32) -> Result<bool> {
        // Kept until it has returned, whatever callbacks do.
        self.clone().0.dispatch(budget)
    }

    /// How long to sleep at most before the next dispatch; `None`: until the descriptor is readable.
    pub fn timeout(&self) -> Option<Duration> {
        until(self.0.deadline.get())
    }

    /// Sleeps until there is something to do, or `max` is over, and does it.
    pub fn turn(&self, max: Option<Duration>) -> Result<bool> {
        let timeout = [self.timeout(), max].iter().flatten().min().copied();
        self.0.shared.main.wait(timeout);
        self.dispatch(0)
    }

    /// For vCPU threads.
    pub fn handle(&self) -> BusHandle {
        BusHandle(self.0.shared.clone())
    }

    /// What the guest negotiated: (major << 16) | minor; 0: it is not connected.
    pub fn guest_version(&self) -> u32 {
        // SAFETY: the bus lives.
        unsafe { sys::hvs_vmbus_guest_version(self.0.raw()) }
    }

    /// One more worker, for devices that are to have a thread of their own. Before
    /// [`Bus::start()`]. [`Error::Busy`] (it has been started), [`Error::NotSupported`] (the bus of
    /// a `Kvm` or a `Loopback`), [`Error::NoMemory`].
    pub fn add_worker(&self) -> Result<Worker> {
        if !matches!(self.0.driver, Driver::Own) {
            return Err(Error::NotSupported);
        }
        let core = Arc::new(WorkerCore {
            raw: AtomicPtr::default(),
            wake: Wake::new()?,
            turn: Mutex::new(Turn { there: true, deadline: u64::MAX }),
        });
        let private = Arc::as_ptr(&core) as *mut c_void;
        let mut raw = std::ptr::null_mut();
        // SAFETY: valid pointers; `workers` keeps it.
        check(unsafe { sys::hvs_worker_create(self.0.raw(), private, &mut raw) })?;
        core.raw.store(raw, Ordering::SeqCst);
        self.0.workers.borrow_mut().push(core.clone());
        Ok(Worker { core })
    }

    /// The workers' pointers, if they are of this bus.
    pub(crate) fn own_workers(&self, workers: &[&Worker]) -> Result<Vec<*mut sys::hvs_worker>> {
        let known = self.0.workers.borrow();
        let one = |w: &&Worker| {
            let found = known.iter().any(|k| Arc::ptr_eq(k, &w.core));
            found.then(|| w.core.raw()).ok_or(Error::Invalid)
        };
        workers.iter().map(one).collect()
    }
}

impl AsRawFd for Bus {
    /// Readable when there is something to dispatch; to be polled and not to be read.
    fn as_raw_fd(&self) -> RawFd {
        self.0.shared.main.fd()
    }
}

fn until(deadline: u64) -> Option<Duration> {
    (deadline != u64::MAX).then(|| Duration::from_nanos(deadline.saturating_sub(now_ns())))
}

/// A bus, for threads that play its guest's processors. It does not keep the bus: when that is gone
/// nobody listens.
#[derive(Clone)]
pub struct BusHandle(pub(crate) Arc<Shared>);

impl BusHandle {
    fn with<R>(&self, gone: R, f: impl FnOnce(*mut sys::hvs_vmbus) -> R) -> R {
        match self.0.gate.enter() {
            Some(_inside) => f(self.0.raw.load(Ordering::Relaxed)),
            None => gone,
        }
    }

    /// The guest's HvPostMessage; returns the hypercall status.
    pub fn post_message(&self, connection_id: u32, message_type: u32, payload: &[u8]) -> u16 {
        self.with(sys::HVS_HV_STATUS_INVALID_CONNECTION_ID as u16, |bus| {
            // SAFETY: the bus lives while we are inside.
            unsafe {
                sys::hvs_vmbus_post_message(
                    bus,
                    connection_id,
                    message_type,
                    payload.as_ptr().cast(),
                    payload.len(),
                )
            }
        })
    }

    /// The guest's HvSignalEvent; returns the hypercall status.
    pub fn signal_event(&self, connection_id: u32, flag: u16) -> u16 {
        self.with(sys::HVS_HV_STATUS_INVALID_CONNECTION_ID as u16, |bus| {
            // SAFETY: as above.
            unsafe { sys::hvs_vmbus_signal_event(bus, connection_id, flag) }
        })
    }

    /// A message slot of this VP may have become free.
    pub fn slot_free(&self, vp: u32) {
        // SAFETY: as above.
        self.with((), |bus| unsafe { sys::hvs_vmbus_slot_free(bus, vp) });
    }
}

struct Turn {
    there: bool,
    deadline: u64,
}

pub(crate) struct WorkerCore {
    raw: AtomicPtr<sys::hvs_worker>,
    wake: Wake,
    /// Held by who is inside.
    turn: Mutex<Turn>,
}

impl WorkerCore {
    fn raw(&self) -> *mut sys::hvs_worker {
        self.raw.load(Ordering::Relaxed)
    }

    /// `None`: the bus is gone.
    fn dispatch(&self, budget: u32) -> Option<bool> {
        let mut turn = lock(&self.turn);
        if !turn.there {
            return None;
        }
        let mut deadline = u64::MAX;
        self.wake.clear();
        // SAFETY: the bus lives, and nobody else is inside.
        let more = unsafe { sys::hvs_worker_dispatch(self.raw(), budget, &mut deadline) } > 0;
        turn.deadline = if more { 0 } else { deadline };
        Some(more)
    }

    fn leave(&self) {
        lock(&self.turn).there = false;
        self.wake.set();
    }
}

/// A serial context of devices, to be driven by a loop on any one thread: call
/// [`Worker::dispatch()`] when the descriptor is readable, and when [`Worker::timeout()`] is over.
pub struct Worker {
    core: Arc<WorkerCore>,
}

impl Worker {
    /// As [`Bus::dispatch()`]. [`Error::Shutdown`]: the bus is gone.
    pub fn dispatch(&mut self, budget: u32) -> Result<bool> {
        self.core.dispatch(budget).ok_or(Error::Shutdown)
    }

    /// As [`Bus::timeout()`].
    pub fn timeout(&self) -> Option<Duration> {
        until(lock(&self.core.turn).deadline)
    }

    /// As [`Bus::turn()`]. [`Error::Shutdown`]: the bus is gone.
    pub fn turn(&mut self, max: Option<Duration>) -> Result<bool> {
        let timeout = [self.timeout(), max].iter().flatten().min().copied();
        self.core.wake.wait(timeout);
        self.dispatch(0)
    }

    /// Calls `f` in the worker's context, if the bus is there.
    pub(crate) fn inside<R>(&mut self, f: impl FnOnce(*mut sys::hvs_worker) -> R) -> Result<R> {
        let turn = lock(&self.core.turn);
        if !turn.there {
            return Err(Error::Shutdown);
        }
        Ok(f(self.core.raw()))
    }
}

impl AsRawFd for Worker {
    /// As of [`Bus`].
    fn as_raw_fd(&self) -> RawFd {
        self.core.wake.fd()
    }
}
