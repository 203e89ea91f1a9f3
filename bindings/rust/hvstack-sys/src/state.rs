// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/state.h";
    opaque {
        hvs_state_writer;
        hvs_state_reader;
    }
    callbacks {
        fn hvs_write_fn(arg: *mut c_void, bytes: *const c_void, len: usize) -> c_int;
    }
    functions {
        fn hvs_vmbus_save(bus: *mut hvs_vmbus, write: hvs_write_fn, arg: *mut c_void) -> c_int;
        fn hvs_vmbus_restore(bus: *mut hvs_vmbus, state: *const c_void, len: usize) -> c_int;
        fn hvs_hv_save(hv: *mut hvs_hv, write: hvs_write_fn, arg: *mut c_void) -> c_int;
        fn hvs_hv_restore(hv: *mut hvs_hv, state: *const c_void, len: usize) -> c_int;
        fn hvs_state_put(w: *mut hvs_state_writer, bytes: *const c_void, len: usize) -> c_int;
        fn hvs_state_get(r: *mut hvs_state_reader, bytes: *mut c_void, len: usize) -> c_int;
        fn hvs_state_put_map(
            w: *mut hvs_state_writer,
            ch: *mut hvs_channel,
            map: *const hvs_map,
        ) -> c_int;
        fn hvs_state_get_extents(
            r: *mut hvs_state_reader,
            ch: *mut hvs_channel,
            max_len: u32,
            out: *mut *mut hvs_extents,
        ) -> c_int;
        fn hvs_extents_free(e: *mut hvs_extents);
    }
}
