// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_void};

header! {
    "hvstack/filecopy.h";
    constants {
        HVS_FILECOPY_PIECE: u32 = 6144;
        HVS_FILECOPY_MAX_WRITE: u32 = 1048576;
        HVS_FILECOPY_NAME_MAX: u32 = 259;
        HVS_FILECOPY_OVERWRITE: u32 = 0x1;
        HVS_FILECOPY_CREATE_PATH: u32 = 0x2;
    }
    structs {
        hvs_filecopy_request {
            size: u32;
            flags: u32;
            bytes: u64;
            directory: *const c_char;
            name: *const c_char;
            timeout_ms: u32;
            reserved: u32;
        }
        hvs_filecopy_progress {
            size: u32;
            reserved: u32;
            bytes: u64;
            written: u64;
        }
    }
    functions {
        fn hvs_filecopy_start(
            ic: *mut hvs_ic,
            request: *const hvs_filecopy_request,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_filecopy_write(
            ic: *mut hvs_ic,
            data: *const c_void,
            len: usize,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_filecopy_finish(ic: *mut hvs_ic, done: hvs_ic_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_filecopy_cancel(ic: *mut hvs_ic, done: hvs_ic_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_filecopy_get_progress(
            ic: *const hvs_ic,
            progress: *mut hvs_filecopy_progress,
        ) -> c_int;
    }
}
