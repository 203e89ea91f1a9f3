// SPDX-License-Identifier: MIT
use crate::block::IntoBlockDevice;
use crate::bus::{Bus, BusCore, Worker};
use crate::callback::{self, removed, sized, Done};
use crate::error::check;
use crate::{Error, Guid, Result};
use hvstack_sys as sys;
use std::any::Any;
use std::cell::RefCell;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;

/// What a controller is like.
#[derive(Default)]
pub struct ControllerConfig<'a> {
    /// Unique on the bus, and stable: guests name devices by it.
    pub instance_id: Guid,
    /// Bytes of a request, a multiple of 4096 up to 8 MiB; 0: 1 MiB.
    pub max_transfer_bytes: u32,
    /// Where it runs; `None`: on the bus's own.
    pub worker: Option<&'a Worker>,
    /// Sub-channels that a guest may have: usually the number of VPs less 1.
    pub max_subchannels: u32,
    /// Where these run, in turns; none: where the controller does.
    pub subchannel_workers: Vec<&'a Worker>,
}

/// Where a disk is, and what it says of itself.
#[derive(Clone, Debug, Default)]
pub struct DiskConfig {
    /// 0 to 7; 0 is best.
    pub path: u8,
    /// 0 or 1.
    pub target: u8,
    /// 0 to 254.
    pub lun: u8,
    /// Unique for ever; a copy needs a new one.
    pub disk_id: Guid,
    /// Up to 32 characters of printable ASCII; "": none.
    pub serial: String,
}

struct Inner {
    bus: Rc<BusCore>,
    raw: *mut sys::hvs_storvsp,
    /// Keys of the back ends of disks that are there.
    disks: RefCell<Vec<u64>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let keep = self.bus.shared.keep.clone();
        let (raw, disks) = (self.raw, self.disks.take());
        self.bus.later(Box::new(move || {
            let result = callback::remove(&keep, disks.clone(), None, |arg| {
                // SAFETY: the bus lives, and nobody has this controller any more.
                unsafe { sys::hvs_storvsp_remove(raw, Some(removed), arg) }
            });
            // Busy: the last disk that was removed is still on its way out.
            result != Err(Error::Busy)
        }));
    }
}

/// A synthetic SCSI controller. It leaves the guest when this and all its [`Disk`]s are dropped;
/// their back ends are dropped when all requests are back.
#[derive(Clone)]
pub struct StorageController(Rc<Inner>);

impl StorageController {
    /// Offers one. [`Error::Invalid`] (a member is out of range, a worker of another bus),
    /// [`Error::Exists`] (the instance_id), [`Error::NoSpace`] (too many devices),
    /// [`Error::NoMemory`].
    pub fn new(bus: &Bus, config: &ControllerConfig<'_>) -> Result<Self> {
        let worker = bus.own_workers(config.worker.as_slice_of_refs())?;
        let subchannels = bus.own_workers(&config.subchannel_workers)?;
        let mut c = sized!(sys::hvs_storvsp_config);
        c.instance_id = config.instance_id.to_c();
        c.max_transfer_bytes = config.max_transfer_bytes;
        c.worker = worker.first().copied().unwrap_or(null_mut());
        c.max_subchannels = config.max_subchannels;
        c.subchannel_worker_count = subchannels.len() as u32;
        if !subchannels.is_empty() {
            c.subchannel_workers = subchannels.as_ptr();
        }
        let mut raw = null_mut();
        // SAFETY: valid pointers, on the bus's thread.
        check(unsafe { sys::hvs_storvsp_create(bus.0.raw(), &c, &mut raw) })?;
        bus.0.retry();
        Ok(StorageController(Rc::new(Inner { bus: bus.0.clone(), raw, disks: RefCell::default() })))
    }

    /// Puts a disk on it; a guest that runs is told. It stays when the [`Disk`] is dropped.
    ///
    /// [`Error::Invalid`] (configuration; or the back end's info makes no sense, or serves fewer
    /// workers than the controller has), [`Error::Exists`] (the address is in use, or its last disk
    /// not gone yet), [`Error::NoSpace`] (64 disks), [`Error::NoMemory`], or what the back end's
    /// `info()` returned.
    pub fn attach(&self, config: &DiskConfig, backend: impl IntoBlockDevice) -> Result<Disk> {
        let mut c = sized!(sys::hvs_disk_config);
        c.path = config.path;
        c.target = config.target;
        c.lun = config.lun;
        c.disk_id = config.disk_id.to_c();
        if config.serial.len() >= c.serial.len() {
            return Err(Error::Invalid);
        }
        for (to, from) in c.serial.iter_mut().zip(config.serial.bytes()) {
            *to = from as _;
        }
        let keep = &self.0.bus.shared.keep;
        let shared: Arc<dyn Any + Send + Sync> = self.0.bus.shared.clone();
        let device = backend.into_device(&shared)?;
        let (ops, disk) = (device.ops, device.raw);
        let key = keep.insert(device.keep);
        let mut raw = null_mut();
        // SAFETY: `keep` has the back end until it is removed.
        if let Err(err) =
            check(unsafe { sys::hvs_storvsp_attach(self.0.raw, &c, ops, disk, &mut raw) })
        {
            drop(keep.remove(key));
            return Err(err);
        }
        self.0.disks.borrow_mut().push(key);
        Ok(Disk { controller: self.0.clone(), raw, key })
    }
}

/// A disk on a controller.
pub struct Disk {
    controller: Rc<Inner>,
    raw: *mut sys::hvs_disk,
    key: u64,
}

impl Disk {
    /// Takes it away, with requests in flight: they are cancelled where the back end can do that,
    /// and end. `done` runs when the back end has been dropped, on any thread, maybe before this
    /// returns.
    pub fn remove(self, done: impl FnOnce() + Send + 'static) {
        let done: Done = Box::new(move |_| done());
        self.controller.disks.borrow_mut().retain(|key| *key != self.key);
        let keep = &self.controller.bus.shared.keep;
        let result = callback::remove(keep, vec![self.key], Some(done), |arg| {
            // SAFETY: the controller has it, and this was the only handle.
            unsafe { sys::hvs_disk_remove(self.raw, Some(removed), arg) }
        });
        debug_assert!(result.is_ok(), "a disk is removed once");
    }

    /// The back end has become larger, smaller, read-only or writable: asks it, and tells the guest.
    ///
    /// [`Error::Invalid`] (its info makes no sense, or something else has changed), or what `info()`
    /// returned.
    pub fn refresh(&self) -> Result<()> {
        // SAFETY: as above.
        check(unsafe { sys::hvs_disk_refresh(self.raw) }).map(drop)
    }

    /// What the guest has done with it since it was attached.
    pub fn counters(&self, op: DiskOp) -> Result<DiskCounters> {
        let mut c = sized!(sys::hvs_disk_counters);
        // SAFETY: the disk is there.
        check(unsafe { sys::hvs_disk_get_counters(self.raw, op as sys::hvs_disk_op, &mut c) })?;
        Ok(DiskCounters { requests: c.requests, bytes: c.bytes, errors: c.errors })
    }
}

/// What a command of a disk is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Reads.
    Read = sys::HVS_DISK_READ as isize,
    /// Writes; WRITE SAME, too, if it does not unmap.
    Write = sys::HVS_DISK_WRITE as isize,
    /// Flushes.
    Flush = sys::HVS_DISK_FLUSH as isize,
    /// What gives back space.
    Unmap = sys::HVS_DISK_UNMAP as isize,
    /// All others.
    Other = sys::HVS_DISK_OTHER as isize,
}

/// Commands of one kind that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskCounters {
    /// Commands.
    pub requests: u64,
    /// Bytes moved to or from the guest.
    pub bytes: u64,
    /// Those among `requests` that did not end well; unit attentions are among them.
    pub errors: u64,
}

/// `Option::as_slice`, which is younger than the compilers we support.
pub(crate) trait AsSlice<T> {
    fn as_slice_of_refs(&self) -> &[T];
}

impl<T> AsSlice<T> for Option<T> {
    fn as_slice_of_refs(&self) -> &[T] {
        self.as_ref().map_or(&[], std::slice::from_ref)
    }
}
