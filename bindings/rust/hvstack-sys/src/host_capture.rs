// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint};

header! {
    "hvstack/host/capture.h";
    opaque {
        hvs_capture;
        hvs_mirror;
    }
    enums {
        hvs_capture_what: c_uint {
            HVS_CAPTURE_FRAMES = 0;
            HVS_CAPTURE_VMBUS = 1;
        }
    }
    structs {
        hvs_capture_config {
            size: u32;
            max_packet: u32;
            path: *const c_char;
            name: *const c_char;
            max_bytes: u64;
            buffer_bytes: u32;
            reserved: u32;
            what: u32;
            reserved2: u32;
            instance_id: hvs_guid;
        }
        hvs_capture_counters {
            size: u32;
            error: i32;
            frames: u64;
            dropped: u64;
            bytes: u64;
        }
    }
    functions {
        fn hvs_capture_ops() -> *const hvs_net_monitor_ops;
        fn hvs_capture_tap_ops() -> *const hvs_tap_ops;
        fn hvs_capture_open(cfg: *const hvs_capture_config, out: *mut *mut hvs_capture) -> c_int;
        fn hvs_capture_get_counters(
            capture: *mut hvs_capture,
            counters: *mut hvs_capture_counters,
        ) -> c_int;
        fn hvs_capture_close(capture: *mut hvs_capture);
        fn hvs_mirror_ops() -> *const hvs_net_monitor_ops;
        fn hvs_mirror_create(
            to: *mut hvs_nic,
            base: *mut event_base,
            out: *mut *mut hvs_mirror,
        ) -> c_int;
        fn hvs_mirror_dropped(mirror: *mut hvs_mirror) -> u64;
        fn hvs_mirror_destroy(mirror: *mut hvs_mirror);
    }
}
