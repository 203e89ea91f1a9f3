// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/host/limit.h";
    opaque {
        hvs_limit;
    }
    structs {
        hvs_limit_rates {
            requests_per_s: u64;
            bytes_per_s: u64;
            burst_requests: u64;
            burst_bytes: u64;
        }
        hvs_limit_config {
            size: u32;
            base_count: u32;
            ops: *const hvs_blk_ops;
            disk: *mut c_void;
            base: *mut event_base;
            bases: *const *mut event_base;
            rates: hvs_limit_rates;
        }
    }
    functions {
        fn hvs_limit_ops() -> *const hvs_blk_ops;
        fn hvs_limit_create(cfg: *const hvs_limit_config, out: *mut *mut hvs_limit) -> c_int;
        fn hvs_limit_destroy(limit: *mut hvs_limit);
        fn hvs_limit_set(limit: *mut hvs_limit, rates: *const hvs_limit_rates) -> c_int;
    }
}
