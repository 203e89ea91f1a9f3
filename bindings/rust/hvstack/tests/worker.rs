// SPDX-License-Identifier: MIT
//! Workers that a loop of somebody else's drives, with everything on threads of its own.

mod common;

use common::*;
use hvstack::guest::{Direction, Guest};
use hvstack::*;
use std::os::unix::io::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Clone, Default)]
struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupts for Interrupt {
    fn interrupt(&self, _vp: u32, _sint: u8, _vector: u8) {
        *self.0 .0.lock().unwrap() = true;
        self.0 .1.notify_all();
    }
}

impl Interrupt {
    fn wait(&self) {
        let pending = self.0 .0.lock().unwrap();
        let max = Duration::from_millis(10);
        let (mut pending, _) = self.0 .1.wait_timeout_while(pending, max, |p| !*p).unwrap();
        *pending = false;
    }
}

struct Vm {
    ram: Ram,
    interrupt: Interrupt,
    hypervisor: Hypervisor,
    bus: Bus,
}

fn vm() -> Vm {
    let (ram, memory, interrupt) =
        (Ram::new(8 << 20).unwrap(), Memory::new().unwrap(), Interrupt::default());
    memory.add(0, &ram, Access::ReadWrite).unwrap();
    let hypervisor =
        Hypervisor::new(HypervisorConfig::default(), &memory, interrupt.clone()).unwrap();
    let bus = hypervisor.bus(BusConfig::default()).unwrap();
    Vm { ram, interrupt, hypervisor, bus }
}

impl Vm {
    /// A guest that reads some blocks, on a thread of its own.
    fn run(&self, reads: u8) -> (thread::JoinHandle<Vec<bool>>, Arc<AtomicBool>) {
        let vp = self.hypervisor.vp(0).unwrap();
        let (ram, interrupt) = (self.ram.clone(), self.interrupt.clone());
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let thread = thread::spawn(move || {
            let mut guest = Guest::new(vp, ram, 0, move || interrupt.wait()).unwrap();
            let offers = guest.connect(VERSION).unwrap();
            let mut channel = guest.open(&offers[0]).unwrap();
            channel.init_storage().unwrap();
            let pages = guest.alloc(1).unwrap();
            let _ = channel.execute_scsi(0, &[0; 6], None).unwrap();
            let mut read = |block| {
                let data = Some((Direction::In, &pages, 512));
                let result = channel.execute_scsi(0, &read10(block), data).unwrap();
                let mut bytes = [0; 512];
                pages.read(&mut bytes).unwrap();
                result.is_ok() && bytes == [block; 512]
            };
            let results = (0..reads).map(&mut read).collect();
            channel.close().unwrap();
            end.store(true, Ordering::SeqCst);
            results
        });
        (thread, ended)
    }
}

fn fill(request: BlockRequest) {
    let block = (request.offset() / 512) as u8;
    let result = request.data().write(0, &[block; 512]);
    request.complete(result.map_err(|_| BlockError::Io));
}

fn poll(fd: &impl AsRawFd, timeout: Option<Duration>) -> bool {
    let mut fd = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ms = timeout.unwrap_or(Duration::from_millis(10)).as_millis().min(10) as i32;
    // SAFETY: one descriptor.
    unsafe { libc::poll(&mut fd, 1, ms) > 0 }
}

#[test]
fn a_loop_drives_the_bus_by_descriptor_and_timeout() {
    let vm = vm();
    let controller = StorageController::new(&vm.bus, &ControllerConfig::default()).unwrap();
    controller.attach(&DiskConfig::default(), Scripted::new(fill)).unwrap();
    vm.bus.start().unwrap();
    assert!(poll(&vm.bus, None), "the start wakes it");
    let (guest, ended) = vm.run(20);
    let mut woken = 0;
    while !ended.load(Ordering::SeqCst) {
        woken += usize::from(poll(&vm.bus, vm.bus.timeout()));
        while vm.bus.dispatch(16).unwrap() {}
    }
    assert_eq!(guest.join().unwrap(), vec![true; 20]);
    assert!(woken > 0);
    assert_eq!(vm.bus.guest_version(), VERSION);
}

#[test]
fn a_controller_has_a_worker_and_a_thread_of_its_own() {
    let vm = vm();
    let mut worker = vm.bus.add_worker().unwrap();
    let config = ControllerConfig { worker: Some(&worker), ..Default::default() };
    let controller = StorageController::new(&vm.bus, &config).unwrap();
    let (send, threads) = mpsc::channel();
    let send = Mutex::new(send);
    let backend = Scripted::new(move |r| {
        let _ = send.lock().unwrap().send(thread::current().id());
        fill(r);
    });
    controller.attach(&DiskConfig::default(), backend).unwrap();
    vm.bus.start().unwrap();
    assert_eq!(vm.bus.add_worker().err(), Some(Error::Busy));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let io = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            worker.turn(Some(Duration::from_millis(10))).unwrap();
        }
        thread::current().id()
    });
    let (guest, ended) = vm.run(5);
    while !ended.load(Ordering::SeqCst) {
        vm.bus.turn(Some(Duration::from_millis(10))).unwrap();
    }
    assert_eq!(guest.join().unwrap(), vec![true; 5]);
    stop.store(true, Ordering::SeqCst);
    let io = io.join().unwrap();
    drop((controller, vm));
    let threads: Vec<_> = threads.iter().collect();
    assert_eq!(threads.len(), 5);
    assert!(threads.iter().all(|id| *id == io));
}

#[test]
fn a_bus_ends_whatever_its_worker_does() {
    let vm = vm();
    let handle = vm.bus.handle();
    let mut worker = vm.bus.add_worker().unwrap();
    let config = ControllerConfig { worker: Some(&worker), ..Default::default() };
    let controller = StorageController::new(&vm.bus, &config).unwrap();
    let dropped = Dropped::default();
    let backend = Scripted { tells: Some(dropped.object()), ..Scripted::new(fill) };
    controller.attach(&DiskConfig::default(), backend).unwrap();
    vm.bus.start().unwrap();
    let io = thread::spawn(move || loop {
        if let Err(err) = worker.turn(Some(Duration::from_millis(10))) {
            return err;
        }
    });
    let (guest, ended) = vm.run(3);
    while !ended.load(Ordering::SeqCst) {
        vm.bus.turn(Some(Duration::from_millis(10))).unwrap();
    }
    guest.join().unwrap();
    drop((controller, vm));
    assert!(dropped.is());
    assert_eq!(io.join().unwrap(), Error::Shutdown);
    assert_eq!(handle.signal_event(1, 0), 0x12, "nobody listens any more");
    assert_eq!(handle.post_message(1, 1, &[0; 16]), 0x12);
    handle.slot_free(0);
}

#[test]
fn a_bus_that_goes_waits_for_requests_on_other_threads() {
    let vm = vm();
    let controller = StorageController::new(&vm.bus, &ControllerConfig::default()).unwrap();
    let (send, requests) = mpsc::channel::<BlockRequest>();
    let send = Mutex::new(send);
    let backend = Scripted::new(move |r| send.lock().unwrap().send(r).unwrap());
    controller.attach(&DiskConfig::default(), backend).unwrap();
    vm.bus.start().unwrap();
    let vp = vm.hypervisor.vp(0).unwrap();
    let (ram, interrupt) = (vm.ram.clone(), vm.interrupt.clone());
    let guest = thread::spawn(move || {
        let mut guest = Guest::new(vp, ram, 0, move || interrupt.wait()).unwrap();
        let offers = guest.connect(VERSION).unwrap();
        let mut channel = guest.open(&offers[0]).unwrap();
        channel.init_storage().unwrap();
        let _ = channel.execute_scsi(0, &[0; 6], None).unwrap();
        let pages = guest.alloc(1).unwrap();
        let data = Some((Direction::In, &pages, 512));
        channel.submit_scsi(1, 0, &read10(0), data).unwrap();
        // What is open is left to the host, as when a machine is switched off.
        let _ = channel.into_ptr();
    });
    let request = loop {
        vm.bus.turn(Some(Duration::from_millis(1))).unwrap();
        if let Ok(request) = requests.try_recv() {
            break request;
        }
    };
    guest.join().unwrap();
    let (begun, begin) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        begin.recv().unwrap();
        fill(request);
    });
    begun.send(()).unwrap();
    drop((controller, vm));
    other.join().unwrap();
    assert!(requests.recv().is_err(), "the back end is gone");
}

#[test]
fn a_worker_of_another_bus_is_refused() {
    let (one, other) = (vm(), vm());
    let worker = other.bus.add_worker().unwrap();
    let config = ControllerConfig { worker: Some(&worker), ..Default::default() };
    assert_eq!(StorageController::new(&one.bus, &config).err(), Some(Error::Invalid));
}

#[test]
fn a_reset_ends_in_a_dispatch() {
    let vm = vm();
    vm.bus.start().unwrap();
    assert_eq!(vm.bus.start(), Err(Error::Busy));
    let done = Arc::new(AtomicBool::new(false));
    let set = done.clone();
    vm.bus.reset(move || set.store(true, Ordering::SeqCst)).unwrap();
    assert_eq!(vm.bus.reset(|| ()), Err(Error::Busy));
    while vm.bus.dispatch(0).unwrap() {}
    assert!(done.load(Ordering::SeqCst));
    vm.bus.reset(|| ()).unwrap();
}

#[test]
fn a_vp_belongs_to_one() {
    let vm = vm();
    let vp = vm.hypervisor.vp(0).unwrap();
    assert_eq!(vm.hypervisor.vp(0).err(), Some(Error::Busy));
    assert_eq!(vm.hypervisor.vp(1).err(), Some(Error::NotFound));
    drop(vp);
    let mut vp = vm.hypervisor.vp(0).unwrap();
    assert_eq!(vp.msr_read(0x400001ff), Err(Error::NotFound));
    assert_eq!(vm.hypervisor.cpuid(0x40000000).unwrap()[1], u32::from_le_bytes(*b"Micr"));
    assert_eq!(vm.hypervisor.cpuid(1), Err(Error::NotFound));
}
