// SPDX-License-Identifier: MIT
//! Hyper-V's devices for virtual machine monitors: a guest with Hyper-V's drivers finds its disks,
//! network and services. This is libhvstack, with Rust's guarantees.
//!
//! - [`Memory`] is the guest's RAM, [`Hypervisor`] the interface that it sees, [`Bus`] its VMBus.
//! - A [`StorageController`] has disks, whose data come from a [`BlockBackend`]; a [`Nic`] has a
//!   [`NetBackend`]; a [`Service`] is one of the integration services; a [`Device`] is one of your
//!   own.
//! - Nothing runs by itself: a [`Bus`], and each [`Worker`], has a file descriptor, a timeout and a
//!   `dispatch()`. They fit into poll, mio and tokio (`AsyncFd`).
//!
//! Requests are tokens: they are completed by being consumed, from any thread, and fail when they
//! are dropped. Panics of your code end where it was called. Guest memory is copied, never borrowed.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod block;
mod bus;
mod callback;
pub mod device;
mod error;
#[cfg(feature = "guest")]
pub mod guest;
mod guid;
#[cfg(feature = "host")]
pub mod host;
mod hypervisor;
mod ic;
mod memory;
mod net;
mod storage;
mod wake;

pub use block::{
    BlockBackend, BlockDevice, BlockError, BlockInfo, BlockOp, BlockRequest, IntoBlockDevice,
    MemoryDisk, RequestId,
};
pub use bus::{
    Bus, BusConfig, BusHandle, FaultFn, GuestFault, LogFn, LogLevel, LogRecord, Synic,
    SynicMessage, Worker,
};
pub use device::{Device, OfferedDevice};
pub use error::{Error, Result};
pub use guid::Guid;
pub use hypervisor::{Crash, Hypervisor, HypervisorConfig, Interrupts, Vp};
pub use ic::{
    KvpPool, RequestError, RequestResult, Service, ServiceEvent, ServiceKind, ServiceStatus,
    ShutdownAction,
};
pub use memory::{Access, GuestBytes, Memory, Ram};
pub use net::{
    FrameInfo, IntoNetDevice, NetBackend, NetDevice, NetFlags, NetInfo, NetStatus, Nic, NicConfig,
    NicCounters, NicHandle, Queue, RxFrame, TxFrame,
};
pub use storage::{ControllerConfig, Disk, DiskConfig, DiskCounters, DiskOp, StorageController};

/// Version of the library that is running: (major << 16) | (minor << 8) | patch.
pub fn version() -> u32 {
    // SAFETY: no arguments.
    unsafe { hvstack_sys::hvs_version() }
}
