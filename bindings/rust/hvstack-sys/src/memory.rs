// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/memory.h";
    functions {
        fn hvs_mem_create(alloc: *const hvs_allocator, out: *mut *mut hvs_mem) -> c_int;
        fn hvs_mem_add(
            mem: *mut hvs_mem,
            gpa: u64,
            len: u64,
            hva: *mut c_void,
            access: hvs_access,
        ) -> c_int;
        fn hvs_mem_destroy(mem: *mut hvs_mem);
    }
}
