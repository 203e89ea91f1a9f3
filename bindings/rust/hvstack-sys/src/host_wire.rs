// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/host/wire.h";
    opaque {
        hvs_wire;
        hvs_wire_end;
        hvs_pipe;
    }
    constants {
        HVS_PIPE_LISTEN: u32 = 0x1;
    }
    structs {
        hvs_wire_end_config {
            base_count: u32;
            bases: *const *mut event_base;
        }
        hvs_wire_config {
            size: u32;
            mtu: u32;
            end: [hvs_wire_end_config; 2];
        }
        hvs_pipe_config {
            size: u32;
            flags: u32;
            path: *const c_char;
            fd: c_int;
            mtu: u32;
            base: *mut event_base;
            max_queues: u32;
            reserved: u32;
            log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>;
            arg: *mut c_void;
        }
    }
    functions {
        fn hvs_wire_ops() -> *const hvs_net_ops;
        fn hvs_wire_create(cfg: *const hvs_wire_config, out: *mut *mut hvs_wire) -> c_int;
        fn hvs_wire_get_end(wire: *mut hvs_wire, which: c_uint) -> *mut hvs_wire_end;
        fn hvs_wire_destroy(wire: *mut hvs_wire);
        fn hvs_pipe_ops() -> *const hvs_net_ops;
        fn hvs_pipe_open(
            cfg: *const hvs_pipe_config,
            out: *mut *mut hvs_pipe,
            why: *mut c_char,
            why_len: usize,
        ) -> c_int;
        fn hvs_pipe_close(pipe: *mut hvs_pipe);
    }
}
