// SPDX-License-Identifier: MIT
//! Devices of your own.

use crate::bus::{Bus, BusCore, Gate, Worker};
use crate::callback::{guard, sized};
use crate::error::check;
use crate::memory::GuestBytes;
use crate::storage::AsSlice;
use crate::{Error, Guid, Result};
use hvstack_sys as sys;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_uint, c_void};
use std::ptr::{null_mut, NonNull};
use std::rc::Rc;
use std::sync::Arc;

/// What a device is to the guest.
#[derive(Default)]
pub struct Offer<'a> {
    /// Which driver binds.
    pub class_id: Guid,
    /// Unique on the bus, and stable.
    pub instance_id: Guid,
    /// A named pipe in message mode: a packet is one message of any length.
    pub pipe: bool,
    /// Largest packet that is accepted; 0: 4096.
    pub max_packet_bytes: u32,
    /// Where it runs; `None`: on the bus's own.
    pub worker: Option<&'a Worker>,
}

/// What the guest asked for when it opened a channel.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OpenParams {
    /// Bytes of the ring to the guest.
    pub send_ring_bytes: u32,
    /// Bytes of the ring from it.
    pub recv_ring_bytes: u32,
    /// What its driver has put there.
    pub user_data: [u8; 120],
}

/// A device of your own: what it does with its channel. All on its worker, one at a time. If a
/// method panics, the panic ends there; the channel is of no use until the guest opens it again.
pub trait Device: Send + Sync + 'static {
    /// What it knows of an open channel.
    type State: Send + 'static;

    /// The guest opens the channel. Nothing may be sent yet. An error refuses.
    fn open(&self, kick: Kick, params: &OpenParams) -> Result<Self::State>;

    /// The guest may have sent something, there may be room again, or [`Kick::kick()`] was called.
    /// Handle about `budget` packets; return whether that has ended it, and more is to be done.
    fn ready(&self, state: &mut Self::State, channel: &mut Channel<'_>, budget: u32) -> bool;

    /// The guest has closed the channel.
    fn close(&self, _state: Self::State) {}
}

/// Has a channel's `ready()` called soon, from any thread. It does not keep the channel.
#[derive(Clone)]
pub struct Kick(Arc<KickShared>);

struct KickShared {
    raw: *mut sys::hvs_channel,
    gate: Gate,
}

// SAFETY: any thread may kick, while the gate is open.
unsafe impl Send for KickShared {}
unsafe impl Sync for KickShared {}

impl Kick {
    /// Nothing happens if the channel is closed.
    pub fn kick(&self) {
        if let Some(_inside) = self.0.gate.enter() {
            // SAFETY: the channel is open.
            unsafe { sys::hvs_channel_kick(self.0.raw) };
        }
    }
}

/// A channel, in a callback of its worker.
pub struct Channel<'a> {
    raw: *mut sys::hvs_channel,
    _on_this_thread: PhantomData<(&'a (), *mut ())>,
}

fn iov(data: &[u8]) -> sys::iovec {
    sys::iovec { iov_base: data.as_ptr() as *mut c_void, iov_len: data.len() }
}

impl Channel<'_> {
    /// The next packet. [`Error::Protocol`], [`Error::Shutdown`]: the channel is of no use any more.
    pub fn recv(&mut self) -> Result<Option<Packet<'_>>> {
        let mut packet = std::ptr::null();
        // SAFETY: on the channel's worker.
        let there = check(unsafe { sys::hvs_channel_recv(self.raw, &mut packet) })? > 0;
        // SAFETY: valid until the next call, which needs `self`.
        Ok(if there { Some(Packet(unsafe { &*packet })) } else { None })
    }

    /// Queues a packet, to be seen by the guest after [`Channel::flush()`].
    ///
    /// [`Error::WouldBlock`] (no room; `ready()` is called when there is), [`Error::TooLarge`]
    /// (never), [`Error::Protocol`], [`Error::Shutdown`].
    pub fn send(&mut self, xid: u64, wants_completion: bool, data: &[u8]) -> Result<()> {
        // SAFETY: on the channel's worker; the data are copied.
        check(unsafe { sys::hvs_channel_send(self.raw, xid, wants_completion, &iov(data), 1) })
            .map(drop)
    }

    /// Queues the completion of a packet. As [`Channel::send()`].
    pub fn complete(&mut self, xid: u64, data: &[u8]) -> Result<()> {
        // SAFETY: as above.
        check(unsafe { sys::hvs_channel_complete(self.raw, xid, &iov(data), 1) }).map(drop)
    }

    /// Makes all visible to the guest. Also done when `ready()` returns.
    pub fn flush(&mut self) {
        // SAFETY: on the channel's worker.
        unsafe { sys::hvs_channel_flush(self.raw) };
    }

    /// The guest broke the device's protocol: reports it, and stops the channel.
    pub fn fault(&mut self) {
        fault(self.raw, b"device of the VMM\0");
    }
}

fn fault(ch: *mut sys::hvs_channel, place: &'static [u8]) {
    // SAFETY: on the channel's worker; a static string with its NUL.
    unsafe { sys::hvs_channel_fault(ch, place.as_ptr().cast()) };
}

/// A packet: a copy of the guest's bytes, and guest memory that it names.
pub struct Packet<'a>(&'a sys::hvs_packet);

impl<'a> Packet<'a> {
    /// To be given to [`Channel::complete()`].
    pub fn xid(&self) -> u64 {
        self.0.xid
    }

    /// The guest waits for a completion.
    pub fn wants_completion(&self) -> bool {
        self.0.wants_completion
    }

    /// The payload.
    pub fn data(&self) -> &'a [u8] {
        if self.0.len == 0 {
            return &[];
        }
        // SAFETY: a private copy, valid as long as the packet.
        unsafe { std::slice::from_raw_parts(self.0.data.cast(), self.0.len as usize) }
    }

    /// The guest memory it names.
    pub fn extents(&self) -> Option<Extents<'a>> {
        NonNull::new(self.0.extents as *mut _).map(|raw| Extents { raw, _packet: PhantomData })
    }
}

/// Guest memory that a packet names. The guest can change it at any time.
pub struct Extents<'a> {
    raw: NonNull<sys::hvs_extents>,
    _packet: PhantomData<&'a ()>,
}

impl<'a> Extents<'a> {
    /// Bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        // SAFETY: valid as long as the packet.
        unsafe { sys::hvs_extents_len(self.raw.as_ptr()) }
    }

    /// Copies out. [`Error::OutOfRange`], [`Error::Fault`] (not RAM).
    pub fn read(&self, offset: u32, to: &mut [u8]) -> Result<()> {
        let len = u32::try_from(to.len()).map_err(|_| Error::OutOfRange)?;
        let to = to.as_mut_ptr().cast();
        // SAFETY: as above.
        check(unsafe { sys::hvs_extents_read(self.raw.as_ptr(), offset, to, len) }).map(drop)
    }

    /// Copies in. [`Error::OutOfRange`], [`Error::Fault`] (not RAM, or not to be written to).
    pub fn write(&self, offset: u32, from: &[u8]) -> Result<()> {
        let len = u32::try_from(from.len()).map_err(|_| Error::OutOfRange)?;
        let from = from.as_ptr().cast();
        // SAFETY: as above.
        check(unsafe { sys::hvs_extents_write(self.raw.as_ptr(), offset, from, len) }).map(drop)
    }

    /// Where `len` bytes from `offset` on are, without a copy. [`Error::Invalid`] (`len` is 0),
    /// [`Error::OutOfRange`], [`Error::Fault`], [`Error::NoMemory`].
    pub fn map(&self, offset: u32, len: u32, writable: bool) -> Result<GuestMap<'a>> {
        let access = if writable { sys::HVS_WRITE } else { sys::HVS_READ };
        let mut raw = null_mut();
        // SAFETY: as above.
        check(unsafe { sys::hvs_extents_map(self.raw.as_ptr(), offset, len, access, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or(Error::NoMemory)?;
        Ok(GuestMap { raw, writable, _packet: PhantomData })
    }
}

/// Guest memory that is mapped.
pub struct GuestMap<'a> {
    raw: NonNull<sys::hvs_map>,
    writable: bool,
    _packet: PhantomData<(&'a (), *mut ())>,
}

impl GuestMap<'_> {
    /// Its bytes.
    pub fn data(&self) -> GuestBytes<'_> {
        let mut count: c_uint = 0;
        // SAFETY: valid until hvs_map_put().
        unsafe {
            let iov = sys::hvs_map_iov(self.raw.as_ptr(), &mut count);
            GuestBytes::new(iov, count as usize, self.writable)
        }
    }
}

impl Drop for GuestMap<'_> {
    fn drop(&mut self) {
        // SAFETY: once, in the callback that has made it.
        unsafe { sys::hvs_map_put(self.raw.as_ptr()) };
    }
}

struct Open<D: Device> {
    device: *const D,
    kick: Kick,
    state: Option<D::State>,
}

unsafe extern "C" fn open<D: Device>(
    dev: *mut c_void,
    ch: *mut sys::hvs_channel,
    params: *const sys::hvs_open_params,
    ctx: *mut *mut c_void,
) -> c_int {
    // SAFETY: valid during the call.
    let (device, p) = unsafe { (&*dev.cast::<D>(), &*params) };
    let params = OpenParams {
        send_ring_bytes: p.send_ring_bytes,
        recv_ring_bytes: p.recv_ring_bytes,
        user_data: p.user_data,
    };
    let kick = Kick(Arc::new(KickShared { raw: ch, gate: Gate::default() }));
    let state = guard(|| device.open(kick.clone(), &params)).unwrap_or(Err(Error::Io));
    match state {
        Ok(state) => {
            let open = Box::new(Open { device, kick, state: Some(state) });
            // SAFETY: a place for it; close() takes it.
            unsafe { *ctx = Box::into_raw(open).cast() };
            0
        }
        Err(err) => {
            kick.0.gate.close();
            err.to_c()
        }
    }
}

unsafe extern "C" fn ready<D: Device>(
    ch: *mut sys::hvs_channel,
    ctx: *mut c_void,
    budget: c_uint,
) -> bool {
    // SAFETY: of open(), one call at a time.
    let open = unsafe { &mut *ctx.cast::<Open<D>>() };
    let state = match &mut open.state {
        Some(state) => state,
        None => return false,
    };
    // SAFETY: the device lives as long as its channels.
    let device = unsafe { &*open.device };
    let more = guard(|| {
        let mut channel = Channel { raw: ch, _on_this_thread: PhantomData };
        device.ready(state, &mut channel, budget)
    });
    more.unwrap_or_else(|| {
        guard(|| open.state = None);
        fault(ch, b"device of the VMM panicked\0");
        false
    })
}

unsafe extern "C" fn close<D: Device>(ch: *mut sys::hvs_channel, ctx: *mut c_void) {
    // SAFETY: of open(); nothing follows but what hvs_channel_closed() ends.
    let open = unsafe { Box::from_raw(ctx.cast::<Open<D>>()) };
    open.kick.0.gate.close();
    if let Some(state) = open.state {
        // SAFETY: the device lives as long as its channels.
        guard(|| unsafe { &*open.device }.close(state));
    }
    // SAFETY: nothing of it is held any more.
    unsafe { sys::hvs_channel_closed(ch) };
}

unsafe extern "C" fn destroy<D: Device>(dev: *mut c_void) {
    // SAFETY: of new(); nothing follows.
    let device = unsafe { Box::from_raw(dev.cast::<D>()) };
    guard(|| drop(device));
}

/// A device of your own that is offered to the guest. It is taken away when this is dropped.
pub struct OfferedDevice {
    raw: *mut sys::hvs_device,
    _bus: Rc<BusCore>,
}

impl OfferedDevice {
    /// [`Error::Invalid`] (a member is out of range, a worker of another bus), [`Error::Exists`]
    /// (the instance_id), [`Error::NoSpace`] (too many devices), [`Error::NoMemory`].
    pub fn new<D: Device>(bus: &Bus, offer: &Offer<'_>, device: D) -> Result<Self> {
        let worker = bus.own_workers(offer.worker.as_slice_of_refs())?;
        let mut c = sized!(sys::hvs_offer);
        c.class_id = offer.class_id.to_c();
        c.instance_id = offer.instance_id.to_c();
        c.flags = if offer.pipe { sys::HVS_OFFER_PIPE } else { 0 };
        c.max_packet_bytes = offer.max_packet_bytes;
        c.worker = worker.first().copied().unwrap_or(null_mut());
        let mut ops = sized!(sys::hvs_vsp_ops);
        ops.open = Some(open::<D>);
        ops.ready = Some(ready::<D>);
        ops.close = Some(close::<D>);
        ops.destroy = Some(destroy::<D>);
        let device = Box::into_raw(Box::new(device));
        let mut raw = null_mut();
        // SAFETY: valid pointers, on the bus's thread.
        let result =
            check(unsafe { sys::hvs_device_offer(bus.0.raw(), &c, &ops, device.cast(), &mut raw) });
        if let Err(err) = result {
            // SAFETY: it was not taken.
            drop(unsafe { Box::from_raw(device) });
            return Err(err);
        }
        Ok(OfferedDevice { raw, _bus: bus.0.clone() })
    }
}

impl Drop for OfferedDevice {
    fn drop(&mut self) {
        // SAFETY: once, on the bus's thread. destroy() frees the device.
        let _ = unsafe { sys::hvs_device_rescind(self.raw, None, null_mut()) };
    }
}
