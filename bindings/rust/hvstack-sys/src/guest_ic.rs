// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/guest/ic.h";
    structs {
        hvs_guest_ic_message {
            r#type: u16;
            transaction: u8;
            flags: u8;
            framework_version: u32;
            service_version: u32;
            status: u32;
            len: u32;
            body: *const u8;
        }
    }
    functions {
        fn hvs_guest_ic_offer(g: *const hvs_guest, kind: hvs_ic_kind) -> *const hvs_guest_offer;
        fn hvs_guest_ic_recv(ch: *mut hvs_guest_channel, msg: *mut hvs_guest_ic_message) -> c_int;
        fn hvs_guest_ic_recv_wait(
            ch: *mut hvs_guest_channel,
            msg: *mut hvs_guest_ic_message,
        ) -> c_int;
        fn hvs_guest_ic_reply(
            ch: *mut hvs_guest_channel,
            msg: *const hvs_guest_ic_message,
            status: u32,
            body: *const c_void,
            len: u32,
        ) -> c_int;
        fn hvs_guest_ic_send(ch: *mut hvs_guest_channel, msg: *const hvs_guest_ic_message) -> c_int;
        fn hvs_guest_ic_negotiate(
            ch: *mut hvs_guest_channel,
            versions: *const u32,
            count: c_uint,
            exact: bool,
        ) -> i64;
    }
}
