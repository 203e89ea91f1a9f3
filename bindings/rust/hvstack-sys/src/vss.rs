// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/vss.h";
    enums {
        hvs_vss_state: c_uint {
            HVS_VSS_IDLE = 0;
            HVS_VSS_FREEZING = 1;
            HVS_VSS_FROZEN = 2;
            HVS_VSS_THAWING = 3;
            HVS_VSS_UNKNOWN = 4;
        }
    }
    constants {
        HVS_VSS_HOLD_MS: u32 = 10000;
        HVS_VSS_NO_AUTO_RECOVER: u32 = 0x4;
        HVS_VSS_MAX_LUNS: u32 = 260;
    }
    callbacks {
        fn hvs_vss_check_fn(arg: *mut c_void, status: c_int, guest_status: u32, flags: u32);
    }
    structs {
        hvs_vss_lun {
            controller: hvs_guid;
            port: u8;
            target: u8;
            lun: u8;
            reserved: u8;
        }
        hvs_vss_freeze_request {
            size: u32;
            timeout_ms: u32;
            hold_ms: u32;
            lun_count: u32;
            luns: *const hvs_vss_lun;
        }
    }
    functions {
        fn hvs_vss_get_state(ic: *const hvs_ic) -> hvs_vss_state;
        fn hvs_vss_check(
            ic: *mut hvs_ic,
            timeout_ms: u32,
            done: hvs_vss_check_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_vss_freeze(
            ic: *mut hvs_ic,
            request: *const hvs_vss_freeze_request,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_vss_thaw(
            ic: *mut hvs_ic,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_vss_complete(
            ic: *mut hvs_ic,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_vss_auto_recover(
            ic: *mut hvs_ic,
            luns: *const hvs_vss_lun,
            shadows: *const hvs_vss_lun,
            count: u32,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
    }
}
