// SPDX-License-Identifier: MIT
use super::{c_path, BaseRef, EventLoop, OpenError};
use crate::block::{BlockDevice, IntoBlockDevice, Sealed};
use crate::bus::text;
use crate::callback::sized;
use crate::error::check;
use crate::{Error, Result};
use hvstack_sys as sys;
use std::any::Any;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// How to use a file as a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileDiskConfig {
    /// Nothing is written.
    pub read_only: bool,
    /// Others may use the file at the same time, and write to it.
    pub shared: bool,
    /// Threads instead of io_uring, even if that is there.
    pub threads: bool,
    /// Past the host's page cache.
    pub direct: bool,
    /// 512 or 4096; 0: 512.
    pub block_size: u32,
}

struct Core {
    raw: *mut sys::hvs_filedisk,
    attached: AtomicBool,
    _base: BaseRef,
}

// SAFETY: resize and the like may be called by any thread; it is closed when no disk uses it.
unsafe impl Send for Core {}
unsafe impl Sync for Core {}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: no request is in flight.
        unsafe { sys::hvs_filedisk_close(self.raw) };
    }
}

/// A file or block device as a disk, of one controller at a time. Requests complete when the loop
/// runs. Clones are the same disk.
#[derive(Clone)]
pub struct FileDisk(Arc<Core>);

impl FileDisk {
    /// Opens and locks it. What is wrong is in words, too.
    pub fn open(
        event_loop: &EventLoop,
        path: impl AsRef<Path>,
        config: FileDiskConfig,
    ) -> std::result::Result<Self, OpenError> {
        let path = c_path(path.as_ref())?;
        let flags = [
            (config.read_only, sys::HVS_FILEDISK_READ_ONLY),
            (config.shared, sys::HVS_FILEDISK_SHARED),
            (config.threads, sys::HVS_FILEDISK_THREADS),
            (config.direct, sys::HVS_FILEDISK_DIRECT),
        ];
        let mut c = sized!(sys::hvs_filedisk_config);
        c.flags = flags.iter().filter(|f| f.0).fold(0, |all, f| all | f.1);
        c.path = path.as_ptr();
        c.block_size = config.block_size;
        c.base = event_loop.raw();
        let (mut raw, mut why) = (null_mut(), null());
        // SAFETY: valid pointers.
        check(unsafe { sys::hvs_filedisk_open(&c, &mut raw, &mut why) }).map_err(|error| {
            // SAFETY: a static string, or null.
            OpenError { error, why: unsafe { text(why) }.into() }
        })?;
        let attached = AtomicBool::new(false);
        Ok(FileDisk(Arc::new(Core { raw, attached, _base: event_loop.base.clone() })))
    }

    /// Makes the file longer or shorter; tell guests with [`Disk::refresh()`](crate::Disk::refresh).
    /// [`Error::Invalid`] (0, no multiple of a block), `EROFS`, [`Error::NotSupported`] (a block
    /// device).
    pub fn resize(&self, bytes: u64) -> Result<()> {
        // SAFETY: it is open.
        check(unsafe { sys::hvs_filedisk_resize(self.0.raw, bytes) }).map(drop)
    }

    /// Refuses writes from now on, or takes them again; tell guests. `EROFS`: opened read-only.
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        // SAFETY: it is open.
        check(unsafe { sys::hvs_filedisk_set_read_only(self.0.raw, read_only) }).map(drop)
    }
}

/// A disk that is attached.
struct Attached(Arc<Core>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.store(false, Ordering::SeqCst);
    }
}

impl Sealed for FileDisk {}

impl IntoBlockDevice for FileDisk {
    fn into_device(self, _shared: &Arc<dyn Any + Send + Sync>) -> Result<BlockDevice> {
        if self.0.attached.swap(true, Ordering::SeqCst) {
            return Err(Error::Busy);
        }
        // SAFETY: no arguments; a constant.
        let ops = unsafe { sys::hvs_filedisk_ops() };
        Ok(BlockDevice { ops, raw: self.0.raw.cast(), keep: Box::new(Attached(self.0)) })
    }
}
