// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/worker.h";
    functions {
        fn hvs_vmbus_main_worker(bus: *mut hvs_vmbus) -> *mut hvs_worker;
        fn hvs_worker_create(
            bus: *mut hvs_vmbus,
            worker_priv: *mut c_void,
            out: *mut *mut hvs_worker,
        ) -> c_int;
        fn hvs_worker_dispatch(
            worker: *mut hvs_worker,
            budget: c_uint,
            next_deadline_ns: *mut u64,
        ) -> c_int;
    }
}
