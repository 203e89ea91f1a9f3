// SPDX-License-Identifier: MIT
use crate::callback::lock;
use crate::error::check;
use crate::{Error, Result};
use hvstack_sys as sys;
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::os::raw::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

const PAGE: usize = 4096;

/// Copies from memory that somebody else may be writing to.
///
/// # Safety
///
/// `from` is mapped for `to.len()` bytes.
pub(crate) unsafe fn copy_from(from: *const u8, to: &mut [u8]) {
    const WORD: usize = std::mem::size_of::<u64>();
    let mut i = 0;
    while i < to.len() {
        // SAFETY: below the length; the word is aligned.
        unsafe {
            let at = from.add(i);
            if at as usize % WORD == 0 && to.len() - i >= WORD {
                let word = at.cast::<u64>().read_volatile();
                to[i..i + WORD].copy_from_slice(&word.to_ne_bytes());
                i += WORD;
            } else {
                to[i] = at.read_volatile();
                i += 1;
            }
        }
    }
}

/// Copies to memory that somebody else may be looking at.
///
/// # Safety
///
/// `to` is mapped, to be written to, for `from.len()` bytes.
pub(crate) unsafe fn copy_to(to: *mut u8, from: &[u8]) {
    const WORD: usize = std::mem::size_of::<u64>();
    let mut i = 0;
    while i < from.len() {
        // SAFETY: below the length; the word is aligned.
        unsafe {
            let at = to.add(i);
            if at as usize % WORD == 0 && from.len() - i >= WORD {
                let mut word = [0; WORD];
                word.copy_from_slice(&from[i..i + WORD]);
                at.cast::<u64>().write_volatile(u64::from_ne_bytes(word));
                i += WORD;
            } else {
                at.write_volatile(from[i]);
                i += 1;
            }
        }
    }
}

struct Allocation {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: bytes that everybody accesses as volatile.
unsafe impl Send for Allocation {}
unsafe impl Sync for Allocation {}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: as it was allocated.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Zeroed, page-aligned memory to be RAM of a guest. The guest can change it at any time: there are
/// copies out of it and into it, and no references. Clones are the same memory.
#[derive(Clone)]
pub struct Ram(Arc<Allocation>);

impl Ram {
    /// `len` bytes, a multiple of 4096.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 || len % PAGE != 0 {
            return Err(Error::Invalid);
        }
        let layout = Layout::from_size_align(len, PAGE).map_err(|_| Error::Invalid)?;
        // SAFETY: the length is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error::NoMemory)?;
        Ok(Ram(Arc::new(Allocation { start, layout })))
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.layout.size()
    }

    fn at(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if offset > self.len() || len > self.len() - offset {
            return Err(Error::OutOfRange);
        }
        // SAFETY: inside the allocation.
        Ok(unsafe { self.0.start.as_ptr().add(offset) })
    }

    /// Copies out of it.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let from = self.at(offset, to.len())?;
        // SAFETY: checked.
        unsafe { copy_from(from, to) };
        Ok(())
    }

    /// Copies into it.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        let to = self.at(offset, from.len())?;
        // SAFETY: checked.
        unsafe { copy_to(to, from) };
        Ok(())
    }

    /// Where it is in this process, to be mapped into a VM.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.start.as_ptr()
    }
}

/// What devices may do with a range of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// ROM.
    Read,
    /// RAM.
    ReadWrite,
}

pub(crate) struct MemoryCore {
    raw: NonNull<sys::hvs_mem>,
    /// hvs_kvm's and the loopback's own memory is not ours.
    owned: bool,
    regions: Mutex<Vec<Ram>>,
}

// SAFETY: the library looks at it from any thread; additions take the lock.
unsafe impl Send for MemoryCore {}
unsafe impl Sync for MemoryCore {}

impl Drop for MemoryCore {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: what was created with it has kept it until now.
            unsafe { sys::hvs_mem_destroy(self.raw.as_ptr()) };
        }
    }
}

/// RAM of a virtual machine, as the library may touch it. Clones are the same memory.
#[derive(Clone)]
pub struct Memory(pub(crate) Arc<MemoryCore>);

impl Memory {
    /// Without any RAM.
    pub fn new() -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: valid pointers.
        check(unsafe { sys::hvs_mem_create(std::ptr::null(), &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        Ok(Memory(Arc::new(MemoryCore { raw, owned: true, regions: Mutex::default() })))
    }

    /// Memory that something else owns, which outlives what this returns.
    #[cfg(any(feature = "host", feature = "guest"))]
    pub(crate) fn borrowed(raw: *mut sys::hvs_mem) -> Result<Self> {
        let raw = NonNull::new(raw).ok_or(Error::Invalid)?;
        Ok(Memory(Arc::new(MemoryCore { raw, owned: false, regions: Mutex::default() })))
    }

    /// Registers RAM at guest physical address `gpa`. From any thread.
    ///
    /// [`Error::Invalid`] (alignment, wrap-around), [`Error::Exists`] (overlaps), [`Error::NoMemory`].
    pub fn add(&self, gpa: u64, ram: &Ram, access: Access) -> Result<()> {
        let mut regions = lock(&self.0.regions);
        // SAFETY: `regions` keeps it.
        unsafe { self.add_locked(gpa, ram.len() as u64, ram.as_ptr().cast(), access)? };
        regions.push(ram.clone());
        Ok(())
    }

    /// Registers memory that is mapped by somebody else. As [`Memory::add()`].
    ///
    /// # Safety
    ///
    /// `hva` stays mapped for `len` bytes as long as this memory and everything made with it, and
    /// there are no references to any of these bytes in Rust.
    pub unsafe fn add_mapping(
        &self,
        gpa: u64,
        len: u64,
        hva: *mut u8,
        access: Access,
    ) -> Result<()> {
        let _regions = lock(&self.0.regions);
        // SAFETY: as the caller says.
        unsafe { self.add_locked(gpa, len, hva.cast(), access) }
    }

    unsafe fn add_locked(
        &self,
        gpa: u64,
        len: u64,
        hva: *mut c_void,
        access: Access,
    ) -> Result<()> {
        let access = match access {
            Access::Read => sys::HVS_READ,
            Access::ReadWrite => sys::HVS_RDWR,
        };
        // SAFETY: as the caller says.
        check(unsafe { sys::hvs_mem_add(self.raw(), gpa, len, hva, access) }).map(drop)
    }

    pub(crate) fn raw(&self) -> *mut sys::hvs_mem {
        self.0.raw.as_ptr()
    }
}

/// Guest memory of a request: several pieces, in order. The guest can change the bytes at any time,
/// so they can be moved, and not borrowed.
#[derive(Clone, Copy)]
pub struct GuestBytes<'a> {
    pieces: &'a [sys::iovec],
    writable: bool,
}

impl<'a> GuestBytes<'a> {
    /// # Safety
    ///
    /// The pieces are mapped, to be written to if `writable`, as long as 'a.
    pub(crate) unsafe fn new(iov: *const sys::iovec, count: usize, writable: bool) -> Self {
        let pieces = if count == 0 {
            &[]
        } else {
            // SAFETY: as the caller says.
            unsafe { std::slice::from_raw_parts(iov, count) }
        };
        GuestBytes { pieces, writable }
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|p| p.iov_len).sum()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the pieces are, for system calls such as `preadv`.
    pub fn pieces(&self) -> impl Iterator<Item = (*mut u8, usize)> + 'a {
        self.pieces.iter().map(|p| (p.iov_base.cast(), p.iov_len))
    }

    /// Calls `f` with each piece of `len` bytes from `offset` on, and how far it is from there.
    fn walk(
        &self,
        offset: usize,
        len: usize,
        mut f: impl FnMut(*mut u8, usize, usize),
    ) -> Result<()> {
        if offset > self.len() || len > self.len() - offset {
            return Err(Error::OutOfRange);
        }
        let (mut skip, mut done) = (offset, 0);
        for (start, bytes) in self.pieces() {
            if skip >= bytes {
                skip -= bytes;
                continue;
            }
            let part = (bytes - skip).min(len - done);
            if part == 0 {
                break;
            }
            // SAFETY: inside the piece.
            f(unsafe { start.add(skip) }, part, done);
            done += part;
            skip = 0;
        }
        Ok(())
    }

    /// Copies out, from `offset` on. [`Error::OutOfRange`].
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        self.walk(offset, to.len(), |start, len, at| {
            // SAFETY: mapped, as new() was told.
            unsafe { copy_from(start, &mut to[at..at + len]) };
        })
    }

    /// Copies in, from `offset` on. [`Error::OutOfRange`]; [`Error::Fault`]: not to be written to.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        if !self.writable {
            return Err(Error::Fault);
        }
        self.walk(offset, from.len(), |start, len, at| {
            // SAFETY: mapped, as new() was told.
            unsafe { copy_to(start, &from[at..at + len]) };
        })
    }

    /// A copy of all of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.len()];
        // It is as long as that.
        let _ = self.read(0, &mut copy);
        copy
    }
}
