// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/host/snapshot.h";
    opaque {
        hvs_point;
    }
    enums {
        hvs_point_event: c_uint {
            HVS_POINT_PREPARED = 1;
            HVS_POINT_TAKEN = 2;
        }
    }
    constants {
        HVS_SNAPSHOT_CHUNK: u32 = 65536;
        HVS_POINT_NO_CLONE: u32 = 0x1;
        HVS_POINT_MAX_DISKS: u32 = 64;
    }
    structs {
        hvs_snapshot_config {
            size: u32;
            base_count: u32;
            ops: *const hvs_blk_ops;
            disk: *mut c_void;
            base: *mut event_base;
            bases: *const *mut event_base;
            dir: *const c_char;
            changes_path: *const c_char;
        }
        hvs_point_config {
            size: u32;
            flags: u32;
            count: u32;
            drain_ms: u32;
            disks: *const *mut hvs_snapshot;
            base: *mut event_base;
            event: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut hvs_point,
                    hvs_point_event,
                    c_int,
                ),
            >;
            arg: *mut c_void;
        }
    }
    functions {
        fn hvs_snapshot_ops() -> *const hvs_blk_ops;
        fn hvs_snapshot_create(
            cfg: *const hvs_snapshot_config,
            out: *mut *mut hvs_snapshot,
        ) -> c_int;
        fn hvs_snapshot_destroy(snapshot: *mut hvs_snapshot);
        fn hvs_point_create(cfg: *const hvs_point_config, out: *mut *mut hvs_point) -> c_int;
        fn hvs_point_take(point: *mut hvs_point) -> c_int;
        fn hvs_point_bytes(point: *const hvs_point, disk: u32) -> u64;
        fn hvs_point_is_clone(point: *const hvs_point, disk: u32) -> bool;
        fn hvs_point_read(
            point: *mut hvs_point,
            disk: u32,
            offset: u64,
            buf: *mut c_void,
            len: usize,
        ) -> c_int;
        fn hvs_point_extent(
            point: *mut hvs_point,
            disk: u32,
            offset: u64,
            len: u64,
            extent_len: *mut u64,
            zeros: *mut bool,
        ) -> c_int;
        fn hvs_point_forget(point: *mut hvs_point, disk: u32, offset: u64, len: u64);
        fn hvs_point_knows(point: *const hvs_point, disk: u32, id: *const hvs_guid) -> bool;
        fn hvs_point_next_change(
            point: *const hvs_point,
            disk: u32,
            offset: u64,
            start: *mut u64,
            len: *mut u64,
        ) -> bool;
        fn hvs_point_abort(point: *mut hvs_point);
        fn hvs_point_release(point: *mut hvs_point, backup: *const hvs_guid);
    }
}
