// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_void};

header! {
    "hvstack/host/usernet.h";
    opaque {
        hvs_usernet;
    }
    constants {
        HVS_USERNET_RESTRICTED: u32 = 0x1;
        HVS_USERNET_NO_LOOPBACK: u32 = 0x2;
        HVS_USERNET_NO_IPV6: u32 = 0x4;
    }
    structs {
        hvs_usernet_config {
            size: u32;
            flags: u32;
            base: *mut event_base;
            network: [u8; 4];
            mtu: u32;
            max_queues: u32;
            hostname: *const c_char;
            log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>;
            arg: *mut c_void;
        }
        hvs_usernet_forward {
            size: u32;
            udp: bool;
            reserved: [u8; 3];
            host_port: u16;
            guest_port: u16;
            host_addr: [u8; 4];
            guest_addr: [u8; 4];
        }
    }
    functions {
        fn hvs_usernet_ops() -> *const hvs_net_ops;
        fn hvs_usernet_create(cfg: *const hvs_usernet_config, out: *mut *mut hvs_usernet) -> c_int;
        fn hvs_usernet_add_forward(
            net: *mut hvs_usernet,
            forward: *const hvs_usernet_forward,
        ) -> c_int;
        fn hvs_usernet_remove_forward(
            net: *mut hvs_usernet,
            forward: *const hvs_usernet_forward,
        ) -> c_int;
        fn hvs_usernet_destroy(net: *mut hvs_usernet);
    }
}
