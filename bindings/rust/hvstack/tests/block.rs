// SPDX-License-Identifier: MIT
//! Disks whose data come from Rust.

mod common;

use common::*;
use hvstack::guest::Loopback;
use hvstack::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex};

/// A disk in a vector.
struct VecDisk(Mutex<Vec<u8>>);

impl BlockBackend for VecDisk {
    fn info(&self) -> Result<BlockInfo> {
        Ok(BlockInfo::of_size(DISK_BYTES))
    }

    fn submit(&self, request: BlockRequest) {
        let mut disk = self.0.lock().unwrap();
        let at = request.offset() as usize;
        let part = &mut disk[at..at + request.len() as usize];
        let result = match request.op() {
            BlockOp::Read => request.data().write(0, part),
            BlockOp::Write => request.data().read(0, part),
            BlockOp::Flush => Ok(()),
            _ => Err(Error::NotSupported),
        };
        request.complete(result.map_err(|_| BlockError::Io));
    }
}

#[test]
fn a_guest_reads_what_it_wrote() {
    let mut machine = Machine::new(VecDisk(Mutex::new(vec![0; DISK_BYTES as usize])));
    let data: [u8; 512] = std::array::from_fn(|i| i as u8 ^ 0x5a);
    assert!(machine.write(3, &data).is_ok());
    let (result, back) = machine.read(3);
    assert!(result.is_ok());
    assert_eq!(result.transferred, 512);
    assert_eq!(back, data);
    assert_eq!(machine.read(4).1, [0; 512]);
    assert_eq!(machine.loopback.faults(), 0);
}

#[test]
fn a_disk_counts_what_the_guest_does_with_it() {
    let mut machine = Machine::new(Scripted::new(|r| {
        let result = if r.op() == BlockOp::Write { Err(BlockError::Io) } else { Ok(()) };
        r.complete(result);
    }));
    assert!(machine.read(0).0.is_ok());
    assert!(machine.read(1).0.is_ok());
    assert!(!machine.write(0, &[0; 512]).is_ok());

    let disk = machine.disk.as_ref().unwrap();
    let counted = |op| {
        let c = disk.counters(op).unwrap();
        (c.requests, c.bytes, c.errors)
    };
    assert_eq!(counted(DiskOp::Read), (2, 1024, 0));
    let (writes, _, failed) = counted(DiskOp::Write);
    assert_eq!((writes, failed), (1, 1));
    assert_eq!(counted(DiskOp::Flush), (0, 0, 0));
}

#[test]
fn the_librarys_own_disk_holds_what_the_guest_wrote() {
    let disk = MemoryDisk::new(DISK_BYTES as usize, 512).unwrap();
    let data = disk.data();
    let mut machine = Machine::new(disk);
    assert!(machine.write(1, &[7; 512]).is_ok());
    let mut block = [0; 512];
    data.read(512, &mut block).unwrap();
    assert_eq!(block, [7; 512]);
}

#[test]
fn a_request_is_completed_by_another_thread() {
    let (send, receive) = mpsc::channel::<BlockRequest>();
    let send = Mutex::new(send);
    let thread = std::thread::spawn(move || {
        for request in receive {
            let _ = request.data().write(0, &[0x42; 512]);
            request.complete(Ok(()));
        }
    });
    let mut machine = Machine::new(Scripted::new(move |r| send.lock().unwrap().send(r).unwrap()));
    machine.submit_read(1);
    let result = loop {
        machine.loopback.run();
        if let Some((xid, result)) = machine.channel.reap_scsi().unwrap() {
            assert_eq!(xid, 1);
            break result;
        }
        std::thread::yield_now();
    };
    assert!(result.is_ok());
    let mut data = [0; 512];
    machine.pages.read(&mut data).unwrap();
    assert_eq!(data, [0x42; 512]);
    drop(machine);
    thread.join().unwrap();
}

#[test]
fn a_dropped_request_fails() {
    let mut machine = Machine::new(Scripted::new(drop));
    assert!(!machine.read(0).0.is_ok());
    assert!(!machine.read(0).0.is_ok());
}

#[test]
fn a_back_end_that_panics_fails_its_request_only() {
    let calls = AtomicUsize::new(0);
    let mut machine = Machine::new(Scripted::new(move |r| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("the test wants it");
        }
        r.complete(Ok(()));
    }));
    assert!(!machine.read(0).0.is_ok());
    assert!(machine.read(0).0.is_ok());
}

#[test]
fn errors_reach_the_guest_as_sense_data() {
    let sense = |error: BlockError| {
        let mut machine = Machine::new(Scripted::new(move |r| r.complete(Err(error))));
        let result = machine.write(0, &[0; 512]);
        assert_eq!(result.scsi_status, 2, "{error}");
        result.sense[2] & 0xf
    };
    assert_eq!(sense(BlockError::ReadOnly), 7);
    assert_eq!(sense(BlockError::NoSpace), 7);
    assert_ne!(sense(BlockError::Io), 0);
}

#[test]
fn a_disk_is_removed_with_requests_in_flight() {
    let dropped = Dropped::default();
    let backend = Scripted { tells: Some(dropped.object()), ..Scripted::holding() };
    let held = backend.held.clone();
    let mut machine = Machine::new(backend);
    machine.submit_read(1);
    machine.submit_read(2);
    assert_eq!(held.lock().unwrap().len(), 2);

    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    machine.disk.take().unwrap().remove(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    machine.loopback.run();
    assert_eq!(done.load(Ordering::SeqCst), 1, "the requests were cancelled");
    assert!(dropped.is());
    assert!(held.lock().unwrap().is_empty());
    let results = machine.reap_all();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|r| !r.is_ok()));
    assert!(!machine.read(0).0.is_ok(), "there is no disk");
    let again = machine.controller.attach(&DiskConfig::default(), Scripted::new(drop));
    assert!(again.is_ok());
}

#[test]
fn a_removed_disk_waits_for_a_back_end_that_can_not_cancel() {
    let (send, receive) = mpsc::channel::<BlockRequest>();
    let send = Mutex::new(send);
    let dropped = Dropped::default();
    let scripted = Scripted::new(move |r| send.lock().unwrap().send(r).unwrap());
    let mut machine = Machine::new(Scripted { tells: Some(dropped.object()), ..scripted });
    machine.submit_read(1);
    let request = receive.recv().unwrap();
    machine.disk.take().unwrap().remove(|| ());
    machine.loopback.run();
    assert!(!dropped.is());
    std::thread::spawn(move || request.complete(Ok(()))).join().unwrap();
    machine.loopback.run();
    assert!(dropped.is());
}

#[test]
fn a_controller_leaves_with_its_disks() {
    let dropped = Dropped::default();
    let backend = Scripted { tells: Some(dropped.object()), ..Scripted::new(drop) };
    let Machine { controller, disk, loopback, .. } = Machine::new(backend);
    assert!(!dropped.is());
    drop(disk);
    loopback.run();
    assert!(!dropped.is(), "a disk stays with its controller");
    drop(controller);
    loopback.run();
    assert!(dropped.is());
}

#[test]
fn a_controller_leaves_while_a_disk_of_it_does() {
    let (one, two) = (Dropped::default(), Dropped::default());
    let first = Scripted { tells: Some(one.object()), ..Scripted::holding() };
    let held = first.held.clone();
    let mut machine = Machine::new(Scripted { held: Arc::default(), ..first });
    let second = Scripted { tells: Some(two.object()), ..Scripted::new(drop) };
    let config = DiskConfig { lun: 1, ..Default::default() };
    let disk = machine.controller.attach(&config, second).unwrap();
    machine.submit_read(1);
    machine.disk.take().unwrap().remove(|| ());
    let Machine { loopback, controller, channel, guest, pages, .. } = machine;
    drop((controller, disk));
    loopback.run();
    assert!(!one.is(), "its request is not back");
    held.lock().unwrap().clear();
    loopback.run();
    loopback.run();
    assert!(one.is() && two.is());
    drop((channel, guest, pages));
}

#[test]
fn everything_goes_with_the_bus() {
    let dropped = Dropped::default();
    let backend = Scripted { tells: Some(dropped.object()), ..Scripted::holding() };
    let held = backend.held.clone();
    let mut machine = Machine::new(backend);
    machine.submit_read(1);
    drop(machine);
    assert!(dropped.is());
    assert!(held.lock().unwrap().is_empty());
}

#[test]
fn nothing_is_left_of_a_bus_that_was_never_started() {
    let dropped = Dropped::default();
    {
        let loopback = Loopback::new().unwrap();
        let config = ControllerConfig::default();
        let controller = StorageController::new(loopback.bus(), &config).unwrap();
        let backend = Scripted { tells: Some(dropped.object()), ..Scripted::new(drop) };
        controller.attach(&DiskConfig::default(), backend).unwrap();
    }
    assert!(dropped.is());
}

#[test]
fn what_is_refused_is_dropped() {
    let loopback = Loopback::new().unwrap();
    let config = ControllerConfig::default();
    let controller = StorageController::new(loopback.bus(), &config).unwrap();
    let attach = |config: &DiskConfig| {
        let dropped = Dropped::default();
        let backend = Scripted { tells: Some(dropped.object()), ..Scripted::new(drop) };
        let error = controller.attach(config, backend).err().unwrap();
        assert!(dropped.is());
        error
    };
    assert_eq!(attach(&DiskConfig { lun: 255, ..Default::default() }), Error::Invalid);
    let long = DiskConfig { serial: "x".repeat(33), ..Default::default() };
    assert_eq!(attach(&long), Error::Invalid);
    controller.attach(&DiskConfig::default(), Scripted::new(drop)).unwrap();
    assert_eq!(attach(&DiskConfig::default()), Error::Exists);
    let again = StorageController::new(loopback.bus(), &config);
    assert_eq!(again.err(), Some(Error::Exists));
}

/// A disk whose size can be changed, or whose info fails.
struct Sized(Arc<Mutex<Result<u64>>>);

impl BlockBackend for Sized {
    fn info(&self) -> Result<BlockInfo> {
        self.0.lock().unwrap().map(BlockInfo::of_size)
    }

    fn submit(&self, request: BlockRequest) {
        request.complete(Ok(()));
    }
}

#[test]
fn a_disk_that_has_grown_is_refreshed() {
    let size = Arc::new(Mutex::new(Ok(DISK_BYTES)));
    let mut machine = Machine::new(Sized(size.clone()));
    *size.lock().unwrap() = Ok(2 * DISK_BYTES);
    machine.disk.as_ref().unwrap().refresh().unwrap();
    machine.loopback.run();
    assert!(machine.reap_all().is_empty());
    let _ = machine.channel.execute_scsi(0, &[0; 6], None).unwrap();
    let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let data = Some((guest::Direction::In, &machine.pages, 8));
    assert!(machine.channel.execute_scsi(0, &capacity, data).unwrap().is_ok());
    let mut last = [0; 4];
    machine.pages.read(&mut last).unwrap();
    assert_eq!(u64::from(u32::from_be_bytes(last)) + 1, 2 * DISK_BYTES / 512);
    *size.lock().unwrap() = Err(Error::Os(libc::ENXIO));
    assert_eq!(machine.disk.as_ref().unwrap().refresh(), Err(Error::Os(libc::ENXIO)));
}

#[test]
fn guest_memory_is_bounded() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    let mut machine = Machine::new(Scripted::new(move |r| {
        let data = r.data();
        let write = r.op() == BlockOp::Write;
        let mut seen = into.lock().unwrap();
        seen.push(data.len() == 512 && data.to_vec().len() == 512 && !data.is_empty());
        seen.push(data.read(511, &mut [0; 2]) == Err(Error::OutOfRange));
        seen.push(data.read(usize::MAX, &mut [0; 1]) == Err(Error::OutOfRange));
        seen.push(data.read(512, &mut []) == Ok(()));
        let wanted = if write { Err(Error::Fault) } else { Ok(()) };
        seen.push(data.write(1, &[1; 3]) == wanted);
        drop(seen);
        r.complete(Ok(()));
    }));
    assert!(machine.read(0).0.is_ok());
    assert!(machine.write(0, &[0; 512]).is_ok());
    let seen = seen.lock().unwrap();
    assert_eq!(*seen, vec![true; 10]);
}
