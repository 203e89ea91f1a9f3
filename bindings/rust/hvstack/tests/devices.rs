// SPDX-License-Identifier: MIT
//! Devices of one's own, networks, services; and what all of them share.
#![deny(unsafe_op_in_unsafe_fn)]

mod common;

use common::*;
use hvstack::device::{Channel, Device, Kick, Offer, OpenParams};
use hvstack::guest::{Guest, GuestChannel, Loopback};
use hvstack::*;
use hvstack_sys as sys;
use std::os::raw::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const CLASS: Guid = Guid::from_u128(0x6f1a2b3c_4d5e_6f70_8192_a3b4c5d6e7f8);

/// Sends back what it gets, reversed; guest memory that a packet names, too.
struct Reverse {
    opened: Arc<AtomicUsize>,
    kick: Arc<Mutex<Option<Kick>>>,
    _tells: Tells,
}

impl Device for Reverse {
    type State = usize;

    fn open(&self, kick: Kick, params: &OpenParams) -> Result<usize> {
        assert!(params.recv_ring_bytes > 0);
        *self.kick.lock().unwrap() = Some(kick);
        Ok(self.opened.fetch_add(1, Ordering::SeqCst))
    }

    fn ready(&self, _state: &mut usize, channel: &mut Channel<'_>, _budget: u32) -> bool {
        while let Ok(Some(packet)) = channel.recv() {
            let mut data = packet.data().to_vec();
            if data.starts_with(b"panic") {
                panic!("the guest wants it");
            }
            data.reverse();
            if let Some(extents) = packet.extents() {
                let mut memory = vec![0; extents.len() as usize];
                extents.read(0, &mut memory).unwrap();
                memory.reverse();
                extents.write(0, &memory).unwrap();
                let map = extents.map(0, extents.len(), true).unwrap();
                assert_eq!(map.data().to_vec(), memory);
                map.data().write(0, b"!").unwrap();
                assert_eq!(extents.read(extents.len(), &mut [0]), Err(Error::OutOfRange));
            }
            let xid = packet.xid();
            channel.complete(xid, &data).unwrap();
        }
        false
    }
}

struct Reversed {
    channel: GuestChannel,
    guest: Guest,
    offered: OfferedDevice,
    loopback: Loopback,
    dropped: Dropped,
    opened: Arc<AtomicUsize>,
    kick: Arc<Mutex<Option<Kick>>>,
}

fn reversed() -> Reversed {
    let loopback = Loopback::new().unwrap();
    let dropped = Dropped::default();
    let (opened, kick): (Arc<AtomicUsize>, Arc<Mutex<Option<Kick>>>) = Default::default();
    let device = Reverse { opened: opened.clone(), kick: kick.clone(), _tells: dropped.object() };
    let offer = Offer { class_id: CLASS, instance_id: CLASS, ..Default::default() };
    let offered = OfferedDevice::new(loopback.bus(), &offer, device).unwrap();
    let mut guest = loopback.start().unwrap();
    let offers = guest.connect(VERSION).unwrap();
    assert_eq!(offers[0].class_id, CLASS);
    let channel = guest.open(&offers[0]).unwrap();
    Reversed { channel, guest, offered, loopback, dropped, opened, kick }
}

#[test]
fn a_device_answers_packets_and_uses_guest_memory() {
    let mut r = reversed();
    let answer = r.channel.request(7, b"12345678", None).unwrap();
    assert_eq!((answer.xid, &answer.data[..]), (7, &b"87654321"[..]));
    let mut pages = r.guest.alloc(1).unwrap();
    pages.write(b"abc").unwrap();
    r.channel.request(8, b"12345678", Some((&pages, 3))).unwrap();
    let mut back = [0; 3];
    pages.read(&mut back).unwrap();
    assert_eq!(&back, b"!ba");
    r.kick.lock().unwrap().as_ref().unwrap().kick();
    r.loopback.run();
}

#[test]
fn a_device_that_panics_loses_its_channel_until_it_is_opened_again() {
    let mut r = reversed();
    assert_eq!(r.channel.request(1, b"panic...", None), Err(Error::TimedOut));
    assert_eq!(r.loopback.faults(), 1);
    r.channel.close().unwrap();
    let offers = r.guest.offers();
    let mut channel = r.guest.open(&offers[0]).unwrap();
    assert_eq!(r.opened.load(Ordering::SeqCst), 2);
    assert!(channel.request(2, b"12345678", None).is_ok());
    drop(r.offered);
}

#[test]
fn a_device_goes_with_its_handle_and_kicks_do_no_harm_then() {
    let r = reversed();
    drop(r.offered);
    r.loopback.run();
    drop((r.channel, r.guest, r.loopback));
    assert!(r.dropped.is());
    r.kick.lock().unwrap().as_ref().unwrap().kick();
}

#[test]
fn a_device_that_is_refused_is_dropped() {
    let loopback = Loopback::new().unwrap();
    let offer = || Offer { class_id: CLASS, instance_id: CLASS, ..Default::default() };
    let device = |dropped: &Dropped| Reverse {
        opened: Arc::default(),
        kick: Arc::default(),
        _tells: dropped.object(),
    };
    let (one, two) = (Dropped::default(), Dropped::default());
    let first = OfferedDevice::new(loopback.bus(), &offer(), device(&one)).unwrap();
    let again = OfferedDevice::new(loopback.bus(), &offer(), device(&two));
    assert_eq!(again.err(), Some(Error::Exists));
    assert!(two.is() && !one.is());
    drop((first, loopback));
    assert!(one.is());
}

// ---- networks --------------------------------------------------------------------------------

type Transmit = dyn Fn(&Queue<'_>, TxFrame) + Send + Sync;

/// A network that does with frames what a test says.
struct Network {
    transmit: Box<Transmit>,
    nic: Arc<Mutex<Option<NicHandle>>>,
    _tells: Option<Tells>,
}

impl Network {
    fn new(transmit: impl Fn(&Queue<'_>, TxFrame) + Send + Sync + 'static) -> Self {
        Network { transmit: Box::new(transmit), nic: Arc::default(), _tells: None }
    }
}

impl NetBackend for Network {
    fn info(&self) -> Result<NetInfo> {
        Ok(NetInfo { mtu: 1500, ..Default::default() })
    }

    fn transmit(&self, queue: &Queue<'_>, frame: TxFrame) {
        (self.transmit)(queue, frame);
    }

    fn attached(&self, nic: NicHandle) {
        *self.nic.lock().unwrap() = Some(nic);
    }
}

/// What the guest's driver was told.
#[derive(Default)]
struct Told {
    received: Vec<Vec<u8>>,
    sent: Vec<u32>,
}

unsafe extern "C" fn received(arg: *mut c_void, f: *const sys::hvs_guest_net_frame) {
    // SAFETY: of open(), and valid during the call.
    unsafe {
        let f = &*f;
        let bytes = std::slice::from_raw_parts(f.data, f.len as usize).to_vec();
        (*arg.cast::<Told>()).received.push(bytes);
    }
}

unsafe extern "C" fn sent(arg: *mut c_void, _channel: u32, _xid: u64, status: u32) {
    // SAFETY: as above.
    unsafe { (*arg.cast::<Told>()).sent.push(status) };
}

/// The driver of a NIC, by the C functions.
struct Driver {
    net: *mut sys::hvs_guest_net,
    told: Box<Told>,
    nic: Option<Nic>,
    loopback: Loopback,
    _guest: Guest,
}

impl Driver {
    fn new(backend: impl IntoNetDevice) -> Self {
        let loopback = Loopback::new().unwrap();
        let config = NicConfig {
            instance_id: CLASS,
            mac: [2, 0, 0, 0, 0, 1],
            name: "lan".into(),
            ..Default::default()
        };
        let nic = Some(Nic::new(loopback.bus(), &config, backend).unwrap());
        let mut guest = loopback.start().unwrap();
        let offers = guest.connect(VERSION).unwrap();
        let channel = guest.open(&offers[0]).unwrap();
        let mut told = Box::<Told>::default();
        let mut net = std::ptr::null_mut();
        // SAFETY: as the header says; the channel is the driver's from now on.
        unsafe {
            let mut c: sys::hvs_guest_net_config = std::mem::zeroed();
            c.size = std::mem::size_of_val(&c) as u32;
            c.version = 0x60001;
            c.send_bytes = 64 << 10;
            c.received = Some(received);
            c.sent = Some(sent);
            c.arg = (&mut *told as *mut Told).cast();
            assert_eq!(sys::hvs_guest_net_open(channel.as_ptr(), &c, &mut net), 0);
            assert_eq!(sys::hvs_guest_net_initialize(net), 0);
            assert_eq!(sys::hvs_guest_net_set_filter(net, 0x9), 0);
        }
        let _ = channel.into_ptr();
        Driver { net, told, nic, loopback, _guest: guest }
    }

    fn send(&mut self, frame: &[u8]) -> u32 {
        // SAFETY: as the header says.
        unsafe {
            let mut p: sys::hvs_guest_net_packet = std::mem::zeroed();
            p.data = frame.as_ptr().cast();
            p.len = frame.len() as u32;
            assert_eq!(sys::hvs_guest_net_send(self.net, 0, 1, &p, 1), 0);
        }
        self.poll();
        self.told.sent.pop().expect("the packet was completed")
    }

    fn poll(&mut self) {
        self.loopback.run();
        // SAFETY: as the header says.
        assert!(unsafe { sys::hvs_guest_net_poll(self.net) } >= 0);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: once; its guest is there.
        unsafe { sys::hvs_guest_net_close(self.net, sys::HVS_GUEST_NET_CLOSE) };
    }
}

fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut bytes = vec![0x5a; len];
    bytes[..6].copy_from_slice(&to);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    bytes
}

const BROADCAST: [u8; 6] = [0xff; 6];

#[test]
fn frames_go_out_and_come_back() {
    let mut driver = Driver::new(Network::new(|queue, frame| {
        assert_eq!(frame.headers()[..6], BROADCAST);
        let mut bytes = frame.data().to_vec();
        assert_eq!(bytes.len(), frame.len());
        bytes[11] = 9;
        assert_eq!(queue.receive(&[RxFrame::new(&bytes)]), 1);
        frame.complete(NetStatus::Sent);
    }));
    let sent = frame(BROADCAST, 800);
    assert_eq!(driver.send(&sent), 1);
    driver.poll();
    assert_eq!(driver.told.received.len(), 1);
    assert_eq!(driver.told.received[0][12..], sent[12..]);
    let counters = driver.nic.as_ref().unwrap().counters().unwrap();
    assert_eq!((counters.from_frames, counters.from_bytes), (1, 800));
    assert_eq!((counters.to_frames, counters.to_bytes), (1, 800));
}

#[test]
fn frames_come_from_outside_of_callbacks() {
    let backend = Network::new(|_, frame| frame.complete(NetStatus::Dropped));
    let handle = backend.nic.clone();
    let mut driver = Driver::new(backend);
    let bytes = frame(BROADCAST, 100);
    let frames = [RxFrame::new(&bytes), RxFrame::new(&bytes)];
    assert_eq!(driver.nic.as_ref().unwrap().receive(&frames), Ok(2));
    driver.poll();
    assert_eq!(driver.told.received, vec![bytes.clone(), bytes.clone()]);
    let handle = handle.lock().unwrap().take().unwrap();
    handle.set_link(false, 0);
    handle.network_changed();
    driver.poll();
    assert_eq!(driver.nic.as_ref().unwrap().receive(&frames), Ok(2));
    assert_eq!(driver.nic.as_ref().unwrap().counters().unwrap().to_unwanted, 2);
}

#[test]
fn frames_that_are_dropped_or_panic_come_back() {
    let calls = AtomicUsize::new(0);
    let mut driver =
        Driver::new(Network::new(move |_, frame| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => drop(frame),
            1 => panic!("the test wants it"),
            _ => frame.complete(NetStatus::Sent),
        }));
    let bytes = frame(BROADCAST, 60);
    for _ in 0..3 {
        driver.send(&bytes);
    }
    let counters = driver.nic.as_ref().unwrap().counters().unwrap();
    assert_eq!((counters.from_frames, counters.from_dropped), (3, 2));
}

#[test]
fn a_nic_leaves_when_its_frames_are_back() {
    let held: Arc<Mutex<Vec<TxFrame>>> = Arc::default();
    let into = held.clone();
    let dropped = Dropped::default();
    let backend = Network::new(move |_, frame| into.lock().unwrap().push(frame));
    let handle = backend.nic.clone();
    let mut driver = Driver::new(Network { _tells: Some(dropped.object()), ..backend });
    let bytes = frame(BROADCAST, 60);
    // SAFETY: as the header says.
    unsafe {
        let mut p: sys::hvs_guest_net_packet = std::mem::zeroed();
        p.data = bytes.as_ptr().cast();
        p.len = bytes.len() as u32;
        assert_eq!(sys::hvs_guest_net_send(driver.net, 0, 1, &p, 1), 0);
    }
    driver.loopback.run();
    assert_eq!(held.lock().unwrap().len(), 1);
    driver.nic = None;
    driver.loopback.run();
    assert!(!dropped.is(), "a frame is not back");
    let frames = std::mem::take(&mut *held.lock().unwrap());
    std::thread::spawn(move || frames.into_iter().for_each(|f| f.complete(NetStatus::Sent)))
        .join()
        .unwrap();
    driver.loopback.run();
    assert!(dropped.is());
    handle.lock().unwrap().take().unwrap().set_link(true, 0);
}

#[test]
fn nics_that_make_no_sense_are_refused() {
    let loopback = Loopback::new().unwrap();
    let refused = |config: &NicConfig<'_>| {
        let dropped = Dropped::default();
        let backend = Network { _tells: Some(dropped.object()), ..Network::new(|_, _| ()) };
        let error = Nic::new(loopback.bus(), config, backend).err().unwrap();
        assert!(dropped.is());
        error
    };
    assert_eq!(refused(&NicConfig::default()), Error::Invalid);
    let name = "x".repeat(64);
    let mac = [2, 0, 0, 0, 0, 1];
    assert_eq!(refused(&NicConfig { mac, name, ..Default::default() }), Error::Invalid);
}

// ---- services --------------------------------------------------------------------------------

/// The driver of a service, by the C functions: negotiates.
fn open_service(guest: &mut Guest, version: u32) -> GuestChannel {
    let offers = guest.connect(VERSION).unwrap();
    let channel = guest.open(&offers[0]).unwrap();
    // SAFETY: as the header says.
    let agreed = unsafe { sys::hvs_guest_ic_negotiate(channel.as_ptr(), &version, 1, false) };
    assert_eq!(agreed, i64::from(version));
    channel
}

/// Waits for a message of the host's, and answers it with this status, and a first byte that is one
/// more.
fn answer(channel: &GuestChannel, status: u32) {
    // SAFETY: as the header says.
    unsafe {
        let mut m: sys::hvs_guest_ic_message = std::mem::zeroed();
        assert_eq!(sys::hvs_guest_ic_recv_wait(channel.as_ptr(), &mut m), 1);
        let mut body = std::slice::from_raw_parts(m.body, m.len as usize).to_vec();
        if let Some(first) = body.first_mut() {
            *first = first.wrapping_add(1);
        }
        let (body, len) = (body.as_ptr().cast(), m.len);
        assert_eq!(sys::hvs_guest_ic_reply(channel.as_ptr(), &m, status, body, len), 0);
    }
}

#[test]
fn a_guest_is_asked_to_shut_down() {
    let loopback = Loopback::new().unwrap();
    let events: Arc<Mutex<Vec<ServiceEvent>>> = Arc::default();
    let into = events.clone();
    let observer = move |event| into.lock().unwrap().push(event);
    let service = Service::new(loopback.bus(), ServiceKind::Shutdown, observer).unwrap();
    let again = Service::new(loopback.bus(), ServiceKind::Shutdown, |_| ());
    assert_eq!(again.err(), Some(Error::Exists));
    let results: Arc<Mutex<Vec<RequestResult>>> = Arc::default();
    let shutdown = || {
        let into = results.clone();
        let done = move |result| into.lock().unwrap().push(result);
        service.shutdown(ShutdownAction::PowerOff, true, "maintenance", done)
    };
    assert_eq!(shutdown(), Err(Error::NotConnected));
    let mut guest = loopback.start().unwrap();
    let channel = open_service(&mut guest, 3 << 16);
    loopback.run();
    assert!(service.status().unwrap().ready);
    assert!(events.lock().unwrap().contains(&ServiceEvent::Status));

    shutdown().unwrap();
    answer(&channel, 0x8000_4005);
    loopback.run();
    shutdown().unwrap();
    answer(&channel, 0);
    loopback.run();
    let failed = RequestError { error: Error::Remote, guest_status: 0x8000_4005 };
    assert_eq!(*results.lock().unwrap(), vec![Err(failed), Ok(())]);
    assert_eq!(failed.to_string(), "the guest answered 0x80004005");
    assert_eq!(service.heartbeats(), Err(Error::Invalid));
    assert_eq!(
        service.shutdown(ShutdownAction::PowerOff, true, "nul\0", |_| ()),
        Err(Error::Invalid)
    );
}

#[test]
fn a_request_ends_with_its_service() {
    let loopback = Loopback::new().unwrap();
    let service = Service::new(loopback.bus(), ServiceKind::Shutdown, |_| ()).unwrap();
    let mut guest = loopback.start().unwrap();
    let channel = open_service(&mut guest, 3 << 16);
    loopback.run();
    let results: Arc<Mutex<Vec<RequestResult>>> = Arc::default();
    let into = results.clone();
    let done = move |result| {
        into.lock().unwrap().push(result);
        panic!("ends here");
    };
    service.shutdown(ShutdownAction::Restart, false, "", done).ok();
    let into = results.clone();
    let second = move |result| into.lock().unwrap().push(result);
    let _ = service.shutdown(ShutdownAction::PowerOff, false, "", second);
    drop(service);
    loopback.run();
    assert!(!results.lock().unwrap().is_empty());
    assert!(results.lock().unwrap().iter().all(|r| r.is_err()));
    drop(channel);
}

#[test]
fn hearts_beat() {
    let loopback = Loopback::new().unwrap();
    let service = Service::new(loopback.bus(), ServiceKind::Heartbeat, |_| ()).unwrap();
    let mut guest = loopback.start().unwrap();
    let channel = open_service(&mut guest, 3 << 16);
    for _ in 0..3 {
        answer(&channel, 0);
    }
    loopback.run();
    assert_eq!(service.heartbeats(), Ok((3, 0)));
    let time = Service::new(loopback.bus(), ServiceKind::TimeSync, |_| ()).unwrap();
    assert_eq!(time.sync_time(|_| ()), Err(Error::NotConnected));
    assert_eq!(time.kvp_delete(KvpPool::External, "key", 0, |_| ()), Err(Error::Invalid));
    let set = service.kvp_set(KvpPool::External, "key", "value", 0, |_| ());
    assert_eq!(set, Err(Error::Invalid));
}

// ---- what all share --------------------------------------------------------------------------

#[test]
fn errors_are_errno_values() {
    for errno in 1..133 {
        assert_eq!(Error::from_errno(-errno).errno(), errno);
        assert_eq!(Error::from_errno(errno), Error::from_errno(-errno));
    }
    assert_eq!(Error::from_errno(-libc::EBUSY), Error::Busy);
    let error: Box<dyn std::error::Error> = Box::new(Error::NoSpace);
    assert_eq!(error.to_string(), "no room for more");
    assert_eq!(std::io::Error::from(Error::Exists).kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(Error::from(std::io::Error::from_raw_os_error(libc::ENOENT)), Error::NotFound);
    assert!(Error::Os(libc::ENXIO).to_string().contains("os error"));
}

#[test]
fn guids_are_written_as_people_do() {
    let text = "6f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8";
    assert_eq!(text.parse(), Ok(CLASS));
    assert_eq!(CLASS.to_string(), text);
    assert_eq!(text.to_uppercase().parse(), Ok(CLASS));
    assert_eq!(CLASS.to_wire()[..4], [0x3c, 0x2b, 0x1a, 0x6f]);
    assert_eq!(Guid::from_wire(CLASS.to_wire()), CLASS);
    for bad in ["", "6f1a2b3c4d5e6f708192a3b4c5d6e7f8", "6f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7g8"] {
        assert_eq!(bad.parse::<Guid>(), Err(Error::Invalid));
    }
}

#[test]
fn memory_is_checked() {
    assert_eq!(Ram::new(100).err(), Some(Error::Invalid));
    let (memory, ram) = (Memory::new().unwrap(), Ram::new(8192).unwrap());
    memory.add(0x1000, &ram, Access::ReadWrite).unwrap();
    assert_eq!(memory.add(0x2000, &ram, Access::Read), Err(Error::Exists));
    assert_eq!(memory.add(0x10, &ram, Access::Read), Err(Error::Invalid));
    let text = b"not aligned to anything";
    ram.write(4093, text).unwrap();
    let mut back = [0; 23];
    ram.read(4093, &mut back).unwrap();
    assert_eq!(&back, text);
    assert_eq!(ram.write(8192, &[0]), Err(Error::OutOfRange));
    assert_eq!(ram.read(usize::MAX, &mut [0]), Err(Error::OutOfRange));
    assert!(version() > 0);
}
