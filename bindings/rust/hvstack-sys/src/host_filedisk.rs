// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int};

header! {
    "hvstack/host/filedisk.h";
    opaque {
        hvs_filedisk;
    }
    constants {
        HVS_FILEDISK_READ_ONLY: u32 = 0x1;
        HVS_FILEDISK_SHARED: u32 = 0x2;
        HVS_FILEDISK_THREADS: u32 = 0x4;
        HVS_FILEDISK_DIRECT: u32 = 0x8;
    }
    structs {
        hvs_filedisk_config {
            size: u32;
            flags: u32;
            path: *const c_char;
            block_size: u32;
            queue_depth: u32;
            base_count: u32;
            reserved: u32;
            base: *mut event_base;
            bases: *const *mut event_base;
        }
    }
    functions {
        fn hvs_filedisk_ops() -> *const hvs_blk_ops;
        fn hvs_filedisk_open(
            cfg: *const hvs_filedisk_config,
            out: *mut *mut hvs_filedisk,
            why: *mut *const c_char,
        ) -> c_int;
        fn hvs_filedisk_resize(disk: *mut hvs_filedisk, bytes: u64) -> c_int;
        fn hvs_filedisk_set_read_only(disk: *mut hvs_filedisk, read_only: bool) -> c_int;
        fn hvs_filedisk_close(disk: *mut hvs_filedisk);
    }
}
