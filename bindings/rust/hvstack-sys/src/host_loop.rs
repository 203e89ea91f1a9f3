// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::c_int;

header! {
    "hvstack/host/loop.h";
    opaque {
        hvs_loop;
    }
    functions {
        fn hvs_loop_create(base: *mut event_base, out: *mut *mut hvs_loop) -> c_int;
        fn hvs_loop_set_worker(r#loop: *mut hvs_loop, worker: *mut hvs_worker);
        fn hvs_loop_wake(r#loop: *mut hvs_loop);
        fn hvs_loop_now_ns() -> u64;
        fn hvs_loop_destroy(r#loop: *mut hvs_loop);
    }
}
