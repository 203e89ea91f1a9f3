// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/storage.h";
    opaque {
        hvs_storvsp;
        hvs_disk;
    }
    enums {
        hvs_storvsp_kind: c_uint {
            HVS_STORVSP_SCSI = 0;
            HVS_STORVSP_IDE = 1;
        }
        hvs_disk_type: c_uint {
            HVS_DISK_FIXED = 0;
            HVS_DISK_OPTICAL = 1;
        }
    }
    constants {
        HVS_STORVSP_MAX_DISKS: u32 = 64;
        HVS_STORVSP_MAX_PATH: u32 = 7;
        HVS_STORVSP_MAX_TARGET: u32 = 1;
        HVS_STORVSP_MAX_LUN: u32 = 254;
    }
    structs {
        hvs_storvsp_config {
            size: u32;
            max_transfer_bytes: u32;
            instance_id: hvs_guid;
            worker: *mut hvs_worker;
            max_subchannels: u32;
            subchannel_worker_count: u32;
            subchannel_workers: *const *mut hvs_worker;
            max_version: u16;
            kind: u8;
            ide_channel: u8;
            ide_device: u8;
            reserved: [u8; 3];
            initiator_id: hvs_guid;
        }
        hvs_disk_config {
            size: u32;
            path: u8;
            target: u8;
            lun: u8;
            r#type: u8;
            disk_id: hvs_guid;
            serial: [c_char; 33];
            reserved: [u8; 7];
            ejected: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_disk)>;
            arg: *mut c_void;
            reservations: *const hvs_reservation_ops;
            reservation_store: *mut c_void;
        }
    }
    functions {
        fn hvs_storvsp_create(
            bus: *mut hvs_vmbus,
            cfg: *const hvs_storvsp_config,
            out: *mut *mut hvs_storvsp,
        ) -> c_int;
        fn hvs_storvsp_remove(ctl: *mut hvs_storvsp, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_storvsp_attach(
            ctl: *mut hvs_storvsp,
            cfg: *const hvs_disk_config,
            ops: *const hvs_blk_ops,
            disk: *mut c_void,
            out: *mut *mut hvs_disk,
        ) -> c_int;
        fn hvs_disk_remove(disk: *mut hvs_disk, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_disk_refresh(disk: *mut hvs_disk) -> c_int;
        fn hvs_disk_insert(
            disk: *mut hvs_disk,
            ops: *const hvs_blk_ops,
            medium: *mut c_void,
        ) -> c_int;
        fn hvs_disk_eject(
            disk: *mut hvs_disk,
            force: bool,
            done: hvs_done_fn,
            arg: *mut c_void,
        ) -> c_int;
    }
}
