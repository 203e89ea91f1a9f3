// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::c_int;

header! {
    "hvstack/guest/storage.h";
    constants {
        HVS_GUEST_STOR_IN: u32 = 1;
        HVS_GUEST_STOR_OUT: u32 = 0;
        HVS_GUEST_STOR_NONE: u32 = 2;
    }
    structs {
        hvs_guest_scsi {
            lun: u8;
            cdb_len: u8;
            cdb: [u8; 16];
            direction: u8;
            buffer: hvs_guest_buffer;
        }
        hvs_guest_scsi_result {
            srb_status: u8;
            scsi_status: u8;
            sense_len: u8;
            sense: [u8; 20];
            transferred: u32;
        }
    }
    functions {
        fn hvs_guest_stor_init(
            ch: *mut hvs_guest_channel,
            version: u16,
            max_transfer_bytes: *mut u32,
        ) -> c_int;
        fn hvs_guest_stor_create_subchannels(ch: *mut hvs_guest_channel, count: u16) -> c_int;
        fn hvs_guest_stor_submit(
            ch: *mut hvs_guest_channel,
            xid: u64,
            cmd: *const hvs_guest_scsi,
        ) -> c_int;
        fn hvs_guest_stor_reap(
            ch: *mut hvs_guest_channel,
            xid: *mut u64,
            result: *mut hvs_guest_scsi_result,
        ) -> c_int;
        fn hvs_guest_stor_execute(
            ch: *mut hvs_guest_channel,
            cmd: *const hvs_guest_scsi,
            result: *mut hvs_guest_scsi_result,
        ) -> c_int;
    }
}
