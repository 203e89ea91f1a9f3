// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_void};

header! {
    "hvstack/host/nbddisk.h";
    opaque {
        hvs_nbddisk;
    }
    constants {
        HVS_NBDDISK_READ_ONLY: u32 = 0x1;
    }
    structs {
        hvs_nbddisk_config {
            size: u32;
            flags: u32;
            uri: *const c_char;
            image: *const c_char;
            format: *const c_char;
            block_size: u32;
            open_timeout_ms: u32;
            request_timeout_ms: u32;
            log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>;
            arg: *mut c_void;
        }
    }
    functions {
        fn hvs_nbddisk_ops() -> *const hvs_blk_ops;
        fn hvs_nbddisk_open(
            cfg: *const hvs_nbddisk_config,
            out: *mut *mut hvs_nbddisk,
            why: *mut c_char,
            why_len: usize,
        ) -> c_int;
        fn hvs_nbddisk_close(disk: *mut hvs_nbddisk);
        fn hvs_nbddisk_format(path: *const c_char) -> *const c_char;
    }
}
