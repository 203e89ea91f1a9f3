// SPDX-License-Identifier: MIT
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/host/timesample.h";
    functions {
        fn hvs_timesample(
            reference_time: Option<unsafe extern "C" fn(*mut c_void, *mut u64) -> c_int>,
            arg: *mut c_void,
            host_time: *mut u64,
            reference: *mut u64,
        ) -> c_int;
    }
}
