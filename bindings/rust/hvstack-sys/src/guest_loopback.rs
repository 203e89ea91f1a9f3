// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/guest/loopback.h";
    opaque {
        hvs_loopback;
    }
    constants {
        HVS_LOOPBACK_EXTERNAL_SINTS: u32 = 0x1;
    }
    structs {
        hvs_loopback_config {
            size: u32;
            flags: u32;
            max_version: u32;
            max_gpadls: u32;
            max_gpadl_pages: u32;
            ram_bytes: usize;
            alloc: hvs_allocator;
            on_wait: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_loopback)>;
            arg: *mut c_void;
        }
        hvs_loopback_counters {
            interrupts: u64;
            hypercalls: u64;
            faults: u64;
            last_fault: u32;
            wakes: u64;
        }
    }
    functions {
        fn hvs_loopback_create(
            cfg: *const hvs_loopback_config,
            out: *mut *mut hvs_loopback,
        ) -> c_int;
        fn hvs_loopback_destroy(lb: *mut hvs_loopback);
        fn hvs_loopback_bus(lb: *mut hvs_loopback) -> *mut hvs_vmbus;
        fn hvs_loopback_mem(lb: *mut hvs_loopback) -> *mut hvs_mem;
        fn hvs_loopback_hv(lb: *mut hvs_loopback) -> *mut hvs_hv;
        fn hvs_loopback_start(lb: *mut hvs_loopback, out: *mut *mut hvs_guest) -> c_int;
        fn hvs_loopback_run(lb: *mut hvs_loopback);
        fn hvs_loopback_step(lb: *mut hvs_loopback, budget: c_uint);
        fn hvs_loopback_advance(lb: *mut hvs_loopback, ns: u64);
        fn hvs_loopback_replace_host(
            lb: *mut hvs_loopback,
            flags: u32,
            offer: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_vmbus) -> c_int>,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_loopback_count(lb: *const hvs_loopback) -> *const hvs_loopback_counters;
        fn hvs_loopback_alloc_pages(
            lb: *mut hvs_loopback,
            count: usize,
            gpa: *mut u64,
        ) -> *mut c_void;
        fn hvs_loopback_free_pages(lb: *mut hvs_loopback, pages: *mut c_void, count: usize);
    }
}
