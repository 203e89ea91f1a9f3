// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/ic.h";
    opaque {
        hvs_ic;
    }
    enums {
        hvs_ic_kind: c_uint {
            HVS_IC_HEARTBEAT = 1;
            HVS_IC_KVP = 2;
            HVS_IC_SHUTDOWN = 3;
            HVS_IC_TIMESYNC = 4;
            HVS_IC_VSS = 5;
            HVS_IC_FILECOPY = 7;
        }
        hvs_ic_primary: c_uint {
            HVS_IC_OK = 2;
            HVS_IC_DEGRADED = 3;
            HVS_IC_NON_RECOVERABLE = 7;
            HVS_IC_NO_CONTACT = 12;
            HVS_IC_LOST_COMMUNICATION = 13;
        }
        hvs_ic_secondary: c_uint {
            HVS_IC_DETAIL_NONE = 0;
            HVS_IC_DETAIL_OK = 2;
            HVS_IC_DETAIL_MISMATCH = 32775;
            HVS_IC_DETAIL_CRITICAL = 32782;
            HVS_IC_DETAIL_TIMED_OUT = 32783;
            HVS_IC_DETAIL_FAILED = 32784;
        }
        hvs_ic_event: c_uint {
            HVS_IC_EVENT_STATUS = 1;
            HVS_IC_EVENT_BEAT_MISSED = 2;
            HVS_IC_EVENT_THAWED_LATE = 3;
            HVS_IC_EVENT_MAY_BE_FROZEN = 4;
        }
        hvs_heartbeat_application: c_uint {
            HVS_HEARTBEAT_UNKNOWN = 0;
            HVS_HEARTBEAT_HEALTHY = 1;
            HVS_HEARTBEAT_CRITICAL = 2;
            HVS_HEARTBEAT_STOPPED = 3;
        }
        hvs_shutdown_action: c_uint {
            HVS_SHUTDOWN_POWER_OFF = 0;
            HVS_SHUTDOWN_RESTART = 1;
            HVS_SHUTDOWN_HIBERNATE = 2;
        }
    }
    constants {
        HVS_IC_S_OK: u32 = 0x0;
        HVS_IC_E_FAIL: u32 = 0x80004005;
        HVS_IC_E_NO_MORE_ITEMS: u32 = 0x80070103;
        HVS_IC_E_NOT_SUPPORTED: u32 = 0x80070032;
        HVS_IC_E_INVALID_ARGUMENT: u32 = 0x80070057;
        HVS_IC_E_NOT_FOUND: u32 = 0x80041002;
        HVS_IC_E_EXISTS: u32 = 0x80070050;
        HVS_IC_E_DISK_FULL: u32 = 0x80070070;
        HVS_IC_E_MACHINE_LOCKED: u32 = 0x800704f7;
        HVS_IC_E_NOT_CONNECTED: u32 = 0x8007048f;
        HVS_SHUTDOWN_REASON_MAX: u32 = 1023;
    }
    callbacks {
        fn hvs_ic_done_fn(arg: *mut c_void, status: c_int, guest_status: u32);
    }
    structs {
        hvs_ic_status {
            size: u32;
            kind: hvs_ic_kind;
            primary: hvs_ic_primary;
            secondary: hvs_ic_secondary;
            open: bool;
            ready: bool;
            framework_version: u32;
            service_version: u32;
            requests: u64;
            failures: u64;
            timeouts: u64;
            malformed: u64;
            waiting: u32;
            reserved: u32;
        }
        hvs_ic_ops {
            size: u32;
            reserved: u32;
            event: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_ic, hvs_ic_event)>;
            sample_time: Option<unsafe extern "C" fn(*mut c_void, *mut u64, *mut u64) -> c_int>;
        }
        hvs_ic_config {
            size: u32;
            kind: hvs_ic_kind;
            instance_id: hvs_guid;
            max_version: u32;
            interval_ms: u32;
            latency_ms: u32;
            error_threshold: u32;
            reference_time: bool;
            reserved: [u8; 3];
        }
        hvs_heartbeat_info {
            size: u32;
            application: hvs_heartbeat_application;
            beats: u64;
            missed: u64;
            last_beat_ns: u64;
            up_ns: u64;
        }
        hvs_shutdown_request {
            size: u32;
            action: hvs_shutdown_action;
            force: bool;
            guest_timeout_s: u32;
            timeout_ms: u32;
            reason: *const c_char;
        }
    }
    functions {
        fn hvs_ic_create(
            bus: *mut hvs_vmbus,
            cfg: *const hvs_ic_config,
            ops: *const hvs_ic_ops,
            arg: *mut c_void,
            out: *mut *mut hvs_ic,
        ) -> c_int;
        fn hvs_ic_destroy(ic: *mut hvs_ic, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_ic_get_status(ic: *const hvs_ic, status: *mut hvs_ic_status) -> c_int;
        fn hvs_ic_cancel(ic: *mut hvs_ic, arg: *const c_void) -> c_uint;
        fn hvs_ic_kind_name(kind: hvs_ic_kind) -> *const c_char;
        fn hvs_ic_primary_name(primary: hvs_ic_primary) -> *const c_char;
        fn hvs_ic_secondary_name(secondary: hvs_ic_secondary) -> *const c_char;
        fn hvs_ic_guest_status_name(guest_status: u32) -> *const c_char;
        fn hvs_heartbeat_get_info(ic: *const hvs_ic, info: *mut hvs_heartbeat_info) -> c_int;
        fn hvs_timesync_sync(
            ic: *mut hvs_ic,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_shutdown(
            ic: *mut hvs_ic,
            request: *const hvs_shutdown_request,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
    }
}
