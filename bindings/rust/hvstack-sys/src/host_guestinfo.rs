// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_void};

header! {
    "hvstack/host/guestinfo.h";
    opaque {
        hvs_guestinfo;
    }
    constants {
        HVS_GUESTINFO_MAX_ITEMS: u32 = 1024;
    }
    structs {
        hvs_guestinfo_ops {
            size: u32;
            reserved: u32;
            changed: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    hvs_kvp_pool,
                    *const c_char,
                    *const c_char,
                ),
            >;
            changes_end: Option<unsafe extern "C" fn(*mut c_void, hvs_kvp_pool)>;
        }
        hvs_guestinfo_config {
            size: u32;
            refresh_ms: u32;
            base: *mut event_base;
            path: *const c_char;
            uuid: hvs_guid;
        }
    }
    functions {
        fn hvs_guestinfo_create(
            cfg: *const hvs_guestinfo_config,
            ops: *const hvs_guestinfo_ops,
            arg: *mut c_void,
            why: *mut c_char,
            why_len: usize,
            out: *mut *mut hvs_guestinfo,
        ) -> c_int;
        fn hvs_guestinfo_destroy(g: *mut hvs_guestinfo);
        fn hvs_guestinfo_set_ic(g: *mut hvs_guestinfo, kvp: *mut hvs_ic);
        fn hvs_guestinfo_ic_event(g: *mut hvs_guestinfo, event: hvs_ic_event);
        fn hvs_guestinfo_set(
            g: *mut hvs_guestinfo,
            pool: hvs_kvp_pool,
            key: *const c_char,
            value: *const c_char,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_guestinfo_remove(
            g: *mut hvs_guestinfo,
            pool: hvs_kvp_pool,
            key: *const c_char,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_guestinfo_get(
            g: *const hvs_guestinfo,
            pool: hvs_kvp_pool,
            key: *const c_char,
        ) -> *const c_char;
        fn hvs_guestinfo_visit(
            g: *const hvs_guestinfo,
            pool: hvs_kvp_pool,
            item: hvs_kvp_item_fn,
            arg: *mut c_void,
        );
        fn hvs_guestinfo_age(
            g: *const hvs_guestinfo,
            pool: hvs_kvp_pool,
            complete: *mut bool,
        ) -> u64;
        fn hvs_guestinfo_refresh(
            g: *mut hvs_guestinfo,
            pool: hvs_kvp_pool,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
    }
}
