// SPDX-License-Identifier: MIT
#![allow(dead_code)]

use hvstack::guest::{Direction, Guest, GuestChannel, GuestPages, Loopback, ScsiResult};
use hvstack::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub const VERSION: u32 = 5 << 16 | 3;
pub const CONTROLLER: Guid = Guid::from_u128(0x10);
pub const DISK_BYTES: u64 = 1 << 20;

pub fn read10(block: u8) -> [u8; 10] {
    [0x28, 0, 0, 0, 0, block, 0, 0, 1, 0]
}

pub fn write10(block: u8) -> [u8; 10] {
    [0x2a, 0, 0, 0, 0, block, 0, 0, 1, 0]
}

/// Tells whether an object was dropped.
#[derive(Clone, Default)]
pub struct Dropped(Arc<AtomicBool>);

pub struct Tells(Arc<AtomicBool>);

impl Dropped {
    pub fn object(&self) -> Tells {
        Tells(self.0.clone())
    }

    pub fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Submit = dyn Fn(BlockRequest) + Send + Sync;

/// A disk that does with requests what a test says.
pub struct Scripted {
    pub submit: Box<Submit>,
    pub held: Arc<Mutex<Vec<BlockRequest>>>,
    pub tells: Option<Tells>,
}

impl Scripted {
    pub fn new(submit: impl Fn(BlockRequest) + Send + Sync + 'static) -> Self {
        Scripted { submit: Box::new(submit), held: Arc::default(), tells: None }
    }

    /// Keeps all requests until they are cancelled.
    pub fn holding() -> Self {
        let held: Arc<Mutex<Vec<_>>> = Arc::default();
        let into = held.clone();
        Scripted { held, ..Self::new(move |r| into.lock().unwrap().push(r)) }
    }
}

impl BlockBackend for Scripted {
    fn info(&self) -> Result<BlockInfo> {
        Ok(BlockInfo::of_size(DISK_BYTES))
    }

    fn submit(&self, request: BlockRequest) {
        (self.submit)(request);
    }

    fn cancel(&self, id: RequestId) {
        let mut held = self.held.lock().unwrap();
        if let Some(at) = held.iter().position(|r| r.id() == id) {
            held.remove(at).complete(Err(BlockError::Aborted));
        }
    }
}

/// A machine with one disk, whose guest has the controller open.
pub struct Machine {
    pub pages: GuestPages,
    pub channel: GuestChannel,
    pub guest: Guest,
    pub disk: Option<Disk>,
    pub controller: StorageController,
    pub loopback: Loopback,
}

impl Machine {
    pub fn new(backend: impl IntoBlockDevice) -> Self {
        let loopback = Loopback::new().unwrap();
        let config = ControllerConfig { instance_id: CONTROLLER, ..Default::default() };
        let controller = StorageController::new(loopback.bus(), &config).unwrap();
        let disk = controller.attach(&DiskConfig::default(), backend).unwrap();
        let mut guest = loopback.start().unwrap();
        let offers = guest.connect(VERSION).unwrap();
        assert_eq!(offers.len(), 1);
        assert_eq!(offers[0].instance_id, CONTROLLER);
        let mut channel = guest.open(&offers[0]).unwrap();
        channel.init_storage().unwrap();
        let pages = guest.alloc(1).unwrap();
        // A SCSI disk says once that it has been switched on.
        let _ = channel.execute_scsi(0, &[0; 6], None).unwrap();
        Machine { loopback, controller, disk: Some(disk), guest, channel, pages }
    }

    pub fn write(&mut self, block: u8, data: &[u8; 512]) -> ScsiResult {
        self.pages.write(data).unwrap();
        let data = Some((Direction::Out, &self.pages, 512));
        self.channel.execute_scsi(0, &write10(block), data).unwrap()
    }

    pub fn read(&mut self, block: u8) -> (ScsiResult, [u8; 512]) {
        let mut data = [0; 512];
        let result =
            self.channel.execute_scsi(0, &read10(block), Some((Direction::In, &self.pages, 512)));
        self.pages.read(&mut data).unwrap();
        (result.unwrap(), data)
    }

    /// What has ended; and lets the guest hear that it should look for disks again.
    pub fn reap_all(&mut self) -> Vec<ScsiResult> {
        let mut results = Vec::new();
        loop {
            match self.channel.reap_scsi() {
                Ok(Some((_, result))) => results.push(result),
                Ok(None) => break results,
                Err(Error::Protocol) => (), // what it hears is no completion
                Err(err) => panic!("{err}"),
            }
        }
    }

    pub fn submit_read(&mut self, xid: u64) {
        let data = Some((Direction::In, &self.pages, 512));
        self.channel.submit_scsi(xid, 0, &read10(0), data).unwrap();
        self.loopback.run();
    }
}
