// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int};

header! {
    "hvstack/host/services.h";
    opaque {
        hvs_services;
    }
    constants {
        HVS_SERVICES_DEFAULT: u32 = 62;
        HVS_SERVICES_ALL: u32 = 190;
    }
    structs {
        hvs_services_config {
            size: u32;
            services: u32;
            base: *mut event_base;
            bus: *mut hvs_vmbus;
            kvm: *mut hvs_kvm;
            manager: *mut hvs_manager;
            path: *const c_char;
            name: *const c_char;
            uuid: hvs_guid;
        }
    }
    functions {
        fn hvs_services_create(
            cfg: *const hvs_services_config,
            why: *mut c_char,
            why_len: usize,
            out: *mut *mut hvs_services,
        ) -> c_int;
        fn hvs_services_destroy(s: *mut hvs_services);
        fn hvs_services_enable(s: *mut hvs_services, kind: hvs_ic_kind, enabled: bool) -> c_int;
        fn hvs_services_get(s: *const hvs_services, kind: hvs_ic_kind) -> *mut hvs_ic;
        fn hvs_services_guestinfo(s: *const hvs_services) -> *mut hvs_guestinfo;
        fn hvs_services_time_jumped(s: *mut hvs_services);
    }
}
