// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/kvp.h";
    enums {
        hvs_kvp_pool: c_uint {
            HVS_KVP_EXTERNAL = 0;
            HVS_KVP_GUEST = 1;
            HVS_KVP_AUTO = 2;
            HVS_KVP_AUTO_EXTERNAL = 3;
            HVS_KVP_AUTO_INTERNAL = 4;
        }
        hvs_kvp_origin: c_uint {
            HVS_KVP_ORIGIN_UNKNOWN = 0;
            HVS_KVP_ORIGIN_OTHER = 1;
            HVS_KVP_ORIGIN_STATIC = 2;
        }
    }
    constants {
        HVS_KVP_KEY_MAX: u32 = 255;
        HVS_KVP_VALUE_MAX: u32 = 1023;
        HVS_KVP_TEXT_MAX: u32 = 3070;
        HVS_KVP_MAX_ITEMS: u32 = 1024;
        HVS_KVP_MAX_ADDRESSES: u32 = 64;
        HVS_KVP_MAX_GATEWAYS: u32 = 5;
    }
    callbacks {
        fn hvs_kvp_item_fn(arg: *mut c_void, key: *const c_char, value: *const c_char);
        fn hvs_kvp_ip_fn(arg: *mut c_void, ip: *const hvs_kvp_ip);
    }
    structs {
        hvs_kvp_address {
            ipv6: bool;
            prefix: u8;
            origin: u8;
            bytes: [u8; 16];
        }
        hvs_kvp_ip {
            size: u32;
            dhcp: bool;
            address_count: u32;
            gateway_count: u32;
            dns_count: u32;
            addresses: *const hvs_kvp_address;
            gateways: *const hvs_kvp_address;
            dns: *const hvs_kvp_address;
        }
    }
    functions {
        fn hvs_kvp_set(
            ic: *mut hvs_ic,
            pool: hvs_kvp_pool,
            key: *const c_char,
            value: *const c_char,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_kvp_delete(
            ic: *mut hvs_ic,
            pool: hvs_kvp_pool,
            key: *const c_char,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_kvp_get(
            ic: *mut hvs_ic,
            pool: hvs_kvp_pool,
            key: *const c_char,
            timeout_ms: u32,
            item: hvs_kvp_item_fn,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_kvp_enumerate(
            ic: *mut hvs_ic,
            pool: hvs_kvp_pool,
            timeout_ms: u32,
            item: hvs_kvp_item_fn,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_kvp_get_ip(
            ic: *mut hvs_ic,
            mac: *const u8,
            timeout_ms: u32,
            r#fn: hvs_kvp_ip_fn,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_kvp_set_ip(
            ic: *mut hvs_ic,
            instance_id: *const hvs_guid,
            ip: *const hvs_kvp_ip,
            timeout_ms: u32,
            done: hvs_ic_done_fn,
            arg: *mut c_void,
        ) -> c_int;
    }
}
