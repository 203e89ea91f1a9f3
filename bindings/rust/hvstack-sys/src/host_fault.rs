// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/host/fault.h";
    opaque {
        hvs_fault;
    }
    enums {
        hvs_fault_action: c_uint {
            HVS_FAULT_PASS = 0;
            HVS_FAULT_ERROR = 1;
            HVS_FAULT_HANG = 2;
            HVS_FAULT_TORN = 3;
        }
    }
    constants {
        HVS_FAULT_MAX_RULES: u32 = 64;
    }
    structs {
        hvs_fault_rule {
            size: u32;
            ops: u32;
            offset: u64;
            len: u64;
            skip: u64;
            times: u64;
            one_in: u32;
            action: hvs_fault_action;
            status: hvs_blk_status;
            delay_ms: u32;
            bytes: u64;
        }
        hvs_fault_config {
            size: u32;
            base_count: u32;
            ops: *const hvs_blk_ops;
            disk: *mut c_void;
            base: *mut event_base;
            bases: *const *mut event_base;
            seed: u64;
        }
    }
    functions {
        fn hvs_fault_ops() -> *const hvs_blk_ops;
        fn hvs_fault_create(cfg: *const hvs_fault_config, out: *mut *mut hvs_fault) -> c_int;
        fn hvs_fault_destroy(fault: *mut hvs_fault);
        fn hvs_fault_add(fault: *mut hvs_fault, rule: *const hvs_fault_rule) -> c_int;
        fn hvs_fault_clear(fault: *mut hvs_fault);
        fn hvs_fault_hits(fault: *mut hvs_fault, rule: u32) -> u64;
        fn hvs_fault_parse(
            fault: *mut hvs_fault,
            text: *const c_char,
            why: *mut c_char,
            why_size: usize,
        ) -> c_int;
    }
}
