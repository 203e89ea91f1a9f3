// SPDX-License-Identifier: MIT
//! The parts for Linux, as far as they go without KVM and privileges.

mod common;

use common::*;
use hvstack::guest::Loopback;
use hvstack::host::*;
use hvstack::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::io::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("hvstack-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn image(&self) -> PathBuf {
        let path = self.0.join("disk.img");
        File::create(&path).unwrap().set_len(DISK_BYTES).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads a block, with the loop that completes it.
fn read(machine: &mut Machine, event_loop: &EventLoop) -> [u8; 512] {
    machine.submit_read(1);
    loop {
        event_loop.run_pending().unwrap();
        machine.loopback.run();
        match machine.channel.reap_scsi() {
            Ok(Some((_, result))) => {
                assert!(result.is_ok(), "{result:?}");
                break;
            }
            Ok(None) => std::thread::yield_now(),
            Err(err) => panic!("{err}"),
        }
    }
    let mut data = [0; 512];
    machine.pages.read(&mut data).unwrap();
    data
}

#[test]
fn a_file_is_a_disk() {
    for threads in [false, true] {
        let folder = Folder::new();
        let path = folder.image();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[3; 512], 0).unwrap();
        let event_loop = EventLoop::new().unwrap();
        let config = FileDiskConfig { threads, ..Default::default() };
        let disk = FileDisk::open(&event_loop, &path, config).unwrap();
        let mut machine = Machine::new(disk.clone());
        assert_eq!(read(&mut machine, &event_loop), [3; 512]);

        let elsewhere = DiskConfig { lun: 1, ..Default::default() };
        let twice = machine.controller.attach(&elsewhere, disk.clone());
        assert_eq!(twice.err(), Some(Error::Busy));
        let locked = FileDisk::open(&event_loop, &path, config).err().unwrap();
        assert_eq!(locked.error, Error::Busy);
        assert!(locked.to_string().len() > "busy".len(), "{locked}");

        disk.resize(2 * DISK_BYTES).unwrap();
        machine.disk.as_ref().unwrap().refresh().unwrap();
        assert_eq!(disk.resize(0), Err(Error::Invalid));
        disk.set_read_only(true).unwrap();
        machine.disk.take().unwrap().remove(|| ());
        machine.loopback.run();
        machine.controller.attach(&elsewhere, disk).unwrap();
    }
}

#[test]
fn what_can_not_be_opened_says_why() {
    let event_loop = EventLoop::new().unwrap();
    let none = FileDisk::open(&event_loop, "/nonexistent/disk", FileDiskConfig::default());
    assert_eq!(none.err().unwrap().error, Error::NotFound);
    let tap = Tap::open(&event_loop, "no-such-tap").err().unwrap();
    assert!(!tap.why.is_empty());
    let nul = FileDisk::open(&event_loop, "nul\0", FileDiskConfig::default());
    assert_eq!(nul.err().unwrap().error, Error::Invalid);
    let kvm = Kvm::new(
        &event_loop,
        KvmConfig {
            vm: File::open("/dev/null").unwrap().as_fd(),
            vcpu_count: 1,
            synic: KvmSynic::Auto,
            bus: BusConfig::default(),
            crash: None,
        },
    );
    assert!(kvm.is_err(), "/dev/null is no VM");
}

#[test]
fn a_network_needs_no_privileges() {
    let event_loop = EventLoop::new().unwrap();
    let mut net = UserNet::new(&event_loop, UserNetConfig::default()).unwrap();
    let nowhere = net.forward_tcp(&event_loop, "127.0.0.1:0".parse().unwrap(), 22);
    assert_eq!(nowhere, Err(Error::Invalid));
    let loopback = Loopback::new().unwrap();
    let config = NicConfig { mac: [2, 0, 0, 0, 0, 1], ..Default::default() };
    let nic = Nic::new(loopback.bus(), &config, net).unwrap();
    let mut guest = loopback.start().unwrap();
    assert_eq!(guest.connect(VERSION).unwrap().len(), 1);
    event_loop.run_pending().unwrap();
    nic.handle().set_link(false, 0);
    drop(nic);
    loopback.run();
    event_loop.run_pending().unwrap();
}

#[test]
fn a_loop_is_stopped_from_another_thread() {
    let event_loop = EventLoop::new().unwrap();
    let stopper = event_loop.stopper();
    let thread = std::thread::spawn(move || stopper.stop());
    thread.join().unwrap().unwrap();
    event_loop.run().unwrap();
}

/// Asks, and runs the loop until there is an answer.
fn ask(event_loop: &EventLoop, stream: &UnixStream, request: &str) -> String {
    let mut to = stream;
    writeln!(to, "{request}").unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut answer = String::new();
    let mut from = BufReader::new(stream);
    while !answer.ends_with('\n') {
        event_loop.run_pending().unwrap();
        match from.read_line(&mut answer) {
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            result => {
                result.unwrap();
            }
        }
    }
    answer
}

#[test]
fn clients_ask_the_manager() {
    let folder = Folder::new();
    let event_loop = EventLoop::new().unwrap();
    let config = ManagerConfig {
        socket: folder.0.join("control"),
        server: "test 1".into(),
        name: "machine".into(),
        uuid: Guid::from_u128(5),
    };
    let manager = Manager::new(&event_loop, &config).unwrap();
    let echo = |params: Option<&str>| match params {
        Some(params) if params.contains("panic") => panic!("the client wants it"),
        Some(params) => Ok(Some(format!("{{\"got\": {params}}}"))),
        None => Err(CallError::new(CallError::FAILED, "100 % wrong")),
    };
    manager.add_method("echo", Role::Operate, echo).unwrap();
    assert_eq!(manager.add_method("echo", Role::Operate, echo), Err(Error::Exists));

    let loopback = Loopback::new().unwrap();
    let services_config =
        ServicesConfig { manager: Some(&manager), name: "machine", ..Default::default() };
    let services = Services::new(&event_loop, loopback.bus(), &services_config).unwrap();
    services.enable(ServiceKind::FileCopy, true).unwrap();
    services.time_jumped();

    let stream = UnixStream::connect(&config.socket).unwrap();
    let call = |id: u32, rest: &str| {
        let request = format!("{{\"jsonrpc\": \"2.0\", \"id\": {id}, {rest}}}");
        ask(&event_loop, &stream, &request)
    };
    let answer = call(1, "\"method\": \"echo\", \"params\": {\"a\": 1}");
    assert!(answer.contains("got") && answer.contains("\"a\""), "{answer}");
    assert!(call(2, "\"method\": \"echo\"").contains("100 % wrong"));
    let panicked = call(3, "\"method\": \"echo\", \"params\": {\"panic\": 1}");
    assert!(panicked.contains("the method panicked"), "{panicked}");
    assert!(call(4, "\"method\": \"version\"").contains("test 1"));

    let mut guest = loopback.start().unwrap();
    assert_eq!(guest.connect(VERSION).unwrap().len(), 6);
    drop((services, manager));
    assert!(call(5, "\"method\": \"version\"").contains("test 1"), "it stays with the bus");
    drop((guest, loopback));
}
