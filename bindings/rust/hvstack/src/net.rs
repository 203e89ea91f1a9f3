// SPDX-License-Identifier: MIT
use crate::bus::{Bus, BusCore, Gate, Shared, Worker};
use crate::callback::{self, guard, guard_status, removed, sized};
use crate::error::check;
use crate::memory::GuestBytes;
use crate::storage::AsSlice;
use crate::{Error, Guid, Result};
use hvstack_sys as sys;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_uint, c_void};
use std::ptr::{null_mut, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Arc;

/// What a network back end is. All zero: it does nothing itself, on a link of 10 Gbit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetInfo {
    /// What it does itself with frames from the guest.
    pub offloads: NetFlags,
    /// Largest IP packet; 0: the largest there is.
    pub mtu: u32,
    /// Queues it serves; 0: 1.
    pub max_queues: u32,
    /// Speed of the link; 0: 10 Gbit/s.
    pub bits_per_second: u64,
    /// The link is down at the beginning.
    pub link_down: bool,
}

/// What has still to be done with a frame: `HVS_NET_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetFlags(pub u32);

impl NetFlags {
    /// TCP or UDP checksum.
    pub const CSUM: Self = NetFlags(sys::HVS_NET_CSUM);
    /// To be cut into TCP segments.
    pub const TSO: Self = NetFlags(sys::HVS_NET_TSO);
    /// To be cut into UDP datagrams.
    pub const USO: Self = NetFlags(sys::HVS_NET_USO);
    /// It belongs to a VLAN, and its tag is not among the bytes.
    pub const VLAN: Self = NetFlags(sys::HVS_NET_VLAN);
    /// To the guest: checksums have been checked.
    pub const CSUM_GOOD: Self = NetFlags(sys::HVS_NET_CSUM_GOOD);

    /// All of `other` are there.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for NetFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        NetFlags(self.0 | other.0)
    }
}

/// Where the headers of a frame are, and what has still to be done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// What has still to be done.
    pub flags: NetFlags,
    /// Where the IP header begins.
    pub l3_offset: u16,
    /// Where the TCP or UDP header begins.
    pub l4_offset: u16,
    /// What follows that.
    pub payload_offset: u16,
    /// Bytes of payload of each piece.
    pub mss: u16,
    /// The tag, with [`NetFlags::VLAN`].
    pub vlan_tci: u16,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetStatus {
    /// It was sent.
    Sent,
    /// No room, or nobody there.
    Dropped,
    /// It could not be sent.
    Failed,
}

/// A frame from the guest, to be given back exactly once: by [`TxFrame::complete()`], here or on any
/// other thread. If it is dropped, it has failed.
pub struct TxFrame {
    raw: NonNull<sys::hvs_net_frame>,
    nic: *mut sys::hvs_nic,
    shared: Arc<Shared>,
}

// SAFETY: the frame is the back end's until it is completed, which any thread may do.
unsafe impl Send for TxFrame {}
// SAFETY: shared, it is only looked at.
unsafe impl Sync for TxFrame {}

impl TxFrame {
    fn raw(&self) -> &sys::hvs_net_frame {
        // SAFETY: valid until it is completed, and that takes `self`.
        unsafe { self.raw.as_ref() }
    }

    /// Bytes, from the destination address on.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.raw().len as usize
    }

    /// What has to be done with it.
    pub fn info(&self) -> FrameInfo {
        let f = self.raw();
        FrameInfo {
            flags: NetFlags(f.flags),
            l3_offset: f.l3_off,
            l4_offset: f.l4_off,
            payload_offset: f.payload_off,
            mss: f.mss,
            vlan_tci: f.vlan_tci,
        }
    }

    /// The headers, which the guest cannot change.
    pub fn headers(&self) -> &[u8] {
        let f = self.raw();
        if f.iovcnt == 0 {
            return &[];
        }
        // SAFETY: the first piece is a private copy, valid until completion.
        unsafe {
            let first = &*f.iov;
            std::slice::from_raw_parts(first.iov_base.cast(), first.iov_len)
        }
    }

    /// All of it, headers included; the rest is guest memory.
    pub fn data(&self) -> GuestBytes<'_> {
        let f = self.raw();
        // SAFETY: mapped until completion; it is only read.
        unsafe { GuestBytes::new(f.iov, usize::from(f.iovcnt), false) }
    }

    /// The back end is done with it.
    pub fn complete(self, status: NetStatus) {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.finish(match status {
            NetStatus::Sent => sys::HVS_NET_OK,
            NetStatus::Dropped => sys::HVS_NET_DROPPED,
            NetStatus::Failed => sys::HVS_NET_ERROR,
        });
        // SAFETY: not used again.
        unsafe { std::ptr::drop_in_place(&mut this.shared) };
    }

    fn finish(&mut self, status: sys::hvs_net_status) {
        let _inside = self.shared.gate.enter_always();
        let frame = self.raw.as_ptr();
        // SAFETY: once: by complete(), which forgets it, or by drop().
        unsafe { sys::hvs_nic_tx_done(self.nic, &frame, 1, status) };
    }
}

impl Drop for TxFrame {
    fn drop(&mut self) {
        self.finish(sys::HVS_NET_ERROR);
    }
}

impl fmt::Debug for TxFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame of {} bytes", self.len())
    }
}

/// A frame for the guest.
#[derive(Clone, Copy, Debug)]
pub struct RxFrame<'a> {
    /// From the destination address on.
    pub data: &'a [u8],
    /// What was left undone.
    pub info: FrameInfo,
}

impl<'a> RxFrame<'a> {
    /// A complete frame.
    pub fn new(data: &'a [u8]) -> Self {
        RxFrame { data, info: FrameInfo::default() }
    }
}

unsafe fn receive(nic: *mut sys::hvs_nic, queue: u32, frames: &[RxFrame<'_>]) -> usize {
    let mut taken = 0;
    for f in frames {
        let iov = sys::iovec { iov_base: f.data.as_ptr() as *mut c_void, iov_len: f.data.len() };
        let mut c = sized!(sys::hvs_net_frame);
        c.flags = f.info.flags.0;
        c.len = match u32::try_from(f.data.len()) {
            Ok(len) => len,
            Err(_) => break,
        };
        c.l3_off = f.info.l3_offset;
        c.l4_off = f.info.l4_offset;
        c.payload_off = f.info.payload_offset;
        c.mss = f.info.mss;
        c.vlan_tci = f.info.vlan_tci;
        c.iovcnt = 1;
        c.iov = &iov;
        let one: *const sys::hvs_net_frame = &c;
        // SAFETY: the caller is in the queue's context; the frame is copied.
        if unsafe { sys::hvs_nic_rx(nic, queue, &one, 1) } == 0 {
            break;
        }
        taken += 1;
    }
    taken
}

/// A queue of a NIC, in a callback on its worker.
pub struct Queue<'a> {
    nic: &'a NicHandle,
    index: u32,
    _on_this_thread: PhantomData<*mut ()>,
}

impl Queue<'_> {
    /// 0: that of the primary channel.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Frames for the guest, in order; they are copied. Returns how many were taken: if not all,
    /// there is no room, and [`NetBackend::rx_room()`] follows when there is. When the NIC leaves,
    /// all count as taken.
    pub fn receive(&self, frames: &[RxFrame<'_>]) -> usize {
        let mut taken = frames.len();
        // SAFETY: this exists in callbacks of the queue.
        self.nic.with(|nic| taken = unsafe { receive(nic, self.index, frames) });
        taken
    }
}

/// Where frames go to and come from. If a method panics, the panic ends there; a frame that it had
/// has failed.
pub trait NetBackend: Send + Sync + 'static {
    /// What it is, once.
    fn info(&self) -> Result<NetInfo>;

    /// A frame from the guest; in order on each queue. Must not block. On the queue's worker.
    fn transmit(&self, queue: &Queue<'_>, frame: TxFrame);

    /// There is room again, after [`Queue::receive()`] took fewer than it was given.
    fn rx_room(&self, _queue: &Queue<'_>) {}

    /// The guest wants frames, or none.
    fn rx_wanted(&self, _wanted: bool) {}

    /// The NIC that uses it from now on.
    fn attached(&self, _nic: NicHandle) {}

    /// The NIC leaves: its handle is of no use any more.
    fn detached(&self) {}
}

/// A back end as the library takes it.
#[doc(hidden)]
pub struct NetDevice {
    pub(crate) ops: *const sys::hvs_net_ops,
    pub(crate) raw: *mut c_void,
    pub(crate) keep: Box<dyn Any + Send>,
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What can be a network: every [`NetBackend`], and those of the library.
pub trait IntoNetDevice: sealed::Sealed {
    #[doc(hidden)]
    fn into_device(self, nic: NicHandle) -> NetDevice;
}

struct Slot<B> {
    backend: B,
    nic: NicHandle,
    ops: sys::hvs_net_ops,
}

impl<B: NetBackend> sealed::Sealed for B {}

impl<B: NetBackend> IntoNetDevice for B {
    fn into_device(self, nic: NicHandle) -> NetDevice {
        let mut ops = sized!(sys::hvs_net_ops);
        ops.get_info = Some(get_info::<B>);
        ops.tx = Some(tx::<B>);
        ops.rx_room = Some(rx_room::<B>);
        ops.rx_wanted = Some(rx_wanted::<B>);
        ops.attach = Some(attach::<B>);
        ops.detach = Some(detach::<B>);
        let slot = Box::new(Slot { backend: self, nic, ops });
        let raw = &*slot as *const Slot<B>;
        NetDevice { ops: &slot.ops, raw: raw as *mut c_void, keep: slot }
    }
}

unsafe fn slot<'a, B>(net: *mut c_void) -> &'a Slot<B> {
    // SAFETY: into_device() gave it to the library, and it is kept until that is done with it.
    unsafe { &*net.cast::<Slot<B>>() }
}

impl<B> Slot<B> {
    fn queue(&self, index: u32) -> Queue<'_> {
        Queue { nic: &self.nic, index, _on_this_thread: PhantomData }
    }
}

unsafe extern "C" fn get_info<B: NetBackend>(
    net: *mut c_void,
    info: *mut sys::hvs_net_info,
) -> c_int {
    // SAFETY: valid during the call.
    let (slot, to) = unsafe { (slot::<B>(net), &mut *info) };
    guard_status(|| {
        let info = slot.backend.info()?;
        to.offloads = info.offloads.0;
        to.mtu = info.mtu;
        to.max_queues = info.max_queues;
        to.bits_per_second = info.bits_per_second;
        to.link_down = info.link_down;
        Ok(())
    })
}

unsafe extern "C" fn tx<B: NetBackend>(
    net: *mut c_void,
    queue: u32,
    frames: *const *mut sys::hvs_net_frame,
    n: c_uint,
) {
    // SAFETY: valid during the call.
    let (slot, frames) =
        unsafe { (slot::<B>(net), std::slice::from_raw_parts(frames, n as usize)) };
    let queue = slot.queue(queue);
    let nic = slot.nic.0.raw.load(Ordering::SeqCst);
    for raw in frames.iter().filter_map(|f| NonNull::new(*f)) {
        // Dropped when transmit() panics.
        let frame = TxFrame { raw, nic, shared: slot.nic.0.shared.clone() };
        guard(|| slot.backend.transmit(&queue, frame));
    }
}

unsafe extern "C" fn rx_room<B: NetBackend>(net: *mut c_void, queue: u32) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(net) };
    guard(|| slot.backend.rx_room(&slot.queue(queue)));
}

unsafe extern "C" fn rx_wanted<B: NetBackend>(net: *mut c_void, wanted: bool) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(net) };
    guard(|| slot.backend.rx_wanted(wanted));
}

unsafe extern "C" fn attach<B: NetBackend>(net: *mut c_void, nic: *mut sys::hvs_nic) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(net) };
    slot.nic.0.raw.store(nic, Ordering::SeqCst);
    guard(|| slot.backend.attached(slot.nic.clone()));
}

unsafe extern "C" fn detach<B: NetBackend>(net: *mut c_void) {
    // SAFETY: valid during the call.
    let slot = unsafe { slot::<B>(net) };
    slot.nic.0.gate.close();
    guard(|| slot.backend.detached());
}

/// What a NIC is like.
#[derive(Default)]
pub struct NicConfig<'a> {
    /// Unique on the bus, and stable: guests name devices by it.
    pub instance_id: Guid,
    /// Unicast, not 0.
    pub mac: [u8; 6],
    /// What the guest is told it is called, up to 63 bytes; "": nothing.
    pub name: String,
    /// Where it runs; `None`: on the bus's own.
    pub worker: Option<&'a Worker>,
    /// Sub-channels that a guest may have: usually the number of VPs less 1.
    pub max_subchannels: u32,
    /// Where these run, in turns: the n-th is queue 1 + n. None: where the NIC does.
    pub subchannel_workers: Vec<&'a Worker>,
}

struct NicShared {
    raw: AtomicPtr<sys::hvs_nic>,
    gate: Gate,
    shared: Arc<Shared>,
    /// Of each queue; null: the bus's own.
    workers: Vec<AtomicPtr<sys::hvs_worker>>,
}

/// A NIC, for back ends and other threads. It does not keep the NIC.
#[derive(Clone)]
pub struct NicHandle(Arc<NicShared>);

impl NicHandle {
    fn with(&self, f: impl FnOnce(*mut sys::hvs_nic)) {
        if let Some(_inside) = self.0.gate.enter() {
            let raw = self.0.raw.load(Ordering::SeqCst);
            if !raw.is_null() {
                f(raw);
            }
        }
    }

    /// The link is up or down now. `bits_per_second` 0: as it was.
    pub fn set_link(&self, up: bool, bits_per_second: u64) {
        // SAFETY: the NIC is there while we are inside.
        self.with(|nic| unsafe { sys::hvs_nic_set_link(nic, up, bits_per_second) });
    }

    /// The other end of the link is another network now.
    pub fn network_changed(&self) {
        // SAFETY: as above.
        self.with(|nic| unsafe { sys::hvs_nic_network_changed(nic) });
    }

    /// As [`Queue::receive()`], between two dispatches of the queue's worker.
    ///
    /// [`Error::Invalid`] (another worker's queue), [`Error::Shutdown`] (the NIC or the bus is gone).
    pub fn receive(
        &self,
        worker: &mut Worker,
        queue: u32,
        frames: &[RxFrame<'_>],
    ) -> Result<usize> {
        let wanted = self.0.workers.get(queue as usize).ok_or(Error::Invalid)?;
        worker.inside(|there| {
            if wanted.load(Ordering::Relaxed) != there {
                return Err(Error::Invalid);
            }
            let mut taken = Err(Error::Shutdown);
            // SAFETY: as above, in the queue's context.
            self.with(|nic| taken = Ok(unsafe { receive(nic, queue, frames) }));
            taken
        })?
    }
}

/// A synthetic network adapter. It leaves the guest when it is dropped; its back end is dropped when
/// that has given back all frames.
pub struct Nic {
    bus: Rc<BusCore>,
    raw: *mut sys::hvs_nic,
    key: u64,
    handle: NicHandle,
}

impl Nic {
    /// Offers one. [`Error::Invalid`] (configuration; or the back end's info makes no sense, or
    /// serves fewer queues than the NIC has), [`Error::Exists`] (the instance_id),
    /// [`Error::NoSpace`] (too many devices), [`Error::NoMemory`], or what `info()` returned.
    pub fn new(bus: &Bus, config: &NicConfig<'_>, backend: impl IntoNetDevice) -> Result<Self> {
        let worker = bus.own_workers(config.worker.as_slice_of_refs())?;
        let worker = worker.first().copied().unwrap_or(null_mut());
        let subchannels = bus.own_workers(&config.subchannel_workers)?;
        let mut c = sized!(sys::hvs_nic_config);
        c.instance_id = config.instance_id.to_c();
        c.mac = config.mac;
        c.worker = worker;
        c.max_subchannels = config.max_subchannels;
        c.subchannel_worker_count = subchannels.len() as u32;
        if !subchannels.is_empty() {
            c.subchannel_workers = subchannels.as_ptr();
        }
        if config.name.len() >= c.name.len() {
            return Err(Error::Invalid);
        }
        for (to, from) in c.name.iter_mut().zip(config.name.bytes()) {
            *to = from as _;
        }
        let workers = std::iter::once(worker).chain(subchannels.iter().copied());
        let handle = NicHandle(Arc::new(NicShared {
            raw: AtomicPtr::default(),
            gate: Gate::default(),
            shared: bus.0.shared.clone(),
            workers: workers.map(AtomicPtr::new).collect(),
        }));
        let device = backend.into_device(handle.clone());
        let (ops, net) = (device.ops, device.raw);
        let keep = &bus.0.shared.keep;
        let key = keep.insert(device.keep);
        let mut raw = null_mut();
        // SAFETY: `keep` has the back end until the NIC is removed.
        if let Err(err) = check(unsafe { sys::hvs_nic_create(bus.0.raw(), &c, ops, net, &mut raw) })
        {
            drop(keep.remove(key));
            return Err(err);
        }
        handle.0.raw.store(raw, Ordering::SeqCst);
        Ok(Nic { bus: bus.0.clone(), raw, key, handle })
    }

    /// For other threads.
    pub fn handle(&self) -> NicHandle {
        self.handle.clone()
    }

    /// Frames for the guest through queue 0 of a NIC that runs on the bus's own worker, as
    /// [`Queue::receive()`]. [`Error::Invalid`]: it runs on another.
    pub fn receive(&self, frames: &[RxFrame<'_>]) -> Result<usize> {
        if !self.handle.0.workers[0].load(Ordering::Relaxed).is_null() {
            return Err(Error::Invalid);
        }
        // SAFETY: the NIC is there, and this is the bus's thread.
        Ok(unsafe { receive(self.raw, 0, frames) })
    }

    /// Frames and bytes from the guest and to it, since the NIC was made.
    pub fn counters(&self) -> Result<NicCounters> {
        let mut c = sized!(sys::hvs_nic_counters);
        // SAFETY: the NIC is there.
        check(unsafe { sys::hvs_nic_get_counters(self.raw, &mut c) })?;
        Ok(NicCounters {
            from_frames: c.from_frames,
            from_bytes: c.from_bytes,
            from_dropped: c.from_dropped,
            to_frames: c.to_frames,
            to_bytes: c.to_bytes,
            to_unwanted: c.to_unwanted,
            to_no_room: c.to_no_room,
        })
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        self.handle.0.gate.close();
        // It fails for no NIC only.
        let _ = callback::remove(&self.bus.shared.keep, vec![self.key], None, |arg| {
            // SAFETY: it is there, and this is the bus's thread.
            unsafe { sys::hvs_nic_remove(self.raw, Some(removed), arg) }
        });
    }
}

/// What passed a NIC. "From" is from the guest, "to" is to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NicCounters {
    /// Frames that passed.
    pub from_frames: u64,
    /// Their bytes.
    pub from_bytes: u64,
    /// Frames that the back end dropped, or for which there was no memory or link.
    pub from_dropped: u64,
    /// Frames that passed.
    pub to_frames: u64,
    /// Their bytes.
    pub to_bytes: u64,
    /// No driver, interface or link down, or not addressed to it.
    pub to_unwanted: u64,
    /// Times that not all were taken.
    pub to_no_room: u64,
}
