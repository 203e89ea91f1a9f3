// SPDX-License-Identifier: MIT
//! The guest's side, for tests of what you write: a driver that polls, in this process.

use crate::bus::{Bus, BusCore, Driver};
use crate::callback::{guard, sized};
use crate::error::{check, status};
use crate::memory::{copy_from, copy_to, Memory, Ram};
use crate::{Error, Guid, Result, Vp};
use hvstack_sys as sys;
use std::cell::RefCell;
use std::os::raw::{c_int, c_void};
use std::ptr::{null, null_mut, NonNull};
use std::rc::Rc;

const PAGE: usize = 4096;

/// A machine of one VP in plain memory. The host runs when the guest waits, so that everything
/// happens in the same order every time.
pub struct Loopback {
    bus: Bus,
    raw: NonNull<sys::hvs_loopback>,
}

impl Loopback {
    /// With 16 MiB of RAM. [`Error::NoMemory`].
    pub fn new() -> Result<Self> {
        let mut raw = null_mut();
        // SAFETY: valid pointers.
        check(unsafe { sys::hvs_loopback_create(null(), &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        let bus = || {
            // SAFETY: it was just made.
            let (bus, mem) = unsafe {
                (sys::hvs_loopback_bus(raw.as_ptr()), sys::hvs_loopback_mem(raw.as_ptr()))
            };
            Bus::driven(bus, Driver::Loopback(raw), Memory::borrowed(mem)?)
        };
        match bus() {
            Ok(bus) => Ok(Loopback { bus, raw }),
            Err(err) => {
                // SAFETY: nobody has it.
                unsafe { sys::hvs_loopback_destroy(raw.as_ptr()) };
                Err(err)
            }
        }
    }

    /// To offer devices on.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Starts the bus and makes the guest end. [`Error::Busy`]: done before.
    pub fn start(&self) -> Result<Guest> {
        let mut raw = null_mut();
        // SAFETY: valid pointers.
        check(unsafe { sys::hvs_loopback_start(self.raw.as_ptr(), &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        let owner = Owner::Loopback { raw: self.raw, _bus: self.bus.0.clone() };
        Ok(Guest(Rc::new(GuestCore { raw, owner })))
    }

    /// Lets the host run until it is idle.
    pub fn run(&self) {
        // SAFETY: not from inside the host, which has no reference to this.
        unsafe { sys::hvs_loopback_run(self.raw.as_ptr()) };
        self.bus.0.retry();
    }

    /// Protocol violations of the guest's that were reported.
    pub fn faults(&self) -> u64 {
        // SAFETY: it lives as long as the bus.
        unsafe { (*sys::hvs_loopback_count(self.raw.as_ptr())).faults }
    }
}

/// A guest's RAM and processor, for [`Guest::new()`].
struct Platform {
    vp: Vp,
    ram: Ram,
    gpa: u64,
    used: Vec<bool>,
    wait: Box<dyn FnMut()>,
}

impl Platform {
    fn alloc(&mut self, count: usize) -> Option<(*mut u8, u64)> {
        let mut free = 0;
        for i in 0..self.used.len() {
            free = if self.used[i] { 0 } else { free + 1 };
            if free == count {
                let first = i + 1 - count;
                self.used[first..=i].iter_mut().for_each(|used| *used = true);
                self.ram.write(first * PAGE, &vec![0; count * PAGE]).ok()?;
                // SAFETY: inside the RAM.
                let at = unsafe { self.ram.as_ptr().add(first * PAGE) };
                return Some((at, self.gpa + (first * PAGE) as u64));
            }
        }
        None
    }

    fn free(&mut self, pages: *mut u8, count: usize) {
        let first = (pages as usize - self.ram.as_ptr() as usize) / PAGE;
        self.used[first..first + count].iter_mut().for_each(|used| *used = false);
    }
}

type Shared = RefCell<Platform>;

/// # Safety
///
/// `pf` is what Guest::new() gave to the library.
unsafe fn platform<R>(pf: *mut c_void, f: impl FnOnce(&mut Platform) -> R) -> Option<R> {
    // SAFETY: it lives as long as the guest end.
    let platform = unsafe { &*pf.cast::<Shared>() };
    guard(|| f(&mut platform.borrow_mut()))
}

unsafe extern "C" fn msr_read(pf: *mut c_void, msr: u32, value: *mut u64) -> c_int {
    // SAFETY: valid during the call.
    let read = unsafe { platform(pf, |p| p.vp.msr_read(msr)) };
    status(read.unwrap_or(Err(Error::Io)).map(|v| {
        // SAFETY: a place for it.
        unsafe { *value = v }
    }))
}

unsafe extern "C" fn msr_write(pf: *mut c_void, msr: u32, value: u64) -> c_int {
    // SAFETY: valid during the call.
    let written = unsafe { platform(pf, |p| p.vp.msr_write(msr, value, true)) };
    status(written.unwrap_or(Err(Error::Io)))
}

unsafe extern "C" fn hypercall(pf: *mut c_void, input: u64, a: u64, b: u64) -> u64 {
    // SAFETY: valid during the call.
    unsafe { platform(pf, |p| p.vp.hypercall(input, a, b)) }
        .unwrap_or(u64::from(sys::HVS_HV_STATUS_INVALID_HYPERCALL_INPUT))
}

unsafe extern "C" fn alloc_pages(pf: *mut c_void, count: usize, gpa: *mut u64) -> *mut c_void {
    // SAFETY: valid during the call.
    match unsafe { platform(pf, |p| p.alloc(count)) } {
        Some(Some((pages, at))) => {
            // SAFETY: a place for it.
            unsafe { *gpa = at };
            pages.cast()
        }
        _ => null_mut(),
    }
}

unsafe extern "C" fn free_pages(pf: *mut c_void, pages: *mut c_void, count: usize) {
    // SAFETY: valid during the call.
    unsafe { platform(pf, |p| p.free(pages.cast(), count)) };
}

unsafe extern "C" fn wait(pf: *mut c_void) {
    // SAFETY: valid during the call.
    unsafe { platform(pf, |p| (p.wait)()) };
}

enum Owner {
    /// Its guest end is destroyed with it.
    Loopback {
        raw: NonNull<sys::hvs_loopback>,
        _bus: Rc<BusCore>,
    },
    Own(Box<Shared>),
}

struct GuestCore {
    raw: NonNull<sys::hvs_guest>,
    owner: Owner,
}

impl Drop for GuestCore {
    fn drop(&mut self) {
        if let Owner::Own(_) = self.owner {
            // SAFETY: its channels have kept it until now.
            unsafe { sys::hvs_guest_destroy(self.raw.as_ptr()) };
        }
    }
}

/// The guest end of VMBus. One thread.
pub struct Guest(Rc<GuestCore>);

/// A device that the guest was offered.
#[derive(Clone, Copy, Debug)]
pub struct GuestOffer {
    /// Which driver binds.
    pub class_id: Guid,
    /// Which device it is.
    pub instance_id: Guid,
    index: u32,
}

impl Guest {
    /// On a VP. `ram` is all there is from guest physical address `gpa` on. `wait` is called when
    /// there is nothing to do until the host has acted: for an interrupt, or some milliseconds.
    ///
    /// [`Error::Io`] (no such hypervisor), [`Error::NoMemory`].
    pub fn new(vp: Vp, ram: Ram, gpa: u64, wait_for_host: impl FnMut() + 'static) -> Result<Self> {
        let used = vec![false; ram.len() / PAGE];
        let platform = Platform { vp, ram, gpa, used, wait: Box::new(wait_for_host) };
        let platform: Box<Shared> = Box::new(RefCell::new(platform));
        let mut ops = sized!(sys::hvs_guest_ops);
        ops.msr_read = Some(msr_read);
        ops.msr_write = Some(msr_write);
        ops.hypercall = Some(hypercall);
        ops.alloc_pages = Some(alloc_pages);
        ops.free_pages = Some(free_pages);
        ops.wait = Some(wait);
        let pf = &*platform as *const Shared as *mut c_void;
        let mut raw = null_mut();
        // SAFETY: valid pointers; the platform lives as long as the guest end.
        check(unsafe { sys::hvs_guest_create(null(), &ops, pf, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        Ok(Guest(Rc::new(GuestCore { raw, owner: Owner::Own(platform) })))
    }

    fn raw(&self) -> *mut sys::hvs_guest {
        self.0.raw.as_ptr()
    }

    /// Connects with a version, (major << 16) | minor, and asks what there is.
    ///
    /// `EPROTONOSUPPORT`, [`Error::TimedOut`], [`Error::Io`].
    pub fn connect(&mut self, version: u32) -> Result<Vec<GuestOffer>> {
        // SAFETY: on its thread.
        unsafe {
            check(sys::hvs_guest_connect(self.raw(), version))?;
            check(sys::hvs_guest_request_offers(self.raw()))?;
        }
        Ok(self.offers())
    }

    /// What there is now.
    pub fn offers(&self) -> Vec<GuestOffer> {
        let offer = |index| {
            // SAFETY: valid until the next offer arrives.
            let offer = unsafe { sys::hvs_guest_offer_at(self.raw(), index).as_ref() }?;
            Some(GuestOffer {
                class_id: Guid::from_wire(offer.class_id.b),
                instance_id: Guid::from_wire(offer.instance_id.b),
                index,
            })
        };
        (0..).map_while(offer).collect()
    }

    /// Disconnects: everything is given back. [`Error::TimedOut`], [`Error::Io`].
    pub fn unload(&mut self) -> Result<()> {
        // SAFETY: on its thread.
        check(unsafe { sys::hvs_guest_unload(self.raw()) }).map(drop)
    }

    /// Opens a channel, with rings of 64 KiB.
    ///
    /// [`Error::NotFound`] (the offer), [`Error::Remote`] (refused), [`Error::NoMemory`],
    /// [`Error::TimedOut`], [`Error::Io`].
    pub fn open(&mut self, offer: &GuestOffer) -> Result<GuestChannel> {
        let mut raw = null_mut();
        // SAFETY: on its thread.
        unsafe {
            let offer = sys::hvs_guest_offer_at(self.raw(), offer.index);
            if offer.is_null() {
                return Err(Error::NotFound);
            }
            check(sys::hvs_guest_channel_open(self.raw(), offer, 64 << 10, &mut raw))?;
        }
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        Ok(GuestChannel { raw, guest: self.0.clone() })
    }

    /// Pages of the guest's, zeroed. [`Error::NoMemory`].
    pub fn alloc(&mut self, pages: usize) -> Result<GuestPages> {
        let mut gpa = 0;
        let start = match &self.0.owner {
            // SAFETY: on its thread.
            Owner::Loopback { raw: lb, .. } => unsafe {
                sys::hvs_loopback_alloc_pages(lb.as_ptr(), pages, &mut gpa)
            },
            Owner::Own(platform) => match platform.borrow_mut().alloc(pages) {
                Some((start, at)) => {
                    gpa = at;
                    start.cast()
                }
                None => null_mut(),
            },
        };
        let start = NonNull::new(start.cast()).ok_or(Error::NoMemory)?;
        Ok(GuestPages { start, gpa, pages, guest: self.0.clone() })
    }
}

/// Pages of a guest.
pub struct GuestPages {
    start: NonNull<u8>,
    gpa: u64,
    pages: usize,
    guest: Rc<GuestCore>,
}

impl GuestPages {
    /// Where they are for devices.
    pub fn gpa(&self) -> u64 {
        self.gpa
    }

    /// Copies out of them. [`Error::OutOfRange`].
    pub fn read(&self, to: &mut [u8]) -> Result<()> {
        if to.len() > self.pages * PAGE {
            return Err(Error::OutOfRange);
        }
        // SAFETY: checked.
        unsafe { copy_from(self.start.as_ptr(), to) };
        Ok(())
    }

    /// Copies into them. [`Error::OutOfRange`].
    pub fn write(&mut self, from: &[u8]) -> Result<()> {
        if from.len() > self.pages * PAGE {
            return Err(Error::OutOfRange);
        }
        // SAFETY: checked.
        unsafe { copy_to(self.start.as_ptr(), from) };
        Ok(())
    }
}

impl Drop for GuestPages {
    fn drop(&mut self) {
        match &self.guest.owner {
            // SAFETY: as they were allocated.
            Owner::Loopback { raw: lb, .. } => unsafe {
                let start = self.start.as_ptr().cast();
                sys::hvs_loopback_free_pages(lb.as_ptr(), start, self.pages);
            },
            Owner::Own(p) => p.borrow_mut().free(self.start.as_ptr(), self.pages),
        }
    }
}

/// How a SCSI command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiResult {
    /// 1: success.
    pub srb_status: u8,
    /// SCSI's own.
    pub scsi_status: u8,
    /// Sense data.
    pub sense: Vec<u8>,
    /// Bytes.
    pub transferred: u32,
}

impl ScsiResult {
    /// It was done.
    pub fn is_ok(&self) -> bool {
        self.srb_status == 1 && self.scsi_status == 0
    }
}

/// Which way data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    In,
    /// To the device.
    Out,
}

/// A packet that the guest has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPacket {
    /// Of the packet that it completes, if it does.
    pub xid: u64,
    /// The payload.
    pub data: Vec<u8>,
}

/// An open channel of a guest's. It is closed when it is dropped.
pub struct GuestChannel {
    raw: NonNull<sys::hvs_guest_channel>,
    guest: Rc<GuestCore>,
}

impl GuestChannel {
    /// For functions of `hvstack-sys`.
    pub fn as_ptr(&self) -> *mut sys::hvs_guest_channel {
        self.raw.as_ptr()
    }

    /// Leaves it open, for functions of `hvstack-sys` that close it; or goes with the guest.
    pub fn into_ptr(self) -> *mut sys::hvs_guest_channel {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: it is let go of once.
        drop(unsafe { std::ptr::read(&this.guest) });
        this.raw.as_ptr()
    }

    /// Closes it, and says whether the host has answered.
    pub fn close(self) -> Result<()> {
        let _guest = self.guest.clone();
        // SAFETY: it is not used again.
        check(unsafe { sys::hvs_guest_channel_close(self.into_ptr()) }).map(drop)
    }

    /// Sends a packet, with `len` bytes of guest memory at `gpa` (0: none), and waits for the next
    /// one from the host. [`Error::WouldBlock`], [`Error::TooLarge`], [`Error::TimedOut`],
    /// [`Error::Protocol`].
    pub fn request(
        &mut self,
        xid: u64,
        data: &[u8],
        pages: Option<(&GuestPages, u32)>,
    ) -> Result<GuestPacket> {
        let (gpa, len) = pages.map_or((0, 0), |(p, len)| (p.gpa(), len));
        let buffer = sys::hvs_guest_buffer { gpa, len };
        let iov = sys::iovec { iov_base: data.as_ptr() as *mut c_void, iov_len: data.len() };
        // SAFETY: numbers and pointers.
        let mut packet: sys::hvs_guest_packet = unsafe { std::mem::zeroed() };
        // SAFETY: on its thread; the packet is valid until the next receive.
        unsafe {
            check(sys::hvs_guest_send(self.as_ptr(), xid, true, &buffer, &iov, 1))?;
            sys::hvs_guest_flush(self.as_ptr());
            check(sys::hvs_guest_recv_wait(self.as_ptr(), &mut packet))?;
            let data = match packet.len {
                0 => Vec::new(),
                len => std::slice::from_raw_parts(packet.data.cast(), len as usize).to_vec(),
            };
            Ok(GuestPacket { xid: packet.xid, data })
        }
    }

    /// Negotiates with a storage controller. [`Error::Remote`], [`Error::TimedOut`],
    /// [`Error::Protocol`].
    pub fn init_storage(&mut self) -> Result<()> {
        let mut max = 0;
        // SAFETY: on its thread.
        check(unsafe { sys::hvs_guest_stor_init(self.as_ptr(), 0x602, &mut max) }).map(drop)
    }

    fn scsi(
        lun: u8,
        cdb: &[u8],
        data: Option<(Direction, &GuestPages, u32)>,
    ) -> Result<sys::hvs_guest_scsi> {
        // SAFETY: numbers.
        let mut c: sys::hvs_guest_scsi = unsafe { std::mem::zeroed() };
        c.lun = lun;
        c.cdb_len = cdb.len() as u8;
        c.cdb.get_mut(..cdb.len()).ok_or(Error::TooLarge)?.copy_from_slice(cdb);
        c.direction = sys::HVS_GUEST_STOR_NONE as u8;
        if let Some((direction, pages, len)) = data {
            c.direction = match direction {
                Direction::In => sys::HVS_GUEST_STOR_IN as u8,
                Direction::Out => sys::HVS_GUEST_STOR_OUT as u8,
            };
            c.buffer = sys::hvs_guest_buffer { gpa: pages.gpa(), len };
        }
        Ok(c)
    }

    /// Sends a SCSI command. [`Error::WouldBlock`], [`Error::TooLarge`], [`Error::Protocol`].
    pub fn submit_scsi(
        &mut self,
        xid: u64,
        lun: u8,
        cdb: &[u8],
        data: Option<(Direction, &GuestPages, u32)>,
    ) -> Result<()> {
        let c = Self::scsi(lun, cdb, data)?;
        // SAFETY: on its thread.
        unsafe {
            check(sys::hvs_guest_stor_submit(self.as_ptr(), xid, &c))?;
            sys::hvs_guest_flush(self.as_ptr());
        }
        Ok(())
    }

    /// A command that has ended. [`Error::Protocol`].
    pub fn reap_scsi(&mut self) -> Result<Option<(u64, ScsiResult)>> {
        let mut xid = 0;
        // SAFETY: numbers.
        let mut c: sys::hvs_guest_scsi_result = unsafe { std::mem::zeroed() };
        // SAFETY: on its thread.
        let there = check(unsafe { sys::hvs_guest_stor_reap(self.as_ptr(), &mut xid, &mut c) })?;
        Ok((there > 0).then(|| (xid, result(&c))))
    }

    /// Sends a SCSI command and waits for it; no other may be under way. [`Error::TimedOut`],
    /// [`Error::Protocol`].
    pub fn execute_scsi(
        &mut self,
        lun: u8,
        cdb: &[u8],
        data: Option<(Direction, &GuestPages, u32)>,
    ) -> Result<ScsiResult> {
        let c = Self::scsi(lun, cdb, data)?;
        // SAFETY: numbers.
        let mut r: sys::hvs_guest_scsi_result = unsafe { std::mem::zeroed() };
        // SAFETY: on its thread.
        check(unsafe { sys::hvs_guest_stor_execute(self.as_ptr(), &c, &mut r) })?;
        Ok(result(&r))
    }
}

fn result(c: &sys::hvs_guest_scsi_result) -> ScsiResult {
    ScsiResult {
        srb_status: c.srb_status,
        scsi_status: c.scsi_status,
        sense: c.sense[..usize::from(c.sense_len).min(c.sense.len())].to_vec(),
        transferred: c.transferred,
    }
}

impl Drop for GuestChannel {
    fn drop(&mut self) {
        // SAFETY: once. A host that does not answer has lost it, too.
        let _ = unsafe { sys::hvs_guest_channel_close(self.raw.as_ptr()) };
    }
}
