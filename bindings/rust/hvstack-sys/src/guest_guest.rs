// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/guest/guest.h";
    opaque {
        hvs_guest;
        hvs_guest_channel;
    }
    structs {
        hvs_guest_ops {
            size: u32;
            reserved: u32;
            msr_read: Option<unsafe extern "C" fn(*mut c_void, u32, *mut u64) -> c_int>;
            msr_write: Option<unsafe extern "C" fn(*mut c_void, u32, u64) -> c_int>;
            hypercall: Option<unsafe extern "C" fn(*mut c_void, u64, u64, u64) -> u64>;
            alloc_pages: Option<unsafe extern "C" fn(*mut c_void, usize, *mut u64) -> *mut c_void>;
            free_pages: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize)>;
            wait: Option<unsafe extern "C" fn(*mut c_void)>;
        }
        hvs_guest_offer {
            class_id: hvs_guid;
            instance_id: hvs_guid;
            flags: u16;
            subchannel: u16;
            relid: u32;
            connection_id: u32;
            user_data: [u8; 120];
        }
        hvs_guest_buffer {
            gpa: u64;
            len: u32;
        }
        hvs_guest_packet {
            r#type: u16;
            wants_completion: bool;
            len: u32;
            xid: u64;
            data: *const c_void;
            ranges: *const hvs_page_range;
            range_count: u32;
            pageset_id: u16;
        }
    }
    functions {
        fn hvs_guest_create(
            alloc: *const hvs_allocator,
            ops: *const hvs_guest_ops,
            pf: *mut c_void,
            out: *mut *mut hvs_guest,
        ) -> c_int;
        fn hvs_guest_destroy(g: *mut hvs_guest);
        fn hvs_guest_connect(g: *mut hvs_guest, version: u32) -> c_int;
        fn hvs_guest_unload(g: *mut hvs_guest) -> c_int;
        fn hvs_guest_request_offers(g: *mut hvs_guest) -> c_int;
        fn hvs_guest_offer_at(g: *const hvs_guest, index: c_uint) -> *const hvs_guest_offer;
        fn hvs_guest_gpadl_create(
            g: *mut hvs_guest,
            relid: u32,
            gpa: u64,
            len: u32,
            id: *mut u32,
        ) -> c_int;
        fn hvs_guest_gpadl_teardown(g: *mut hvs_guest, relid: u32, id: u32) -> c_int;
        fn hvs_guest_channel_open(
            g: *mut hvs_guest,
            offer: *const hvs_guest_offer,
            ring_bytes: u32,
            out: *mut *mut hvs_guest_channel,
        ) -> c_int;
        fn hvs_guest_channel_close(ch: *mut hvs_guest_channel) -> c_int;
        fn hvs_guest_send(
            ch: *mut hvs_guest_channel,
            xid: u64,
            wants_completion: bool,
            buffer: *const hvs_guest_buffer,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_guest_send_ranges(
            ch: *mut hvs_guest_channel,
            xid: u64,
            wants_completion: bool,
            ranges: *const hvs_guest_buffer,
            range_count: c_uint,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_guest_complete(
            ch: *mut hvs_guest_channel,
            xid: u64,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_guest_flush(ch: *mut hvs_guest_channel);
        fn hvs_guest_recv(ch: *mut hvs_guest_channel, pkt: *mut hvs_guest_packet) -> c_int;
        fn hvs_guest_recv_wait(ch: *mut hvs_guest_channel, pkt: *mut hvs_guest_packet) -> c_int;
        fn hvs_guest_channel_events(ch: *mut hvs_guest_channel) -> c_uint;
        fn hvs_guest_post(
            g: *mut hvs_guest,
            connection_id: u32,
            msg: *const c_void,
            len: usize,
        ) -> u16;
        fn hvs_guest_wait_message(g: *mut hvs_guest, r#type: u32, buf: *mut c_void) -> c_int;
        fn hvs_guest_channel_rings(ch: *mut hvs_guest_channel, len: *mut usize) -> *mut c_void;
    }
}
