// SPDX-License-Identifier: MIT
use super::EventLoop;
use crate::bus::{fault_to, log_to, Bus, BusConfig, Driver, FaultFn, LogFn, LogLevel, Shared};
use crate::callback::{guard, sized};
use crate::error::check;
use crate::hypervisor::Crash;
use crate::memory::Memory;
use crate::{Error, Result};
use hvstack_sys as sys;
use std::os::raw::c_void;
use std::os::unix::io::{AsRawFd, BorrowedFd};
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;

/// Who keeps the synthetic interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvmSynic {
    /// The kernel if it can.
    Auto,
    /// KVM.
    Kernel,
    /// The library.
    User,
}

type CrashFn = Box<dyn Fn(u32, Crash) + Send + Sync>;

/// How to attach to a VM.
pub struct KvmConfig<'a> {
    /// KVM_CREATE_VM's, with an interrupt controller in the kernel. It stays open as long as the
    /// [`Kvm`].
    pub vm: BorrowedFd<'a>,
    /// vCPU indexes are VP indexes.
    pub vcpu_count: u32,
    /// Who keeps the synthetic interrupt controller.
    pub synic: KvmSynic,
    /// Limits, and where log records and faults go. `vp_count` does not count.
    pub bus: BusConfig,
    /// The guest reports that it has crashed; on the vCPU's thread.
    pub crash: Option<CrashFn>,
}

struct Callbacks {
    log: Option<LogFn>,
    fault: Option<FaultFn>,
    crash: Option<CrashFn>,
}

unsafe extern "C" fn log(arg: *mut c_void, record: *const sys::hvs_log_record) {
    // SAFETY: kept until the VM is let go of.
    unsafe { log_to(&(*arg.cast::<Callbacks>()).log, record) };
}

unsafe extern "C" fn guest_fault(arg: *mut c_void, fault: *const sys::hvs_guest_fault) {
    // SAFETY: as above.
    unsafe { fault_to(&(*arg.cast::<Callbacks>()).fault, fault) };
}

unsafe extern "C" fn crash(arg: *mut c_void, vp: u32, crash: *const sys::hvs_hv_crash) {
    // SAFETY: as above; valid during the call.
    let (callbacks, c) = unsafe { (&*arg.cast::<Callbacks>(), &*crash) };
    if let Some(to) = &callbacks.crash {
        guard(|| to(vp, Crash { parameters: c.param, control: c.control }));
    }
}

/// VMBus for a VM on KVM. The loop dispatches the bus. When this and all devices are dropped the
/// guest is disconnected, and everything freed.
pub struct Kvm {
    raw: NonNull<sys::hvs_kvm>,
    bus: Bus,
    memory: Memory,
}

impl Kvm {
    /// Attaches to a VM. [`Error::NotSupported`] (this KVM lacks what is needed), or the errno of an
    /// ioctl.
    pub fn new(event_loop: &EventLoop, config: KvmConfig<'_>) -> Result<Self> {
        let bus_config = config.bus.to_c();
        let callbacks = Box::new(Callbacks {
            log: config.bus.log,
            fault: config.bus.guest_fault,
            crash: config.crash,
        });
        let mut c = sized!(sys::hvs_kvm_config);
        c.vm_fd = config.vm.as_raw_fd();
        c.vcpu_count = config.vcpu_count;
        c.synic = match config.synic {
            KvmSynic::Auto => sys::HVS_KVM_SYNIC_AUTO,
            KvmSynic::Kernel => sys::HVS_KVM_SYNIC_KERNEL,
            KvmSynic::User => sys::HVS_KVM_SYNIC_USER,
        };
        c.base = event_loop.raw();
        c.log_level = config.bus.log_level.unwrap_or(LogLevel::Error).to_c();
        c.log = Some(log);
        c.guest_fault = Some(guest_fault);
        c.crash = Some(crash);
        c.arg = &*callbacks as *const Callbacks as *mut c_void;
        c.bus = &bus_config;
        let mut raw = null_mut();
        // SAFETY: valid pointers; the callbacks are kept below.
        check(unsafe { sys::hvs_kvm_create(&c, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        let make = || {
            // SAFETY: it was just made.
            let (bus, mem) =
                unsafe { (sys::hvs_kvm_bus(raw.as_ptr()), sys::hvs_kvm_mem(raw.as_ptr())) };
            let memory = Memory::borrowed(mem)?;
            let driver = Driver::Kvm(raw, event_loop.base.clone());
            Ok((Bus::driven(bus, driver, memory.clone())?, memory))
        };
        match make() {
            Ok((bus, memory)) => {
                bus.0.shared.keep.insert(callbacks);
                Ok(Kvm { raw, bus, memory })
            }
            Err(err) => {
                // SAFETY: nobody has it.
                unsafe { sys::hvs_kvm_destroy(raw.as_ptr()) };
                Err(err)
            }
        }
    }

    pub(crate) fn raw(&self) -> *mut sys::hvs_kvm {
        self.raw.as_ptr()
    }

    /// To offer devices on. The loop dispatches it.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Where to register all RAM. It is of no use once this is gone.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Who keeps the synthetic interrupt controller.
    pub fn synic(&self) -> KvmSynic {
        // SAFETY: it is there.
        match unsafe { sys::hvs_kvm_synic_in_use(self.raw.as_ptr()) } {
            sys::HVS_KVM_SYNIC_KERNEL => KvmSynic::Kernel,
            _ => KvmSynic::User,
        }
    }

    /// Adds the Hyper-V leaves to a CPUID table. `E2BIG`: it has no room.
    ///
    /// # Safety
    ///
    /// `cpuid` is a `struct kvm_cpuid2` with room for `max` entries.
    pub unsafe fn cpuid(&self, cpuid: *mut sys::kvm_cpuid2, max: u32) -> Result<()> {
        // SAFETY: as the caller says.
        check(unsafe { sys::hvs_kvm_cpuid(self.raw.as_ptr(), cpuid, max) }).map(drop)
    }

    /// Prepares a vCPU, once, after KVM_SET_CPUID2 and in order; for the thread that runs it. Its
    /// descriptor stays open as long as this. [`Error::Invalid`] (the index, or done before), or the
    /// errno of an ioctl.
    pub fn vcpu(&self, index: u32, vcpu: BorrowedFd<'_>) -> Result<Vcpu> {
        let fd = vcpu.as_raw_fd();
        // SAFETY: it is there.
        check(unsafe { sys::hvs_kvm_vcpu_init(self.raw.as_ptr(), index, fd) })?;
        Ok(Vcpu { raw: self.raw, index, shared: self.bus.0.shared.clone() })
    }

    /// No vCPU runs: disconnects the guest, runs the loop until no back end has a request, and gives
    /// all registers their reset values. [`Error::Busy`] (a reset of the bus is under way), or the
    /// errno of an ioctl.
    pub fn reset(&self) -> Result<()> {
        // SAFETY: on the loop's thread.
        unsafe {
            check(sys::hvs_kvm_drain(self.raw.as_ptr()))?;
            check(sys::hvs_kvm_reset(self.raw.as_ptr()))?;
        }
        Ok(())
    }
}

/// A vCPU, for the thread that runs it.
pub struct Vcpu {
    raw: NonNull<sys::hvs_kvm>,
    index: u32,
    shared: Arc<Shared>,
}

// SAFETY: exits of a vCPU are handled on the one thread that has this.
unsafe impl Send for Vcpu {}

impl Vcpu {
    /// Is this exit of KVM_RUN ours? `true`: it was handled, run on. [`Error::Shutdown`]: the
    /// [`Kvm`] is gone; or the errno of an ioctl.
    ///
    /// # Safety
    ///
    /// `run` is the mapped `struct kvm_run` of this vCPU, which does not run.
    pub unsafe fn handle_exit(&mut self, run: *mut sys::kvm_run) -> Result<bool> {
        let _inside = self.shared.gate.enter().ok_or(Error::Shutdown)?;
        // SAFETY: the gate holds it, and the rest is as the caller says.
        let result = unsafe { sys::hvs_kvm_handle_exit(self.raw.as_ptr(), self.index, run) };
        check(result).map(|ours| ours > 0)
    }
}
