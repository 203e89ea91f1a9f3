// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_void};

header! {
    "hvstack/host/tap.h";
    opaque {
        hvs_tap;
    }
    structs {
        hvs_tap_config {
            size: u32;
            flags: u32;
            name: *const c_char;
            fds: *const c_int;
            fd_count: u32;
            queue_count: u32;
            base_count: u32;
            mtu: u32;
            bases: *const *mut event_base;
            log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>;
            arg: *mut c_void;
        }
    }
    functions {
        fn hvs_tap_ops() -> *const hvs_net_ops;
        fn hvs_tap_open(
            cfg: *const hvs_tap_config,
            out: *mut *mut hvs_tap,
            why: *mut c_char,
            why_len: usize,
        ) -> c_int;
        fn hvs_tap_close(tap: *mut hvs_tap);
    }
}
