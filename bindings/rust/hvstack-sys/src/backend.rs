// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/backend.h";
    enums {
        hvs_log_level: c_uint {
            HVS_LOG_ERROR = 0;
            HVS_LOG_WARN = 1;
            HVS_LOG_INFO = 2;
            HVS_LOG_DEBUG = 3;
        }
        hvs_fault_code: c_uint {
            HVS_FAULT_NONE = 0;
            HVS_FAULT_RING_INDEX = 1;
            HVS_FAULT_PACKET_HEADER = 2;
            HVS_FAULT_PACKET_TYPE = 3;
            HVS_FAULT_PACKET_SIZE = 4;
            HVS_FAULT_PACKET_RANGES = 5;
            HVS_FAULT_MESSAGE = 6;
            HVS_FAULT_GPADL = 7;
            HVS_FAULT_DEVICE = 8;
        }
        hvs_record_kind: c_uint {
            HVS_RECORD_MESSAGE = 1;
            HVS_RECORD_PACKET = 2;
            HVS_RECORD_MSR_WRITE = 3;
            HVS_RECORD_HYPERCALL = 4;
        }
    }
    constants {
        HVS_SYNIC_MESSAGE_MAX: u32 = 240;
    }
    structs {
        hvs_log_record {
            level: hvs_log_level;
            module: *const c_char;
            channel_id: u32;
            text: *const c_char;
        }
        hvs_guest_fault {
            channel_id: u32;
            code: hvs_fault_code;
            r#where: *const c_char;
        }
        hvs_record {
            kind: hvs_record_kind;
            channel_id: u32;
            connection_id: u32;
            vp: u32;
            msr: u32;
            value: u64;
            param_in: u64;
            param_out: u64;
            data: *const c_void;
            len: usize;
        }
        hvs_synic_msg {
            r#type: u32;
            payload_len: u8;
            payload: [u8; 240];
        }
        hvs_connect_request {
            endpoint_id: hvs_guid;
            service_id: hvs_guid;
            silo_id: hvs_guid;
        }
        hvs_backend_ops {
            size: u32;
            reserved: u32;
            synic_post: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    u32,
                    u8,
                    *const hvs_synic_msg,
                ) -> c_int,
            >;
            synic_signal: Option<unsafe extern "C" fn(*mut c_void, u32, u8, u16)>;
            doorbell_add: Option<unsafe extern "C" fn(*mut c_void, u32, *mut hvs_channel) -> c_int>;
            doorbell_del: Option<unsafe extern "C" fn(*mut c_void, u32, *mut hvs_channel)>;
            wake: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_worker, *mut c_void)>;
            now_ns: Option<unsafe extern "C" fn(*mut c_void) -> u64>;
            log: Option<unsafe extern "C" fn(*mut c_void, *const hvs_log_record)>;
            guest_fault: Option<unsafe extern "C" fn(*mut c_void, *const hvs_guest_fault)>;
            connect_request: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *const hvs_connect_request,
                ) -> c_int,
            >;
            record: Option<unsafe extern "C" fn(*mut c_void, *const hvs_record)>;
        }
    }
    functions {
        fn hvs_fault_name(code: hvs_fault_code) -> *const c_char;
    }
}
