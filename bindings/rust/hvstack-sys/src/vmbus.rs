// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/vmbus.h";
    constants {
        HVS_VMBUS_SINT: u32 = 2;
        HVS_VMBUS_MESSAGE_CONNECTION: u32 = 1;
        HVS_VMBUS_EVENT_CONNECTION: u32 = 2;
        HVS_VMBUS_MULTICLIENT_CONNECTION: u32 = 4;
    }
    structs {
        hvs_vmbus_config {
            size: u32;
            vp_count: u32;
            max_version: u32;
            max_gpadls: u32;
            max_gpadl_pages: u32;
            max_offers: u32;
            max_open_channels: u32;
            max_queued_messages: u32;
            monitor_page_gpa: [u64; 2];
            log_level: hvs_log_level;
            alloc: hvs_allocator;
        }
    }
    functions {
        fn hvs_vmbus_create(
            cfg: *const hvs_vmbus_config,
            mem: *mut hvs_mem,
            ops: *const hvs_backend_ops,
            be: *mut c_void,
            out: *mut *mut hvs_vmbus,
        ) -> c_int;
        fn hvs_vmbus_start(bus: *mut hvs_vmbus) -> c_int;
        fn hvs_vmbus_reset(bus: *mut hvs_vmbus, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_vmbus_destroy(bus: *mut hvs_vmbus);
        fn hvs_vmbus_post_message(
            bus: *mut hvs_vmbus,
            connection_id: u32,
            message_type: u32,
            payload: *const c_void,
            len: usize,
        ) -> u16;
        fn hvs_vmbus_signal_event(bus: *mut hvs_vmbus, connection_id: u32, flag: u16) -> u16;
        fn hvs_vmbus_slot_free(bus: *mut hvs_vmbus, vp: u32);
        fn hvs_vmbus_refuse_connect(
            bus: *mut hvs_vmbus,
            endpoint_id: *const hvs_guid,
            service_id: *const hvs_guid,
        ) -> c_int;
        fn hvs_vmbus_started(bus: *const hvs_vmbus) -> bool;
        fn hvs_vmbus_resetting(bus: *const hvs_vmbus) -> bool;
        fn hvs_vmbus_reset_count(bus: *const hvs_vmbus) -> u32;
        fn hvs_vmbus_allocator(bus: *const hvs_vmbus) -> *const hvs_allocator;
        fn hvs_vmbus_guest_version(bus: *const hvs_vmbus) -> u32;
    }
}
