// SPDX-License-Identifier: MIT
use crate::bus::{Bus, BusConfig, BusHandle, Shared, Synic, SynicMessage};
use crate::callback::{guard, lock, sized};
use crate::error::check;
use crate::memory::Memory;
use crate::wake::now_ns;
use crate::{Error, Result};
use hvstack_sys as sys;
use std::os::raw::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, RwLock, Weak};

/// What the guest wrote when it crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// P0 to P4.
    pub parameters: [u64; 5],
    /// The control word.
    pub control: u64,
}

/// What the hypervisor interface asks of a VMM. Called from any thread; must not block.
pub trait Interrupts: Send + Sync + 'static {
    /// SINT `sint` of a VP fires: inject `vector`.
    fn interrupt(&self, vp: u32, sint: u8, vector: u8);
    /// The guest reports that it has crashed; it goes on.
    fn crash(&self, _vp: u32, _crash: Crash) {}
}

/// What a hypervisor interface is like.
#[derive(Clone, Copy, Debug)]
pub struct HypervisorConfig {
    /// Virtual processors.
    pub vp_count: u32,
    /// I/O port of hypercalls, below 0x100; 0: the hypervisor traps them itself.
    pub hypercall_port: u16,
    /// I/O port of signals; 0: they are hypercalls.
    pub signal_port: u16,
    /// Rates of the guest's TSC and APIC timer; 0: it is not told.
    pub clock_rates: Option<(u64, u64)>,
}

impl Default for HypervisorConfig {
    fn default() -> Self {
        HypervisorConfig { vp_count: 1, hypercall_port: 0xe8, signal_port: 0xe4, clock_rates: None }
    }
}

struct Callbacks {
    interrupts: Box<dyn Interrupts>,
    bus: RwLock<Weak<Shared>>,
}

impl Callbacks {
    /// # Safety
    ///
    /// `be` is what create() gave to the library.
    unsafe fn of<'a>(be: *mut c_void) -> &'a Callbacks {
        // SAFETY: it lives as long as the hypervisor interface.
        unsafe { &*be.cast::<Callbacks>() }
    }

    fn bus(&self) -> Option<BusHandle> {
        let bus = self.bus.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        bus.upgrade().map(BusHandle)
    }
}

unsafe extern "C" fn interrupt(be: *mut c_void, vp: u32, sint: u8, vector: u8) {
    // SAFETY: valid during the call.
    let callbacks = unsafe { Callbacks::of(be) };
    guard(|| callbacks.interrupts.interrupt(vp, sint, vector));
}

unsafe extern "C" fn clock(_be: *mut c_void) -> u64 {
    now_ns()
}

unsafe extern "C" fn post_message(
    be: *mut c_void,
    connection_id: u32,
    message_type: u32,
    payload: *const c_void,
    len: usize,
) -> u16 {
    // SAFETY: a private copy of the message, valid during the call.
    let (callbacks, payload) =
        unsafe { (Callbacks::of(be), std::slice::from_raw_parts(payload.cast::<u8>(), len)) };
    match callbacks.bus() {
        Some(bus) => bus.post_message(connection_id, message_type, payload),
        None => sys::HVS_HV_STATUS_INVALID_CONNECTION_ID as u16,
    }
}

unsafe extern "C" fn signal_event(be: *mut c_void, connection_id: u32, flag: u16) -> u16 {
    // SAFETY: valid during the call.
    match unsafe { Callbacks::of(be) }.bus() {
        Some(bus) => bus.signal_event(connection_id, flag),
        None => sys::HVS_HV_STATUS_INVALID_CONNECTION_ID as u16,
    }
}

unsafe extern "C" fn slot_free(be: *mut c_void, vp: u32) {
    // SAFETY: valid during the call.
    if let Some(bus) = unsafe { Callbacks::of(be) }.bus() {
        bus.slot_free(vp);
    }
}

unsafe extern "C" fn crash(be: *mut c_void, vp: u32, crash: *const sys::hvs_hv_crash) {
    // SAFETY: valid during the call.
    let (callbacks, crash) = unsafe { (Callbacks::of(be), &*crash) };
    let crash = Crash { parameters: crash.param, control: crash.control };
    guard(|| callbacks.interrupts.crash(vp, crash));
}

pub(crate) struct HypervisorCore {
    raw: NonNull<sys::hvs_hv>,
    callbacks: Box<Callbacks>,
    memory: Memory,
    vps: Mutex<Vec<bool>>,
}

// SAFETY: functions that any thread may call, and those of a VP through its one `Vp`.
unsafe impl Send for HypervisorCore {}
unsafe impl Sync for HypervisorCore {}

impl Drop for HypervisorCore {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference any more.
        unsafe { sys::hvs_hv_destroy(self.raw.as_ptr()) };
    }
}

impl Synic for Arc<HypervisorCore> {
    fn post(&self, vp: u32, sint: u8, message: SynicMessage<'_>) -> Result<()> {
        // SAFETY: only the main worker posts.
        check(unsafe { sys::hvs_hv_post(self.raw.as_ptr(), vp, sint, message.0) }).map(drop)
    }

    fn signal(&self, vp: u32, sint: u8, flag: u16) {
        // SAFETY: from any thread.
        unsafe { sys::hvs_hv_signal(self.raw.as_ptr(), vp, sint, flag) };
    }
}

/// The hypervisor interface that a guest sees, for VMMs whose hypervisor has none: CPUID leaves,
/// synthetic MSRs, hypercalls, the synthetic interrupt controller. Clones are the same one.
#[derive(Clone)]
pub struct Hypervisor(Arc<HypervisorCore>);

impl Hypervisor {
    /// [`Error::Invalid`] (a member is out of range), [`Error::NoMemory`].
    pub fn new(
        config: HypervisorConfig,
        memory: &Memory,
        interrupts: impl Interrupts,
    ) -> Result<Self> {
        let mut c = sized!(sys::hvs_hv_config);
        c.vp_count = config.vp_count;
        c.hypercall_port = config.hypercall_port;
        c.signal_port = config.signal_port;
        if let Some((tsc, apic)) = config.clock_rates {
            c.tsc_hz = tsc;
            c.apic_hz = apic;
        }
        let mut ops = sized!(sys::hvs_hv_ops);
        ops.interrupt = Some(interrupt);
        ops.now_ns = Some(clock);
        ops.post_message = Some(post_message);
        ops.signal_event = Some(signal_event);
        ops.slot_free = Some(slot_free);
        ops.crash = Some(crash);
        let callbacks =
            Box::new(Callbacks { interrupts: Box::new(interrupts), bus: RwLock::default() });
        let be = &*callbacks as *const Callbacks as *mut c_void;
        let mut raw = std::ptr::null_mut();
        // SAFETY: valid pointers; the callbacks live as long as the interface.
        check(unsafe { sys::hvs_hv_create(&c, memory.raw(), &ops, be, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        let vps = Mutex::new(vec![false; config.vp_count as usize]);
        Ok(Hypervisor(Arc::new(HypervisorCore { raw, callbacks, memory: memory.clone(), vps })))
    }

    /// A bus whose messages and events go through this interface. `vp_count` of the configuration
    /// does not count. As [`Bus::new()`].
    pub fn bus(&self, config: BusConfig) -> Result<Bus> {
        let vp_count = lock(&self.0.vps).len() as u32;
        let bus = Bus::new(BusConfig { vp_count, ..config }, &self.0.memory, self.0.clone())?;
        let mut to = self.0.callbacks.bus.write().unwrap_or_else(|p| p.into_inner());
        *to = Arc::downgrade(&bus.0.shared);
        Ok(bus)
    }

    /// CPUID leaf, the same on every VP: EAX, EBX, ECX, EDX. [`Error::NotFound`].
    pub fn cpuid(&self, leaf: u32) -> Result<[u32; 4]> {
        let mut regs = [0; 4];
        // SAFETY: four registers.
        check(unsafe { sys::hvs_hv_cpuid(self.0.raw.as_ptr(), leaf, regs.as_mut_ptr()) })?;
        Ok(regs)
    }

    /// A virtual processor, for the thread that runs it. [`Error::NotFound`]; [`Error::Busy`]:
    /// somebody has it.
    pub fn vp(&self, index: u32) -> Result<Vp> {
        let mut vps = lock(&self.0.vps);
        let taken = vps.get_mut(index as usize).ok_or(Error::NotFound)?;
        if std::mem::replace(taken, true) {
            return Err(Error::Busy);
        }
        Ok(Vp { hypervisor: self.0.clone(), index })
    }

    /// The guest's GUEST_OS_ID; 0: none.
    pub fn guest_os_id(&self) -> u64 {
        // SAFETY: from any thread.
        unsafe { sys::hvs_hv_guest_os_id(self.0.raw.as_ptr()) }
    }
}

/// One virtual processor: what its exits lead to.
pub struct Vp {
    hypervisor: Arc<HypervisorCore>,
    index: u32,
}

impl Vp {
    fn raw(&self) -> *mut sys::hvs_hv {
        self.hypervisor.raw.as_ptr()
    }

    /// RDMSR. [`Error::NotFound`]: inject #GP.
    pub fn msr_read(&mut self, msr: u32) -> Result<u64> {
        let mut value = 0;
        // SAFETY: the only one of this VP.
        check(unsafe { sys::hvs_hv_msr_read(self.raw(), self.index, msr, &mut value) })?;
        Ok(value)
    }

    /// WRMSR. [`Error::NotFound`]: inject #GP.
    pub fn msr_write(&mut self, msr: u32, value: u64, long_mode: bool) -> Result<()> {
        // SAFETY: the only one of this VP.
        check(unsafe { sys::hvs_hv_msr_write(self.raw(), self.index, msr, value, long_mode) })
            .map(drop)
    }

    /// A hypercall: input value, and the two parameters. Returns the result value.
    pub fn hypercall(&mut self, input: u64, param_in: u64, param_out: u64) -> u64 {
        // SAFETY: the only one of this VP.
        unsafe { sys::hvs_hv_hypercall(self.raw(), self.index, input, param_in, param_out) }
    }
}

impl Drop for Vp {
    fn drop(&mut self) {
        lock(&self.hypervisor.vps)[self.index as usize] = false;
    }
}
