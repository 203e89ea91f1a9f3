// SPDX-License-Identifier: MIT
use crate::bus::Shared;
use crate::callback::{guard, guard_status, sized};
use crate::memory::{GuestBytes, Ram};
use crate::Result;
use hvstack_sys as sys;
use std::any::Any;
use std::fmt;
use std::os::raw::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// What a block back end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Bytes of a logical block: 512 or 4096; of a medium of an optical drive 512 or 2048.
    pub block_size: u32,
    /// Bytes, a power of two times `block_size`; 0: `block_size`.
    pub physical_block_size: u32,
    /// Not 0.
    pub num_blocks: u64,
    /// Nothing is written.
    pub read_only: bool,
    /// [`BlockRequest::is_fua()`] is honoured.
    pub fua: bool,
    /// Writes are durable only after a flush, or with FUA.
    pub write_back: bool,
    /// [`BlockOp::Unmap`] is understood.
    pub unmap: bool,
    /// What was unmapped reads as zeros, always.
    pub unmap_zeroes: bool,
    /// [`BlockOp::WriteZeroes`] is understood, and faster than to write them.
    pub write_zeroes: bool,
    /// [`BlockOp::LbaStatus`] is understood.
    pub lba_status: bool,
    /// Bytes; 0: `block_size`.
    pub unmap_granularity: u32,
    /// Requests may come from so many workers at the same time; `u32::MAX`: from any number.
    pub max_queues: u32,
}

impl BlockInfo {
    /// A disk of `bytes` in blocks of 512 that can be read and written, from any worker.
    pub fn of_size(bytes: u64) -> Self {
        BlockInfo {
            block_size: 512,
            physical_block_size: 512,
            num_blocks: bytes / 512,
            read_only: false,
            fua: false,
            write_back: false,
            unmap: false,
            unmap_zeroes: false,
            write_zeroes: false,
            lba_status: false,
            unmap_granularity: 0,
            max_queues: sys::HVS_BLK_ANY_QUEUE,
        }
    }

    fn write(&self, to: &mut sys::hvs_blk_info) {
        let flags = [
            (self.read_only, sys::HVS_BLK_INFO_READ_ONLY),
            (self.fua, sys::HVS_BLK_INFO_FUA),
            (self.write_back, sys::HVS_BLK_INFO_WRITE_BACK),
            (self.unmap, sys::HVS_BLK_INFO_UNMAP),
            (self.unmap_zeroes, sys::HVS_BLK_INFO_UNMAP_ZEROES),
            (self.write_zeroes, sys::HVS_BLK_INFO_WRITE_ZEROES),
            (self.lba_status, sys::HVS_BLK_INFO_LBA_STATUS),
        ];
        to.flags = flags.iter().filter(|f| f.0).fold(0, |all, f| all | f.1);
        to.block_size = self.block_size;
        to.physical_block_size = match self.physical_block_size {
            0 => self.block_size,
            size => size,
        };
        to.num_blocks = self.num_blocks;
        to.unmap_granularity = self.unmap_granularity;
        to.max_queues = self.max_queues;
    }
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockOp {
    /// Write what is on the disk into [`BlockRequest::data()`].
    Read,
    /// Write [`BlockRequest::data()`] to the disk.
    Write,
    /// Every write that was completed before is durable afterwards.
    Flush,
    /// The data of the range are not needed any more.
    Unmap,
    /// The range reads as zeros afterwards.
    WriteZeroes,
    /// Is the beginning of the range unmapped? [`BlockRequest::complete_lba_status()`].
    LbaStatus,
    /// Of a newer library: complete with [`BlockError::Unsupported`].
    Other(u32),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// An I/O error.
    Io,
    /// Beyond the end: the disk became smaller.
    Range,
    /// The disk is read-only.
    ReadOnly,
    /// The back end cannot store more.
    NoSpace,
    /// The back end is not there any more.
    Gone,
    /// Cancelled; a write may have been done in part.
    Aborted,
    /// Unmap and write zeroes: not after all. Nothing has changed.
    Unsupported,
}

impl BlockError {
    fn to_c(self) -> sys::hvs_blk_status {
        match self {
            BlockError::Io => sys::HVS_BLK_IO_ERROR,
            BlockError::Range => sys::HVS_BLK_RANGE,
            BlockError::ReadOnly => sys::HVS_BLK_READ_ONLY,
            BlockError::NoSpace => sys::HVS_BLK_NO_SPACE,
            BlockError::Gone => sys::HVS_BLK_GONE,
            BlockError::Aborted => sys::HVS_BLK_ABORTED,
            BlockError::Unsupported => sys::HVS_BLK_UNSUPPORTED,
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BlockError::Io => "input/output error",
            BlockError::Range => "beyond the end of the disk",
            BlockError::ReadOnly => "read-only disk",
            BlockError::NoSpace => "no space left",
            BlockError::Gone => "disk is gone",
            BlockError::Aborted => "cancelled",
            BlockError::Unsupported => "not supported",
        })
    }
}

impl std::error::Error for BlockError {}

/// Which request: for [`BlockBackend::cancel()`]. Of another request once this one is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(usize);

/// A request of the guest's, to be completed exactly once: by [`BlockRequest::complete()`], here or
/// on any other thread, now or later. If it is dropped, it has failed with [`BlockError::Io`].
pub struct BlockRequest {
    raw: NonNull<sys::hvs_blk_req>,
    shared: Arc<Shared>,
}

// SAFETY: the request is the back end's until it is completed, which any thread may do.
unsafe impl Send for BlockRequest {}
// SAFETY: shared, it is only looked at.
unsafe impl Sync for BlockRequest {}

impl BlockRequest {
    fn raw(&self) -> &sys::hvs_blk_req {
        // SAFETY: valid until it is completed, and that takes `self`.
        unsafe { self.raw.as_ref() }
    }

    /// What it wants.
    pub fn op(&self) -> BlockOp {
        match self.raw().op {
            sys::HVS_BLK_READ => BlockOp::Read,
            sys::HVS_BLK_WRITE => BlockOp::Write,
            sys::HVS_BLK_FLUSH => BlockOp::Flush,
            sys::HVS_BLK_UNMAP => BlockOp::Unmap,
            sys::HVS_BLK_WRITE_ZEROES => BlockOp::WriteZeroes,
            sys::HVS_BLK_LBA_STATUS => BlockOp::LbaStatus,
            op => BlockOp::Other(op),
        }
    }

    /// Where: bytes, inside the disk as [`BlockBackend::info()`] described it last.
    pub fn offset(&self) -> u64 {
        self.raw().offset
    }

    /// How many bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.raw().len
    }

    /// Which of the controller's workers it comes from.
    pub fn queue(&self) -> u32 {
        self.raw().queue
    }

    /// Durable before completion.
    pub fn is_fua(&self) -> bool {
        self.raw().flags & sys::HVS_BLK_FUA != 0
    }

    /// Write zeroes: the range may be unmapped if it then reads as zeros.
    pub fn may_unmap(&self) -> bool {
        self.raw().flags & sys::HVS_BLK_MAY_UNMAP != 0
    }

    /// The guest's memory that is read into or written from; none for other requests.
    pub fn data(&self) -> GuestBytes<'_> {
        let r = self.raw();
        // SAFETY: mapped until it is completed; only a read may write there.
        unsafe { GuestBytes::new(r.iov, r.iovcnt as usize, r.op == sys::HVS_BLK_READ) }
    }

    /// Which one it is.
    pub fn id(&self) -> RequestId {
        RequestId(self.raw.as_ptr() as usize)
    }

    /// It has been done, or has failed.
    pub fn complete(self, result: std::result::Result<(), BlockError>) {
        self.end(result.map_or_else(BlockError::to_c, |()| sys::HVS_BLK_OK));
    }

    /// Answers [`BlockOp::LbaStatus`]: `len` bytes from the offset on are alike.
    pub fn complete_lba_status(mut self, len: u64, unmapped: bool) {
        // SAFETY: it is ours.
        let r = unsafe { self.raw.as_mut() };
        r.extent_len = len;
        r.extent_unmapped = unmapped;
        self.end(sys::HVS_BLK_OK);
    }

    fn end(self, status: sys::hvs_blk_status) {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.finish(status);
        // SAFETY: not used again.
        unsafe { std::ptr::drop_in_place(&mut this.shared) };
    }

    fn finish(&mut self, status: sys::hvs_blk_status) {
        let _inside = self.shared.gate.enter_always();
        // SAFETY: once: by end(), which forgets it, or by drop().
        unsafe { sys::hvs_blk_complete(self.raw.as_ptr(), status) };
    }
}

impl Drop for BlockRequest {
    fn drop(&mut self) {
        self.finish(sys::HVS_BLK_IO_ERROR);
    }
}

impl fmt::Debug for BlockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes at {}", self.op(), self.len(), self.offset())
    }
}

/// What a disk's data come from and go to. If a method panics, the panic ends there; a request that
/// it had fails.
pub trait BlockBackend: Send + Sync + 'static {
    /// What it is: when the disk is attached, and in
    /// [`Disk::refresh()`](crate::Disk::refresh), when only `num_blocks` and `read_only` may have
    /// changed.
    fn info(&self) -> Result<BlockInfo>;

    /// Starts a request. On the worker it came from; must not block.
    fn submit(&self, request: BlockRequest);

    /// A batch of requests of this queue has ended: start what was only collected.
    fn commit(&self, _queue: u32) {}

    /// The guest wants this request back: complete it soon, with [`BlockError::Aborted`] if it was
    /// not done. It may have been completed meanwhile: then do nothing. Without it the guest, and
    /// whoever removes the disk, waits for the end of the request.
    fn cancel(&self, _id: RequestId) {}
}

/// A back end as the library takes it.
#[doc(hidden)]
pub struct BlockDevice {
    pub(crate) ops: *const sys::hvs_blk_ops,
    pub(crate) raw: *mut c_void,
    pub(crate) keep: Box<dyn Any + Send>,
}

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// What can be a disk: every [`BlockBackend`], and those of the library.
pub trait IntoBlockDevice: Sealed {
    #[doc(hidden)]
    fn into_device(self, shared: &Arc<dyn Any + Send + Sync>) -> Result<BlockDevice>;
}

struct Slot<B> {
    backend: B,
    shared: Arc<Shared>,
    ops: sys::hvs_blk_ops,
}

impl<B: BlockBackend> Sealed for B {}

impl<B: BlockBackend> IntoBlockDevice for B {
    fn into_device(self, shared: &Arc<dyn Any + Send + Sync>) -> Result<BlockDevice> {
        let mut ops = sized!(sys::hvs_blk_ops);
        ops.get_info = Some(get_info::<B>);
        ops.submit = Some(submit::<B>);
        ops.commit = Some(commit::<B>);
        ops.cancel = Some(cancel::<B>);
        let shared = shared.clone().downcast().expect("the bus's");
        let slot = Box::new(Slot { backend: self, shared, ops });
        let raw = &*slot as *const Slot<B>;
        Ok(BlockDevice { ops: &slot.ops, raw: raw as *mut c_void, keep: slot })
    }
}

unsafe fn slot<'a, B>(disk: *mut c_void) -> &'a Slot<B> {
    // SAFETY: into_device() gave it to the library, and it is kept until that is done with it.
    unsafe { &*disk.cast::<Slot<B>>() }
}

unsafe extern "C" fn get_info<B: BlockBackend>(
    disk: *mut c_void,
    info: *mut sys::hvs_blk_info,
) -> c_int {
    // SAFETY: valid during the call.
    let (slot, info) = unsafe { (slot::<B>(disk), &mut *info) };
    guard_status(|| slot.backend.info().map(|i| i.write(info)))
}

unsafe extern "C" fn submit<B: BlockBackend>(disk: *mut c_void, req: *mut sys::hvs_blk_req) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(disk) };
    if let Some(raw) = NonNull::new(req) {
        // Dropped when submit() panics.
        let request = BlockRequest { raw, shared: slot.shared.clone() };
        guard(|| slot.backend.submit(request));
    }
}

unsafe extern "C" fn commit<B: BlockBackend>(disk: *mut c_void, queue: u32) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(disk) };
    guard(|| slot.backend.commit(queue));
}

unsafe extern "C" fn cancel<B: BlockBackend>(disk: *mut c_void, req: *mut sys::hvs_blk_req) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(disk) };
    guard(|| slot.backend.cancel(RequestId(req as usize)));
}

/// A disk in memory, of the library's own.
pub struct MemoryDisk {
    data: Ram,
    raw: sys::hvs_memdisk,
}

// SAFETY: bytes that nobody has references to.
unsafe impl Send for MemoryDisk {}

impl MemoryDisk {
    /// Zeros. `len` is a multiple of 4096, `block_size` 512 or 4096.
    pub fn new(len: usize, block_size: u32) -> Result<Self> {
        let data = Ram::new(len)?;
        let mut raw = sized!(sys::hvs_memdisk);
        raw.data = data.as_ptr().cast();
        raw.len = len as u64;
        raw.block_size = block_size;
        Ok(MemoryDisk { data, raw })
    }

    /// What is on the disk, also while it is used.
    pub fn data(&self) -> Ram {
        self.data.clone()
    }
}

impl Sealed for MemoryDisk {}

impl IntoBlockDevice for MemoryDisk {
    fn into_device(self, _shared: &Arc<dyn Any + Send + Sync>) -> Result<BlockDevice> {
        let disk = Box::new(self);
        let raw = &disk.raw as *const sys::hvs_memdisk;
        // SAFETY: no arguments; a constant.
        let ops = unsafe { sys::hvs_memdisk_ops() };
        Ok(BlockDevice { ops, raw: raw as *mut c_void, keep: disk })
    }
}
