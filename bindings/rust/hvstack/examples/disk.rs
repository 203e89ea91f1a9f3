// SPDX-License-Identifier: MIT
//! A disk whose data come from Rust: a file if one is named, else memory. The host's thread polls
//! the bus's file descriptor, as mio or tokio would; another thread does the I/O. A guest on a third
//! one writes a block, reads it back and compares. Neither KVM nor privileges are needed.

use hvstack::guest::{Direction, Guest};
use hvstack::*;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::Duration;

const DISK_BYTES: u64 = 16 << 20;
const RAM_BYTES: usize = 8 << 20;

/// Hands requests to the thread that does the I/O.
struct FileBackend {
    bytes: u64,
    queue: Mutex<mpsc::Sender<BlockRequest>>,
}

impl BlockBackend for FileBackend {
    fn info(&self) -> Result<BlockInfo> {
        Ok(BlockInfo { write_back: true, ..BlockInfo::of_size(self.bytes) })
    }

    fn submit(&self, request: BlockRequest) {
        // If the thread has gone, the request comes back, is dropped, and fails.
        let _ = self.queue.lock().unwrap().send(request);
    }
}

impl FileBackend {
    fn new(file: File) -> std::io::Result<Self> {
        let (queue, requests) = mpsc::channel();
        let bytes = file.metadata()?.len();
        std::thread::spawn(move || serve(&file, requests));
        Ok(FileBackend { bytes, queue: Mutex::new(queue) })
    }
}

fn serve(file: &File, requests: mpsc::Receiver<BlockRequest>) {
    for request in requests {
        let result = transfer(file, &request);
        request.complete(result.map_err(|_| BlockError::Io));
    }
}

fn transfer(file: &File, request: &BlockRequest) -> std::io::Result<()> {
    let mut bytes = vec![0; request.data().len()];
    match request.op() {
        BlockOp::Read => {
            file.read_exact_at(&mut bytes, request.offset())?;
            Ok(request.data().write(0, &bytes)?)
        }
        BlockOp::Write => {
            request.data().read(0, &mut bytes)?;
            file.write_all_at(&bytes, request.offset())
        }
        BlockOp::Flush => file.sync_data(),
        _ => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

/// Interrupts of the guest's processor. A VMM injects them; our guest sleeps until there is one.
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

/// What runs on a virtual processor: a driver of the controller.
fn guest(vp: Vp, ram: Ram, interrupt: Interrupt) -> Result<bool> {
    let mut guest = Guest::new(vp, ram, 0, move || interrupt.wait())?;
    let offers = guest.connect(5 << 16 | 3)?;
    let mut channel = guest.open(offers.first().ok_or(Error::NotFound)?)?;
    channel.init_storage()?;
    let mut pages = guest.alloc(1)?;
    let text = *b"hello from the guest";
    let _power_on = channel.execute_scsi(0, &[0; 6], None)?; // TEST UNIT READY
    let mut command = |opcode, direction, pages: &_| {
        let cdb = [opcode, 0, 0, 0, 0, 9, 0, 0, 1, 0];
        channel.execute_scsi(0, &cdb, Some((direction, pages, 512)))
    };
    pages.write(&text)?;
    let written = command(0x2a, Direction::Out, &pages)?; // WRITE(10) of block 9
    pages.write(&[0; 512])?;
    let read = command(0x28, Direction::In, &pages)?; // READ(10)
    let mut back = [0; 20];
    pages.read(&mut back)?;
    Ok(written.is_ok() && read.is_ok() && back == text)
}

fn open() -> std::io::Result<File> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => path,
        None => format!("/dev/shm/hvstack-example-{}", std::process::id()).into(),
    };
    let how = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    let file = how.open(&path)?;
    if std::env::args_os().len() < 2 {
        file.set_len(DISK_BYTES)?;
        std::fs::remove_file(path)?; // it stays until it is closed
    }
    Ok(file)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (ram, memory, interrupt) = (Ram::new(RAM_BYTES)?, Memory::new()?, Interrupt::default());
    memory.add(0, &ram, Access::ReadWrite)?;
    let hypervisor = Hypervisor::new(HypervisorConfig::default(), &memory, interrupt.clone())?;
    let bus = hypervisor.bus(BusConfig::default())?;
    let config = ControllerConfig { instance_id: Guid::from_u128(1), ..Default::default() };
    let controller = StorageController::new(&bus, &config)?;
    let disk = DiskConfig { disk_id: Guid::from_u128(2), ..Default::default() };
    controller.attach(&disk, FileBackend::new(open()?)?)?;
    bus.start()?;

    let ended = Arc::new(AtomicBool::new(false));
    let (vp, end) = (hypervisor.vp(0)?, ended.clone());
    let vcpu = std::thread::spawn(move || {
        let result = guest(vp, ram, interrupt);
        end.store(true, Ordering::SeqCst);
        result
    });
    while !ended.load(Ordering::SeqCst) {
        bus.turn(Some(Duration::from_millis(10)))?; // poll(), then dispatch
    }
    if !vcpu.join().map_err(|_| "the guest panicked")?? {
        return Err("the disk does not hold what the guest wrote".into());
    }
    println!("the disk holds what the guest wrote");
    Ok(())
}
